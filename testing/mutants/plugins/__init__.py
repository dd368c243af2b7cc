"""Plugins broken on purpose, at least one for each check of `PluginConformance`."""

from __future__ import annotations

from .. import Mutant
from .company import CannotBeIdle, SharesItsState, UsesUpItsPayload
from .declarations import (
    ChangesItsSchema,
    CrashesOnAValue,
    ForgetsItsVerdict,
    OpensAFileAtOnce,
    SetsHooksOnTheObject,
    TakesAnothersProperty,
    TakesAnyProperty,
    changes_its_config_schema,
    gives_one_plugin_to_all,
)
from .disposal import (
    DisposesOnlyOnce,
    ExpectsToHaveBeenUsed,
    LeavesAFile,
    LeavesAFolder,
    LeavesAProcess,
    LeavesATask,
    LeavesAThread,
    clean_up,
    leaves_a_web_hook,
)
from .stages import (
    ClosesTheLog,
    DemandsAFeature,
    FailsEveryTask,
    IgnoresCancellation,
    KnowsNoAbort,
    KnowsNoErrorOfOthers,
    KnowsNoShutdown,
    NeedsItsPayload,
    TalksToAClosedLog,
)

__all__ = ["MUTANTS", "clean_up"]

MUTANTS = (
    Mutant(SetsHooksOnTheObject, "test_hooks_are_declared_by_the_class"),
    Mutant(ForgetsItsVerdict, "test_hooks_return_what_they_promise"),
    Mutant(ChangesItsSchema, "test_payload_schema_stays_the_same"),
    Mutant(TakesAnothersProperty, "test_payload_schema_merges_with_those_shipped"),
    Mutant(TakesAnyProperty, "test_payload_schema_refuses_what_it_does_not_name"),
    Mutant(changes_its_config_schema, "test_config_schema_stays_the_same"),
    Mutant(gives_one_plugin_to_all, "test_every_plugin_is_made_afresh"),
    Mutant(OpensAFileAtOnce, "test_construction_acquires_nothing"),
    Mutant(CrashesOnAValue, "test_every_valid_payload_can_be_run", {"payloads": ({"kitLevel": 1},)}),
    Mutant(FailsEveryTask, "test_plain_success_is_unaffected"),
    Mutant(KnowsNoAbort, "test_survives_abort_in_each_stage"),
    Mutant(IgnoresCancellation, "test_cancelled_hook_ends_in_time"),
    Mutant(KnowsNoShutdown, "test_survives_cancellation_at_every_point"),
    Mutant(DemandsAFeature, "test_missing_engine_features_are_no_defect"),
    Mutant(NeedsItsPayload, "test_works_without_its_payload"),
    Mutant(TalksToAClosedLog, "test_writes_nothing_to_a_closed_log"),
    Mutant(ClosesTheLog, "test_runs_keep_every_rule"),
    Mutant(KnowsNoErrorOfOthers, "test_survives_errors_of_other_plugins"),
    Mutant(SharesItsState, "test_two_runs_at_once_share_nothing"),
    Mutant(UsesUpItsPayload, "test_payload_is_left_as_it_is", {"payloads": ({"kitItems": ["a", "b"]},)}),
    Mutant(CannotBeIdle, "test_hears_the_worker_without_an_error"),
    Mutant(ExpectsToHaveBeenUsed, "test_dispose_without_stages"),
    Mutant(DisposesOnlyOnce, "test_dispose_twice"),
    Mutant(LeavesATask, "test_leaves_nothing_behind"),
    Mutant(LeavesAThread, "test_leaves_nothing_behind"),
    Mutant(LeavesAFile, "test_leaves_nothing_behind"),
    Mutant(LeavesAProcess, "test_leaves_nothing_behind"),
    Mutant(LeavesAFolder, "test_leaves_nothing_behind"),
    Mutant(leaves_a_web_hook, "test_leaves_nothing_behind"),
)
"""Each mutant with the one check that must reject it."""
