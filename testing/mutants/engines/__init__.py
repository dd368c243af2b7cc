"""Engines broken on purpose, at least one for each check of `EngineConformance`.

Each is a layer around the mock engine (`layers.py`) that does one thing in another way. The property
`test_races_of_wait_kill_and_abort` covers single orders that have checks of their own: of the mutants that these
reject it may find some, too.
"""

from __future__ import annotations

from typing import Any

import attrs

from ....engines.base import EngineOptions
from ...conformance import Conformance
from ...engine_conformance import EngineConformance, MockRecipes
from .. import Mutant
from . import ends, files, proxies, rooms, surroundings, visitors, volumes
from .layers import layered
from .left import clean_up

__all__ = ["MUTANTS", "EngineMutant", "clean_up"]

OF_TWO = {"config": {"maxConcurrency": 2}}
LEAVES = {"settling": 0.2}
HANGS = {"bound": 1.5}


@attrs.frozen
class EngineMutant(Mutant):
    """A mutant whose `make` is a layer to put around the mock engine."""

    def put_to(
        self, kit: type[Conformance] = EngineConformance, fixture: str = "engine_factory"
    ) -> type[MockRecipes]:
        """Return a test class that puts the mutant to the kit."""

        def engine_factory(recipes: MockRecipes, options: EngineOptions) -> Any:
            made: Any = MockRecipes.engine_factory(recipes, options)
            return layered(made, self.make)

        return type(f"Test{self.name}", (MockRecipes, kit), {fixture: engine_factory, **self.settings})


MUTANTS = (
    EngineMutant(files.OpensAFileAtItsEnd, "test_artifact_text_file"),
    EngineMutant(files.TakesAFileOfAShorterName, "test_artifact_file_not_found"),
    EngineMutant(files.RaisesKeyErrors, "test_artifact_file_not_found"),
    EngineMutant(files.OpensAFolderAsAFile, "test_artifact_folder_is_no_file"),
    EngineMutant(files.TakesAMissingFolderForEmpty, "test_artifact_folder_not_found"),
    EngineMutant(files.ForgetsSubfolders, "test_artifact_nested_folder"),
    EngineMutant(files.GivesNeighbours, "test_artifact_nested_folder"),
    EngineMutant(files.LeavesFilesOpen, "test_artifact_handler_files_are_closed"),
    EngineMutant(files.ClosesFilesEarly, "test_artifact_handler_files_are_closed"),
    EngineMutant(files.DoesNotWaitForHandlers, "test_artifact_handler_interrupt"),
    EngineMutant(files.RaisesTheHandlersError, "test_artifact_handler_interrupt"),
    EngineMutant(files.OpensAFifo, "test_artifact_odd_file_is_no_file"),
    EngineMutant(files.HandsOverFifos, "test_artifact_odd_files_left_out"),
    EngineMutant(files.LeavesOutInSilence, "test_artifact_odd_files_left_out"),
    EngineMutant(files.StopsAtTheUnreadable, "test_artifact_unreadable_file"),
    EngineMutant(files.PassesOverTheUnreadable, "test_artifact_unreadable_file"),
    EngineMutant(files.ArchivesTheTopOnly, "test_archive_holds_every_file"),
    EngineMutant(files.LeavesAProcess, "test_archive_holds_every_file", LEAVES),
    EngineMutant(surroundings.SplitsValues, "test_environment_print"),
    EngineMutant(surroundings.PassesOnTheWorkersVariables, "test_environment_unset"),
    EngineMutant(surroundings.IgnoresASecondValue, "test_environment_conflict"),
    EngineMutant(surroundings.TakesAnyName, "test_environment_invalid_name"),
    EngineMutant(surroundings.CallsANameAWrongValue, "test_environment_invalid_name"),
    EngineMutant(surroundings.LosesVariables, "test_environment_side_by_side"),
    EngineMutant(surroundings.CutsLongLines, "test_log_hit"),
    EngineMutant(surroundings.DropsTheLogOfFailures, "test_log_hit_when_failing"),
    EngineMutant(surroundings.CountsFailuresAsSuccess, "test_log_hit_when_failing"),
    EngineMutant(surroundings.Greets, "test_log_silent"),
    EngineMutant(rooms.RepeatsTheLastLog, "test_log_of_each_its_own"),
    EngineMutant(proxies.DropsTheQuery, "test_proxy_ping"),
    EngineMutant(proxies.AnswersAnyErrorWith200, "test_proxy_not_found"),
    EngineMutant(proxies.KeepsAnswersUntilTheEnd, "test_proxy_streaming", HANGS),
    EngineMutant(proxies.HandlesOneRequestAtATime, "test_proxy_parallel", HANGS),
    EngineMutant(proxies.CutsHostnames, "test_proxy_hostnames"),
    EngineMutant(proxies.IgnoresASecondHandler, "test_proxy_conflict"),
    EngineMutant(proxies.SharesItsProxies, "test_proxy_of_each_its_own"),
    EngineMutant(volumes.ForgetsWhatTasksWrote, "test_volume_write_read"),
    EngineMutant(volumes.HasOneVolume, "test_volume_read_empty"),
    EngineMutant(volumes.MountsForWriting, "test_volume_write_read_only"),
    EngineMutant(volumes.HidesWhatIsReadOnly, "test_volume_read_read_only"),
    EngineMutant(volumes.ForgetsMissingFolders, "test_volume_builder"),
    EngineMutant(volumes.ReadsOnePiece, "test_volume_builder"),
    EngineMutant(volumes.LeavesAFolder, "test_volume_builder", LEAVES),
    EngineMutant(volumes.LeavesAFile, "test_volume_builder_discard", LEAVES),
    EngineMutant(volumes.MountsOverAVolume, "test_volume_conflict"),
    EngineMutant(volumes.DisposesVolumesOnce, "test_volume_dispose"),
    EngineMutant(visitors.LosesStderr, "test_shell_command"),
    EngineMutant(visitors.HasNoDefaultShell, "test_shell_default"),
    EngineMutant(visitors.CountsAnyExitAsSuccess, "test_shell_bad_command"),
    EngineMutant(visitors.RaisesOSErrors, "test_shell_unknown_command"),
    EngineMutant(visitors.CallsAnAbortAFailure, "test_shell_abort"),
    EngineMutant(visitors.AbortsItsSandboxToo, "test_shell_abort"),
    EngineMutant(visitors.LeavesATask, "test_shell_abort", LEAVES),
    EngineMutant(visitors.AbortsWhatHasEnded, "test_shell_abort_ended"),
    EngineMutant(visitors.CallsAKillAFailure, "test_shell_kill"),
    EngineMutant(visitors.ResizesWhatHasEnded, "test_shell_sizes"),
    EngineMutant(visitors.LeavesAThread, "test_shell_sizes", LEAVES),
    EngineMutant(visitors.ResizesPipes, "test_shell_sizes_without_terminal"),
    EngineMutant(visitors.CallsEveryEndAnAbort, "test_shell_after_end"),
    EngineMutant(visitors.ListsADisplayTwice, "test_display_list"),
    EngineMutant(visitors.ShowsADisplayToOne, "test_display_open"),
    EngineMutant(visitors.SpeaksSomethingElse, "test_display_open"),
    EngineMutant(visitors.OpensAnyDisplay, "test_display_unknown"),
    EngineMutant(visitors.BreaksDisplaysOff, "test_display_closed_on_kill"),
    EngineMutant(visitors.ListsDisplaysAfterItsEnd, "test_display_after_end"),
    EngineMutant(ends.MakesAResultForEach, "test_wait_twice"),
    EngineMutant(ends.DiesWithItsWaiter, "test_wait_cancelled"),
    EngineMutant(ends.CannotBeKilledTwice, "test_kill"),
    EngineMutant(ends.LetsTheKilledSucceed, "test_kill"),
    EngineMutant(ends.KillsTheDead, "test_kill_ended"),
    EngineMutant(ends.AbortsTheKilled, "test_kill_then_abort"),
    EngineMutant(ends.CancelsThoseWhoWait, "test_abort"),
    EngineMutant(ends.CannotBeAbortedTwice, "test_abort"),
    EngineMutant(ends.KillsTheAborted, "test_abort_then_kill"),
    EngineMutant(ends.AbortsWhatHasEnded, "test_abort_ended"),
    EngineMutant(ends.CancelledAbortsKill, "test_abort_cancelled"),
    EngineMutant(ends.LeavesAnErrorBehind, "test_abort_unwaited"),
    EngineMutant(ends.KillsAndAbortsAtOnce, "test_races_of_wait_kill_and_abort", {"race_examples": 60}),
    EngineMutant(proxies.LeavesASocket, "test_discard", LEAVES),
    EngineMutant(surroundings.LeavesAnEnvironmentFile, "test_discard", LEAVES),
    EngineMutant(ends.DisposesResultsOnce, "test_dispose_twice"),
    EngineMutant(ends.DisposesSandboxesOnce, "test_dispose_twice"),
    EngineMutant(rooms.HasRoomForOneMore, "test_concurrency", OF_TWO),
    EngineMutant(rooms.RefusesInItsOwnWords, "test_concurrency", OF_TWO),
    EngineMutant(ends.ForgetsToFree, "test_concurrency_room_again", OF_TWO),
    EngineMutant(rooms.MixesLogs, "test_concurrency_logs_apart"),
    EngineMutant(rooms.SharesFiles, "test_concurrency_files_apart"),
    EngineMutant(rooms.SharesVariables, "test_concurrency_environments_apart"),
    EngineMutant(
        rooms.DoesMoreThanItSays,
        "test_not_supported",
        {"capabilities": EngineConformance.capabilities - {"displays"}},
    ),
    EngineMutant(
        rooms.RefusesInPythonsWords,
        "test_not_supported",
        {"capabilities": EngineConformance.capabilities - {"proxies"}},
    ),
    EngineMutant(rooms.HasNoDocumentation, "test_schemas"),
    EngineMutant(rooms.MisspellsItsSchema, "test_schemas"),
)
"""Each mutant with the one check that must reject it."""
