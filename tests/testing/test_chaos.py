"""Behaviours do what they say, and a trial convicts whoever does not keep a promise amid them."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given

from stagecall.lifecycle.errors import ExceptionReason, NonFatalInternalError
from stagecall.lifecycle.resolution import Resolution
from stagecall.specs.lifecycle import TASK_RUN, Stage
from stagecall.specs.trace import Kind
from stagecall.testing import chaos
from stagecall.testing.chaos import (
    ENGINE_CALLS,
    ENGINE_FEATURES,
    AbortAt,
    Act,
    Behaviour,
    FaultSchedule,
    Foreign,
    PluginFaults,
    Trial,
    assert_kept,
    own_actions,
    play,
)
from stagecall.testing.doubles import HookRecorder, ScriptedEngine, ScriptedPlugin, hooks, outcomes
from stagecall.testing.strategies import fault_schedules
from stagecall.worker.task_run import TaskRun

INTERNAL = "internal-error"
BECOMES: dict[Act, str] = {
    **dict.fromkeys(chaos.CALM, "completed"),
    Act.MALFORMED: "malformed-payload",
    Act.UNSUPPORTED: "malformed-payload",
    Act.TASK_EXCEPTION: "resource-unavailable",
    Act.INTERMITTENT: "intermittent-task",
    Act.ABORTS: "superseded",
    Act.SPAWNS: "completed",
    Act.WRONG_VALUE: "completed",
}
"""What becomes of a run in whose `started` this is done; of all others, an internal error."""

FOREIGN = (Act.FOREIGN, Act.FOREIGN_GROUP)


def schedule(**hooks: Behaviour) -> FaultSchedule:
    """One plugin whose hooks behave so."""
    return FaultSchedule((PluginFaults("red", hooks),))


def became(resolution: Resolution | None) -> str:
    assert resolution is not None
    return resolution.reason.value if resolution.reason is not None else resolution.state


@pytest.mark.parametrize("threaded", [False, True], ids=["async", "def"])
@pytest.mark.parametrize("act", Act)
def test_every_behaviour_ends_the_run_as_its_errors_say(act, threaded):
    """Whatever a hook does, as a coroutine or in a thread, the run ends and becomes what the table of errors says."""
    run = play(schedule(started=Behaviour(act, seconds=3.0, threaded=threaded)))

    assert became(run.resolution) == BECOMES.get(act, INTERNAL)


@pytest.mark.parametrize("act", [Act.STUBBORN, Act.STUBBORN_ERROR])
@pytest.mark.parametrize("threaded", [False, True], ids=["async", "def"])
def test_the_stubborn_are_abandoned(act, threaded):
    """What takes no notice of being cancelled is abandoned, and its end comes late."""
    run = play(schedule(started=Behaviour(act, threaded=threaded)))

    assert outcomes(run.trace, "started") == {"red": "abandoned"}
    assert [event.call for event in run.trace.of(Kind.LATE)] == ["started"]


@pytest.mark.parametrize("threaded", [False, True], ids=["async", "def"])
@pytest.mark.parametrize(
    ("act", "created"),
    [(Act.OK, True), (Act.FALSE, False), (Act.WRONG_VALUE, False), (Act.FATAL, False), (Act.YIELDS, True)],
)
def test_creation_behaves_too(act, created, threaded):
    """A plugin may need no task plugin, make something else, or fail at it."""
    run = play(FaultSchedule((PluginFaults("red", creation=Behaviour(act, threaded=threaded)),)))

    assert bool(run.trace.of(Kind.CREATED)) is created
    assert bool(run.trace.of(Kind.ERROR)) is (act in (Act.FATAL, Act.WRONG_VALUE))


@pytest.mark.parametrize("call", ENGINE_CALLS)
def test_every_engine_call_goes_wrong_where_told(call):
    """An error of an engine call is in the trace under the call's own name."""
    aborts = {"abort_sandbox": (AbortAt("waiting", 1.0),), "dispose:builder": (AbortAt("build", 1.0),)}
    told = attrs.evolve(
        schedule(build_sandbox=Behaviour("slow", seconds=2.0)),
        engine={call: Behaviour("fatal")},
        aborts=aborts.get(call, ()),
    )

    run = play(told, payload={"function": "true", "delay": 5000})

    assert outcomes(run.trace, call) == {"-": "failed"}


@pytest.mark.parametrize("feature", ENGINE_FEATURES)
def test_every_engine_feature_goes_wrong_where_told(feature):
    """A plugin that uses a feature meets what was told, and is not blamed for letting it pass."""
    run = play(FaultSchedule(engine={feature: Behaviour("defect")}), ScriptedPlugin("user", **using(feature)))

    assert outcomes(run.trace, next(iter(using(feature)))) == {"user": "failed"}


@pytest.mark.parametrize(
    "feature", [name for name in ENGINE_FEATURES if name not in ("attach_volume", "kill")]
)
def test_every_engine_feature_is_passed_on(feature):
    """Without anything told a feature does what the engine's own does."""
    payload = {"function": "write-files", "argument": "a/b"}

    run = play(FaultSchedule(), ScriptedPlugin("user", **using(feature)), payload=payload)

    assert became(run.resolution) == "completed"


def using(feature: str) -> dict[str, Any]:
    """The hook that uses a feature, by its name."""

    async def build_sandbox(builder):
        arguments: tuple[Any, ...] = {
            "set_environment_variable": ("NAME", "value"),
            "attach_volume": ("/mount", None, True),
            "attach_proxy": ("host", None),
        }[feature]
        await getattr(builder, feature)(*arguments)

    async def started(sandbox):
        arguments: tuple[Any, ...] = {"new_shell": ([], False), "open_display": ("MockDisplay",)}.get(
            feature, ()
        )
        made = await getattr(sandbox, feature)(*arguments)
        if feature == "new_shell":
            await made.abort()
        if feature == "open_display":
            await made.close()

    async def stopped(result_set):
        async def handle(path, file):
            pass

        arguments: tuple[Any, ...] = {"extract_file": ("a/b",), "extract_folder": ("a", handle)}.get(
            feature, ()
        )
        await getattr(result_set, feature)(*arguments)
        return True

    place = ENGINE_FEATURES.index(feature)
    hook = build_sandbox if place < 3 else started if place < 7 else stopped
    return {hook.__name__: hook}


def test_unknown_engine_call_is_refused():
    """A misspelt call would never go wrong."""
    with pytest.raises(ValueError, match="an engine has no call start; calls are new_sandbox_builder"):
        FaultSchedule(engine={"start": Behaviour()})


@pytest.mark.parametrize("stage", [stage.name for stage in TASK_RUN.stages if stage.provisional])
def test_abort_comes_where_told(stage):
    """An abort is made so many seconds after the stage was entered, and only there."""
    slow = Behaviour("slow", seconds=5.0)
    calls: dict[str, Behaviour] = dict.fromkeys(("build_sandbox", "started", "stopped", "finished"), slow)
    told = attrs.evolve(
        schedule(**calls),
        engine=dict.fromkeys(("new_sandbox_builder", "start_sandbox"), slow),
        aborts=(AbortAt(stage, 0.0 if stage == "pending" else 2.0, ExceptionReason("superseded")),),
    )

    run = play(told, payload={"function": "true", "delay": 20_000})

    (abort,) = run.trace.of(Kind.ABORT)
    assert abort.stage == stage
    assert became(run.resolution) == "superseded"


def test_actions_and_report_behave():
    """A lifecycle's own actions and the reporting of the resolution go wrong where told."""
    lifecycle = TASK_RUN.insert(Stage("scan", action="scan"), after="build")
    told = FaultSchedule(actions={"scan": Behaviour("non-fatal")}, report=Behaviour("hangs"))

    run = play(told, lifecycle=lifecycle)

    assert own_actions(lifecycle) == ("scan",)
    assert [outcomes(run.trace, call)["-"] for call in ("scan", "report")] == ["failed", "timeout"]


def test_plugins_under_test_stand_where_told():
    """The first `ahead` of the schedule's plugins are declared before those under test, the others after them."""
    named = tuple(PluginFaults(name, {"started": Behaviour()}) for name in ("red", "green"))

    run = play(FaultSchedule(named, ahead=1), HookRecorder())

    disposed = [plugin for plugin, call, _ in hooks(run.trace) if call == "dispose"]
    assert disposed == ["green", "hookrecorder", "red"]


@given(fault_schedules())
def test_schedule_is_the_python_that_makes_it_again(drawn):
    """What a failing example shows can be copied into a test."""
    assert eval(repr(drawn), vars(chaos)) == drawn


# What is convicted


async def raises_a_defect(*_: Any) -> None:
    raise KeyError("a defect")


async def swallows(*_: Any) -> None:
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(30)
            return


async def declared(*_: Any) -> None:
    raise NonFatalInternalError("a hiccup")


@pytest.mark.parametrize(
    ("started", "sentence"),
    [
        (raises_a_defect, "started of plugin own failed with a defect: KeyError: 'a defect'"),
        (swallows, "started of plugin own did not end when it was cancelled"),
    ],
)
def test_plugin_under_test_is_convicted(started, sentence):
    """A plugin that fails with an error it has not declared, or does not let itself be cancelled, is named."""
    with pytest.raises(AssertionError, match=sentence):
        play(FaultSchedule(), ScriptedPlugin("own", started=started))


def test_declared_errors_are_no_defects():
    """What a plugin may raise it may raise, alone or among others."""
    run = play(schedule(started=Behaviour("defect")), ScriptedPlugin("own", started=declared))

    assert became(run.resolution) == INTERNAL


def test_engine_under_test_is_convicted():
    """An engine that fails with an error it has not declared is named by the call."""
    engine = ScriptedEngine(deeds={"start_sandbox": raises_a_defect})

    with pytest.raises(AssertionError, match="start_sandbox failed with a defect: KeyError: 'a defect'"):
        play(FaultSchedule(), engine=engine, payload={})


def test_engine_that_is_not_to_be_cancelled_is_convicted():
    """An engine call that does not end when it is cancelled is named."""
    engine = ScriptedEngine(deeds={"start_sandbox": swallows})

    with pytest.raises(AssertionError, match="start_sandbox did not end when it was cancelled"):
        play(FaultSchedule(aborts=(AbortAt("start", 5.0),)), engine=engine, payload={})


TAMPERED: dict[str, Callable[[Trial], object]] = {
    "sees everything": lambda trial: trial.scene.complaints.append("sees everything"),
    "plugin red was disposed 2 times, not once": lambda trial: setattr(trial.scene.made[0], "disposed", 2),
    "1 more of the engine's sandbox acquired": lambda trial: trial.scene.hold("sandbox", 1),
    "folders are left: left": lambda trial: (trial.folder / "left").mkdir(),
    "an observer saw": lambda trial: trial.seen.pop(),
    "reported were": lambda trial: trial.reports.append(trial.reports[0]),
    "the loop met a problem": lambda trial: trial.loop.problems.append({"message": "nobody asked"}),
    "plugin red was told of non-fatal errors 3 times, not 0": lambda trial: setattr(
        trial.neighbours[0], "told", 3
    ),
    "the owner was cancelled, and was not told so": lambda trial: setattr(trial, "cancelled", True),
    "a waiter got Resolution": lambda trial: setattr(trial.run, "resolution", None),
    "where there was Foreign": lambda trial: trial.monitor.reported.append((Foreign("f"), "nowhere")),
    "rule 3": lambda trial: trial.run.trace.events.pop(),
    "nowhere failed with a defect: OSError": lambda trial: trial.monitor.reported.append(
        (OSError(), "nowhere")
    ),
}
"""What a trial must say if this is done to it when its run is over."""


@pytest.mark.parametrize("sentence", TAMPERED)
def test_every_promise_is_judged(sentence):
    """A trial lets pass what was kept, and names what was not."""
    told = attrs.evolve(schedule(started=Behaviour("logs")), report=Behaviour())
    with Trial(told) as trial:
        trial.finish()
        assert_kept(trial)

        TAMPERED[sentence](trial)

        with pytest.raises(AssertionError, match=sentence):
            assert_kept(trial)


def calls_a_hook_twice(patch: pytest.MonkeyPatch) -> None:
    close_log = TaskRun.close_log

    async def again(self: TaskRun) -> None:
        await close_log(self)
        await self.participants[0].target.started(self.sandbox)

    patch.setattr(TaskRun, "close_log", again)


def disposes_too_early(patch: pytest.MonkeyPatch) -> None:
    start = TaskRun.start_sandbox

    async def early(self: TaskRun) -> None:
        await start(self)
        await self.participants[0].target.dispose()

    patch.setattr(TaskRun, "start_sandbox", early)


def gives_something_else(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskRun, "arguments", lambda self, names: tuple(None for _ in names))


def closes_the_log_late(patch: pytest.MonkeyPatch) -> None:
    async def late(self: TaskRun) -> None:
        self.loop.call_later(1.0, self.log.close)

    patch.setattr(TaskRun, "close_log", late)


@pytest.mark.parametrize(
    ("sabotage", "sentence"),
    [
        (calls_a_hook_twice, "plugin red: started came in finished"),
        (disposes_too_early, "plugin red: started came after dispose"),
        (gives_something_else, r"plugin red: started was given \(None,\), not the run's own sandbox"),
        (closes_the_log_late, "plugin red: finished found the log open"),
    ],
)
def test_witness_convicts_a_driver_that_the_trace_does_not(sabotage, sentence):
    """A witness sees what is done to it, whatever the trace says."""
    hooks = dict.fromkeys(("started", "finished"), Behaviour())
    with pytest.MonkeyPatch.context() as patch, Trial(schedule(**hooks)) as trial:
        sabotage(patch)
        trial.wait()
        trial.advance(1000.0)

    assert any(complaint.startswith(sentence.replace("\\", "")) for complaint in trial.scene.complaints)


def test_run_that_does_not_end_is_convicted():
    """A run that hangs is told with the stage it hangs in."""

    async def endless(self: TaskRun) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.MonkeyPatch.context() as patch, Trial() as trial:
        patch.setattr(TaskRun, "start_sandbox", endless)

        with pytest.raises(AssertionError, match="the run does not end; it is in 'start'"):
            trial.finish()

        for task in asyncio.all_tasks(trial.loop):
            task.cancel()
        trial.drain()


def test_illegal_move_that_is_let_through_is_convicted(monkeypatch):
    """A machine that lets anything pass is told by the move."""
    monkeypatch.setattr("stagecall.testing.chaos.trial.move", lambda run, lifecycle, stage: None)

    with Trial() as trial, pytest.raises(AssertionError, match="pending -> pending was let through"):
        trial.move_illegally()


def test_abort_that_lies_is_convicted(monkeypatch):
    """An abort that decides must say so."""
    with Trial() as trial:
        monkeypatch.setattr(TaskRun, "abort", lambda self, reason: False)

        with pytest.raises(AssertionError, match="abort returned False"):
            trial.abort(ExceptionReason.CANCELED)


def forgets_the_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskRun, "sandbox_abort", lambda self: None)


def disposes_the_sandbox_first(patch: pytest.MonkeyPatch) -> None:
    releases = TaskRun._releases
    patch.setattr(TaskRun, "_releases", lambda self: releases(self)[::-1])


@pytest.mark.parametrize(
    ("sabotage", "told", "sentence"),
    [
        (
            forgets_the_abort,
            FaultSchedule(aborts=(AbortAt("waiting", 1.0),), engine={"wait_for_result": Behaviour("hangs")}),
            "the sandbox was disposed without a result and without an abort",
        ),
        (
            disposes_the_sandbox_first,
            FaultSchedule(),
            "the sandbox was disposed before its result set",
        ),
    ],
)
def test_engine_is_a_witness_too(monkeypatch, sabotage, told, sentence):
    """An engine's objects see when they are disposed before their time."""
    with monkeypatch.context() as patch:
        sabotage(patch)

        with pytest.raises(AssertionError, match=sentence):
            play(told)
