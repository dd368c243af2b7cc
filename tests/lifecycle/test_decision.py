"""What the driver decides stands in pure functions, and no defect of an action comes between a stage and its hooks."""

import asyncio

import pytest

from stagecall.lifecycle import TASK_RUN, ExceptionReason, Lifecycle, Stage
from stagecall.lifecycle.decision import Standing, Work, astray, calls_on, leave, work_of
from stagecall.lifecycle.resolution import Failure, Resolution
from stagecall.testing.doubles import HookRecorder, ScriptedPlugin, path
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.task_run import TaskRun

FAILURE = Failure.of(ValueError("a defect"), "started of plugin env")


def standing(*happened: str) -> Standing:
    """The standing of a run to which this has happened."""
    run = Standing()
    for what in happened:
        match what:
            case "error":
                run.note_error(FAILURE)
            case "refusal":
                run.note_refusal("stopped of plugin success")
            case "final":
                run.resolution = leave(TASK_RUN, TASK_RUN["finished"], run)[1]
            case reason:
                run.note_abort(ExceptionReason(reason))
    return run


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([], (False, True)),
        (["refusal"], (False, True)),
        (["error"], (True, True)),
        (["canceled"], (True, False)),
        (["error", "canceled"], (True, False)),
        (["final"], (False, True)),
        (["error", "final"], (False, True)),
        (["canceled", "final"], (False, True)),
        (["final", "error", "canceled"], (False, True)),
    ],
)
def test_standing_decides(happened, expected):
    """Whether a run goes astray, and whether hooks one by one go on, follows from what has happened before the end."""
    run = standing(*happened)

    assert (astray(run), calls_on(run)) == expected


def test_nothing_counts_once_the_resolution_is_final():
    """Errors and aborts are told whether they count: none does any more, and the resolution stays."""
    run = standing("final")

    told = [run.note_error(FAILURE), run.note_abort(ExceptionReason.CANCELED)]

    assert told == [False, False]
    assert (run.failures, run.aborted, run.resolution) == ([], None, Resolution("completed"))


def test_first_abort_decides_and_its_place_is_kept():
    """A second abort does not count; the first is told between what came before and after it."""
    run = standing("refusal", "error", "canceled", "error")

    second = run.note_abort(ExceptionReason.WORKER_SHUTDOWN)
    run.note_refusal("stopped of plugin quota")

    assert (second, run.aborted, run.aborted_after) == (False, ExceptionReason.CANCELED, 2)
    assert (run.success, len(run.failures)) == (False, 2)
    assert run.refusals == ((0, "stopped of plugin success"), (3, "stopped of plugin quota"))


@pytest.mark.parametrize("stage", TASK_RUN.main_path[:8])
def test_astray_run_leaves_for_the_exception_with_its_resolution(stage):
    """From each stage in which errors count, an error leads to the exception stage, and there it is decided."""
    destination, resolution = leave(TASK_RUN, TASK_RUN[stage], standing("error"))

    assert destination == "exception"
    assert resolution == Resolution("exception", ExceptionReason.INTERNAL_ERROR, str(FAILURE))


@pytest.mark.parametrize("success", [True, False])
def test_verdict_is_decided_behind_the_last_stage_that_counts(success):
    """A run without errors takes the main path; its resolution becomes final on the way out of `finished`."""
    run = standing() if success else standing("refusal")

    moves = [leave(TASK_RUN, TASK_RUN[stage], run) for stage in TASK_RUN.main_path]

    assert [destination for destination, _ in moves] == [*TASK_RUN.main_path[1:], None]
    decided = {stage: made for stage, (_, made) in zip(TASK_RUN.main_path, moves, strict=True) if made}
    assert decided == {"finished": Resolution("completed" if success else "failed")}


def test_work_of_a_stage_is_what_the_table_says():
    """Action, hooks, and before errors stop counting and before dispose the background; nothing calls a hook twice."""
    works = {stage: [work for work, _ in works] for stage, works in work_of(TASK_RUN).items()}

    assert works == {
        "pending": [],
        "prepare": [Work.ACTION],
        "build": [Work.HOOKS],
        "start": [Work.ACTION],
        "started": [Work.HOOKS],
        "waiting": [Work.ACTION],
        "stopped": [Work.HOOKS],
        "finished": [Work.ACTION, Work.HOOKS, Work.BACKGROUND],
        "exception": [Work.ACTION, Work.HOOKS, Work.BACKGROUND],
        "resolved": [Work.ACTION, Work.BACKGROUND],
        "dispose": [Work.ACTION],
    }


def test_work_of_a_table_that_leads_nowhere():
    """A table that no run could follow has its work told all the same, for the check to explain it."""
    lost = Lifecycle("lost", (Stage("a", next="nowhere", hook="begun"),))

    assert work_of(lost) == {"a": ((Work.HOOKS, "begun"),)}


class LogCannotBeClosed(TaskRun):
    """A run whose disk is full when its log is closed."""

    async def close_log(self) -> None:
        await super().close_log()
        raise OSError("no space left on device")


@virtual_time
async def test_hooks_come_although_the_action_of_their_stage_failed(make_run):
    """Where errors no longer count, one of the stage's own action keeps no plugin from its hook."""
    recorder = HookRecorder()
    plain = make_run(recorder, ScriptedPlugin("culprit", started=lambda sandbox: 1 / 0), strict=True)
    run = LogCannotBeClosed(plain._runtime, plain.info)
    make_run.runs.append(run)

    resolution = await asyncio.wait_for(run.wait(), 1000)

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert path(run.trace)[-3:] == ["exception", "resolved", "dispose"]
    assert recorder.calls[-2:] == [("exception", "internal-error"), ("dispose",)]
