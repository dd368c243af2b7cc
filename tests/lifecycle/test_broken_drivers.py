"""Drivers broken on purpose really run, and rules convict each by its trace; the good driver is acquitted."""

import asyncio
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stagecall.lifecycle.driver as driver
from stagecall.lifecycle.calls import NOBODY, Call
from stagecall.lifecycle.duties import Participant
from stagecall.lifecycle.errors import ExceptionReason, RuleBrokenError
from stagecall.lifecycle.machine import IllegalMoveError
from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.base import Plugin
from stagecall.plugins.manager import Member
from stagecall.specs.lifecycle import Lifecycle, Stage
from stagecall.specs.rules import RULES, judge
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.specs.trace import Event, Kind, Outcome, Trace
from stagecall.testing.doubles import (
    Bench,
    HookRecorder,
    ScriptedEngine,
    ScriptedPlugin,
    path,
    task_plugin_class,
)
from stagecall.testing.virtual_time import run_virtually, virtual_time
from stagecall.worker.task_run import TaskRun


async def nothing(*_: Any) -> None:
    """What a hook or a reporter does that does nothing."""


async def slow(*_: Any) -> bool:
    """What a hook does that takes its time."""
    await asyncio.sleep(1)
    return True


async def slower(*_: Any) -> None:
    """What takes longer than `slow`."""
    await asyncio.sleep(3)


async def broken(*_: Any) -> None:
    """What a hook does that fails."""
    raise ValueError("a defect")


async def refuses(*_: Any) -> bool:
    """What `stopped` does that finds fault with the result."""
    return False


def cast() -> list[Plugin]:
    """Three plugins that keep every stage busy for a while; the last two come after the first one."""
    names = ("build_sandbox", "started", "stopped", "finished", "exception")
    hooks: dict[str, Any] = dict.fromkeys(names, slow)
    return [
        ScriptedPlugin("first", dispose=slow, **hooks),
        ScriptedPlugin("second", after=["first"], dispose=nothing, **hooks),
        ScriptedPlugin("third", after=["first"], dispose=slow, started=nothing, finished=nothing),
    ]


class DisposeStageSkipped(TaskRun):
    """Ends behind `resolved`."""

    def _leave(self, stage: Stage) -> str | None:
        return None if stage.name == "resolved" else super()._leave(stage)


class DisposeStageTwice(TaskRun):
    """Enters `dispose` once more."""

    def _leave(self, stage: Stage) -> str | None:
        again = stage.name == "dispose" and path(self.trace).count("dispose") == 1
        return "dispose" if again else super()._leave(stage)


class PluginNotDisposed(TaskRun):
    """Forgets the plugin declared last when it disposes."""

    async def dispose(self) -> None:
        self.participants.pop()
        await super().dispose()


class PluginDisposedTwice(TaskRun):
    """Disposes the first plugin once more."""

    async def dispose(self) -> None:
        await super().dispose()
        one = self.participants[0]
        await self.run_calls((Call("dispose", one.name, one.target.dispose),))


class DisposedInDeclaredOrder(TaskRun):
    """Disposes first what was declared first."""

    async def dispose(self) -> None:
        self.participants.reverse()
        await super().dispose()


class WorksAfterDispose(TaskRun):
    """Has a call left when all is disposed."""

    async def dispose(self) -> None:
        await super().dispose()
        await self.call("afterthought", nothing)


class LogClosedInDispose(TaskRun):
    """Leaves the log open for `finished`, and closes it when the plugins are disposed."""

    async def close_log(self) -> None:
        """Do nothing where the table has it closed."""

    async def _step(self, call: Call, end: float) -> None:
        await super()._step(call, end)
        if call.plugin == "first":
            await super().close_log()


class LogClosedLate(TaskRun):
    """Closes the log behind the hooks of `finished`, not before."""

    async def close_log(self) -> None:
        """Do nothing where the table has it closed."""

    async def _call_hooks(self, stage: Stage, hook: str) -> None:
        await super()._call_hooks(stage, hook)
        if hook == "finished":
            await super().close_log()


class LogNeverClosed(TaskRun):
    """Closes no log at all."""

    async def close_log(self) -> None:
        """Do nothing where the table has it closed."""


class SiblingCancelled(TaskRun):
    """Cancels the others when one hook has failed."""

    def call_failed(self, call: Call) -> None:
        super().call_failed(call)
        self._barrier.cancel([other for other in self._barrier.open if other.name == call.name])


class StageSkipped(TaskRun):
    """Goes from `start` to `waiting`."""

    def _leave(self, stage: Stage) -> str | None:
        return "waiting" if stage.name == "start" else super()._leave(stage)


class StageEnteredAgain(TaskRun):
    """Goes from `started` back to `build`, once."""

    def _leave(self, stage: Stage) -> str | None:
        again = stage.name == "started" and path(self.trace).count("build") == 1
        return "build" if again else super()._leave(stage)

    async def start_sandbox(self) -> None:
        if self.sandbox is None:
            await super().start_sandbox()


class HookForgotten(TaskRun):
    """Leaves the second plugin out of `stopped`."""

    async def _call_hooks(self, stage: Stage, hook: str) -> None:
        everybody = self.participants
        if hook == "stopped":
            self.participants = [one for one in everybody if one.name != "second"]
        await super()._call_hooks(stage, hook)
        self.participants = everybody


class ResolutionChanged(TaskRun):
    """Changes its mind when the resolution is reported."""

    async def report(self) -> None:
        self.resolution = Resolution("failed")
        self.record(Kind.OUTCOME, detail=driver._outcome(self.resolution))
        await super().report()


class VerdictIgnored(TaskRun):
    """Completes whatever the plugins find."""

    def _combine(self, call: Call) -> None:
        pass


class ErrorIgnored(TaskRun):
    """Goes on when a hook has failed, and completes."""

    def fail(self, error: BaseException, where: str, call: Call | None = None) -> None:
        super().fail(error, where, call)
        self.failures.clear()


class UncreatedCalled(TaskRun):
    """Calls hooks on a plugin that could not be created."""

    def _created(self, member: Member, call: Call) -> None:
        super()._created(member, call)
        if call.outcome is not Outcome.OK:
            target = task_plugin_class(exception=nothing)()
            self.participants.append(Participant(member.name, target, frozenset({"exception"})))


class HooksNotAwaited(TaskRun):
    """Begins the hooks of one stage and goes on without waiting for them."""

    hook = "started"

    async def _call_hooks(self, stage: Stage, hook: str) -> None:
        if hook != self.hook:
            await super()._call_hooks(stage, hook)
            return
        for one in self.participants:
            if hook in one.hooks:
                arguments = self.arguments(stage.arguments)
                self._barrier.start(Call(hook, one.name, getattr(one.target, hook), arguments))


class TwoHooksAtOnce(HooksNotAwaited):
    """Does not wait for `build_sandbox`, and calls `started` while it runs."""

    hook = "build_sandbox"


class AfterIgnored(TaskRun):
    """Calls all hooks at once, whatever `after` says."""

    async def _call_hooks(self, stage: Stage, hook: str) -> None:
        self.participants = [attrs.evolve(one, after=NOBODY) for one in self.participants]
        await super()._call_hooks(stage, hook)


class ReportedEarly(TaskRun):
    """Reports before the hooks of `finished`, and not in `resolved`."""

    async def close_log(self) -> None:
        await super().close_log()
        await super().report()

    async def report(self) -> None:
        """Do nothing where the table has it reported."""


class ReportedTwice(TaskRun):
    """Reports once more, to be sure."""

    async def report(self) -> None:
        await super().report()
        await super().report()


class ExceptionTwice(TaskRun):
    """Goes from `exception` to `exception`, once."""

    def _leave(self, stage: Stage) -> str | None:
        again = stage.name == "exception" and path(self.trace).count("exception") == 1
        return "exception" if again else super()._leave(stage)


class BackToTheMainPath(TaskRun):
    """Goes from `exception` to `finished`, as if all were well."""

    def _leave(self, stage: Stage) -> str | None:
        return "finished" if stage.name == "exception" else super()._leave(stage)


class NoExceptionStage(TaskRun):
    """Passes the exception stage by."""

    def _leave(self, stage: Stage) -> str | None:
        destination = super()._leave(stage)
        return "resolved" if destination == "exception" else destination


BROKEN: dict[type[TaskRun], tuple[str, ...]] = {
    DisposeStageSkipped: ("dispose-last", "disposed-once"),
    DisposeStageTwice: ("declared-order", "dispose-last", "disposed-once", "created-only"),
    PluginNotDisposed: ("disposed-once", "created-only"),
    PluginDisposedTwice: ("disposed-once", "created-only"),
    DisposedInDeclaredOrder: ("disposed-once",),
    WorksAfterDispose: ("dispose-last",),
    LogClosedInDispose: ("log-closed-first",),
    LogClosedLate: ("log-closed-first",),
    LogNeverClosed: ("log-closed-first",),
    StageSkipped: ("declared-order",),
    StageEnteredAgain: ("declared-order", "stage-barrier", "created-only"),
    HookForgotten: ("created-only",),
    ResolutionChanged: ("resolution-final",),
    TwoHooksAtOnce: ("one-hook-at-a-time", "stage-barrier"),
    HooksNotAwaited: ("stage-barrier",),
    AfterIgnored: ("stage-barrier",),
    ReportedEarly: ("log-closed-first",),
    ReportedTwice: ("log-closed-first",),
}
"""Drivers that break the order of a task in which nothing goes wrong, with all the rules that this breaks."""

BROKEN_BY_ERRORS: dict[type[TaskRun], tuple[dict[str, Any], tuple[str, ...]]] = {
    SiblingCancelled: ({"started": broken}, ("stage-barrier",)),
    UncreatedCalled: ({"new_task_plugin": broken}, ("created-only",)),
    VerdictIgnored: ({"stopped": refuses}, ("resolution-final",)),
    ErrorIgnored: ({"started": broken}, ("resolution-final",)),
    ExceptionTwice: (
        {"started": broken},
        ("declared-order", "exception-once", "stage-barrier", "created-only"),
    ),
    BackToTheMainPath: ({"started": broken}, ("declared-order", "exception-once", "resolution-final")),
    NoExceptionStage: ({"started": broken}, ("declared-order", "resolution-final", "log-closed-first")),
}
"""Drivers that are broken where a hook fails or finds fault: the hooks of one more plugin, and the rules."""


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a driver go wherever it wants: the machine would refuse, and the rules must not rely on that."""

    def anywhere(run: TaskRun, lifecycle: Lifecycle, destination: str) -> None:
        source, run.stage = run.stage, destination
        run.entered(source)

    monkeypatch.setattr(driver, "move", anywhere)


async def drive(
    bench: Bench, kind: type[TaskRun], plugins: Sequence[Plugin], *, strict: bool = False
) -> TaskRun:
    """Drive a run by a driver of this kind to its end, and clear away what it has left."""
    engine = ScriptedEngine(deeds={"wait_for_result": slower})
    runtime = bench.runtime(*plugins, engine=engine, strict=strict)
    run = kind(runtime, TaskInfo.from_definition(TaskDefinition.parse({"payload": {}})), report=nothing)
    bench.runs.append(run)
    bench.broken_on_purpose = kind is not TaskRun
    try:
        await run.wait()
    finally:
        if run._folder.path is not None:
            await run._remove_folder()
    return run


def convicting(trace: Trace) -> tuple[str, ...]:
    """The names of the rules that a trace breaks, in their order, each once."""
    return tuple(dict.fromkeys(found.rule.name for found in judge(trace)))


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
@virtual_time
async def test_broken_driver_is_convicted(make_run, kind):
    """A driver that breaks the order of a good task is convicted by the rules it breaks, and by no other."""
    run = await drive(make_run, kind, cast())

    assert convicting(run.trace) == BROKEN[kind]


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize("kind", BROKEN_BY_ERRORS, ids=lambda kind: kind.__name__)
@virtual_time
async def test_driver_broken_where_something_goes_wrong_is_convicted(make_run, kind):
    """A driver that goes astray where a hook fails is convicted by the rules it breaks, and by no other."""
    deeds, rules = BROKEN_BY_ERRORS[kind]

    run = await drive(make_run, kind, [*cast(), ScriptedPlugin("culprit", **deeds)])

    assert convicting(run.trace) == rules


@pytest.mark.parametrize(
    "deeds",
    [{}, *(deeds for deeds, _ in BROKEN_BY_ERRORS.values())],
    ids=["good", *(kind.__name__ for kind in BROKEN_BY_ERRORS)],
)
@virtual_time
async def test_driver_as_it_is_is_acquitted(make_run, deeds):
    """The driver as it is keeps every rule with the same engine and plugins, in strict mode too."""
    run = await drive(make_run, TaskRun, [*cast(), ScriptedPlugin("culprit", **deeds)], strict=True)

    assert judge(run.trace) == []


def test_every_rule_convicts_somebody():
    """No rule is there for show: each convicts one of the broken drivers."""
    convicted = {name for names in BROKEN.values() for name in names}
    convicted |= {name for _, names in BROKEN_BY_ERRORS.values() for name in names}

    assert convicted == {rule.name for rule in RULES}


@pytest.mark.usefixtures("no_machine")
@virtual_time
async def test_strict_mode_tells_the_waiter(make_run):
    """In strict mode a driver that breaks a rule ends in an error that names the rule and the event."""
    with pytest.raises(RuleBrokenError, match=r"rule 1 \(declared-order\) broken at event \d+: .*'waiting'"):
        await drive(make_run, StageSkipped, cast(), strict=True)


@virtual_time
async def test_machine_refuses_a_driver_that_leaves_the_table(make_run):
    """With the machine in place a driver cannot skip a stage: the waiter gets the illegal move."""
    with pytest.raises(IllegalMoveError, match="no move from 'start' to 'waiting'"):
        await drive(make_run, StageSkipped, cast())


@functools.cache
def good_traces() -> tuple[Trace, ...]:
    """Traces of a task that completes, of one that a plugin breaks, and of one that is aborted."""

    async def aborted(*_: Any) -> None:
        runs[-1].abort(ExceptionReason.CANCELED)

    runs: list[TaskRun] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        casts: list[dict[str, Any]] = [{"started": nothing}, {"started": broken}, {"started": aborted}]
        for deeds in casts:
            runs.append(bench(*cast(), HookRecorder(), ScriptedPlugin("culprit", **deeds), report=nothing))
            run_virtually(runs[-1].wait())
        bench.judge()
    return tuple(run.trace for run in runs)


def without(trace: Trace, seq: int) -> Trace:
    """The same trace with one event left out."""
    return Trace(trace.started, trace[:seq] + trace[seq + 1 :])


def mutate(events: list[Event], how: str, one: int, other: int) -> None:
    """Change a list of events in place, at the places given, modulo its length."""
    if not events:
        return
    one, other = one % len(events), other % len(events)
    match how:
        case "drop":
            del events[one]
        case "double":
            events.insert(other, events[one])
        case "swap":
            events[one], events[other] = events[other], events[one]
        case "strip":
            events[one] = attrs.evolve(events[one], detail=None)
        case "disown":
            events[one] = attrs.evolve(events[one], plugin=events[other].plugin)
        case "displace":
            events[one] = attrs.evolve(events[one], stage=f"no {events[other].stage}")


mutations = st.tuples(
    st.sampled_from(["drop", "double", "swap", "strip", "disown", "displace"]),
    st.integers(0, 200),
    st.integers(0, 200),
)


@given(st.integers(0, 2), st.lists(mutations, min_size=1, max_size=12))
@settings(max_examples=200)
def test_judges_take_any_trace(which, changes):
    """Whatever is dropped, doubled, swapped or emptied in a trace, judging it gives findings, no error."""
    trace = good_traces()[which]
    events = list(trace)

    for change in changes:
        mutate(events, *change)
    found = judge(Trace(trace.started, events))

    assert [one for one in found if not 0 <= one.seq <= len(events)] == []
    assert [one.rule.number for one in found] == sorted(one.rule.number for one in found)


@pytest.mark.parametrize("which", range(3), ids=["completed", "broken", "aborted"])
def test_missing_move_is_always_noticed(which):
    """A trace without any one of its moves breaks the declared order, and the whole one breaks nothing."""
    trace = good_traces()[which]
    places = [seq for seq, event in enumerate(trace) if event.kind is Kind.MOVE]

    judged = {seq: convicting(without(trace, seq)) for seq in places}

    assert len(places) > 5
    assert {seq: names for seq, names in judged.items() if "declared-order" not in names} == {}
    assert convicting(trace) == ()


@pytest.mark.parametrize(
    "kind", [Kind.RUN, Kind.CREATED, Kind.CALL, Kind.RETURN, Kind.LOG_CLOSED, Kind.OUTCOME, Kind.END]
)
def test_missing_event_is_always_noticed(kind):
    """A trace of a completed task of which an event is missing that a rule is about breaks one."""
    trace = good_traces()[0]
    places = [seq for seq, event in enumerate(trace) if event.kind is kind]

    unnoticed = [seq for seq in places if judge(without(trace, seq)) == []]

    assert places != []
    assert unnoticed == []
