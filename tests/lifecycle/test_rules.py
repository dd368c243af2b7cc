"""Every rule catches the driver that breaks it, and accuses no other."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.barrier import Barrier
from stagecall.lifecycle.calls import Call
from stagecall.lifecycle.driver import RuleBrokenError, Run
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.lifecycle.resolution import Resolution
from stagecall.specs.rules import RULES, judge
from stagecall.specs.trace import Event, Kind, Outcome, Trace
from stagecall.worker.task_run import TaskRun

from ..support.plugins import HookRecorder, Scripted
from ..support.runs import Bench, assert_sound
from ..support.virtual_time import run_virtually, virtual_time


def names(trace: Trace) -> list[str]:
    """The rules that a trace breaks."""
    return list(dict.fromkeys(broken.rule.name for broken in judge(trace)))


async def nothing(*_: object) -> None:
    """A hook that does nothing."""


async def defect(*_: object) -> None:
    """A hook that fails."""
    raise ValueError("a defect")


def cast(**more: Callable[..., Any]) -> list[Scripted]:
    """Three plugins with every hook, the last after the first; the middle one does as it is told."""
    every: dict[str, Any] = dict.fromkeys(
        ("build_sandbox", "started", "finished", "exception", "dispose"), nothing
    )
    return [
        Scripted("red", **every),
        Scripted("green", **{**every, **more}),
        Scripted("blue", after={"red"}, **every),
    ]


async def drive(make_run: Bench, *plugins: Scripted, **options: Any) -> Trace:
    """Drive a run whose driver is broken, to its end if it has one."""
    make_run.broken_on_purpose = True
    run = make_run(*plugins, **options)
    try:
        await asyncio.wait_for(run.wait(), 10_000)
    except (AssertionError, TimeoutError):
        pass  # a broken driver may fail at its own end
    return run.trace


# Drivers that are broken in one place each


def skips_dispose(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_dispose(self: TaskRun) -> None:
        pass

    monkeypatch.setattr(TaskRun, "dispose", no_dispose)


def ends_before_dispose(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Run._leave
    monkeypatch.setattr(
        Run, "_leave", lambda run, stage: None if stage.name == "resolved" else leave(run, stage)
    )


def disposes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    dispose = TaskRun.dispose

    async def twice(self: TaskRun) -> None:
        await dispose(self)
        await dispose(self)

    monkeypatch.setattr(TaskRun, "dispose", twice)


def disposes_before_the_log_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    close_log = TaskRun.close_log
    monkeypatch.setattr(TaskRun, "close_log", TaskRun.dispose)
    monkeypatch.setattr(TaskRun, "report", close_log)


def disposes_in_order_of_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    dispose = TaskRun.dispose

    async def forwards(self: TaskRun) -> None:
        self.participants = list(reversed(self.participants))
        await dispose(self)

    monkeypatch.setattr(TaskRun, "dispose", forwards)


def disposes_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: TaskRun) -> None:
        await self.run_calls(
            [Call("dispose", one.name, one.target.dispose) for one in reversed(self.participants)]
        )

    monkeypatch.setattr(TaskRun, "dispose", at_once)


def stops_disposing_at_the_first_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def impatient(self: TaskRun) -> None:
        for one in reversed(self.participants):
            call = Call("dispose", one.name, one.target.dispose)
            await self.run_calls((call,))
            if call.outcome is not Outcome.OK:
                return

    monkeypatch.setattr(TaskRun, "dispose", impatient)


def cancels_the_siblings_of_a_failed_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Run.call_failed

    def cancel_all(self: Run, call: Call) -> None:
        failed(self, call)
        self._barrier.cancel([other for other in self._barrier.open if other is not call])

    monkeypatch.setattr(Run, "call_failed", cancel_all)


def skips_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    skip(monkeypatch, "started", "stopped")


def skips_to_dispose(monkeypatch: pytest.MonkeyPatch) -> None:
    skip(monkeypatch, "stopped", "dispose")


def skip(monkeypatch: pytest.MonkeyPatch, here: str, there: str) -> None:
    leave, move = Run._leave, Run.entered

    def _leave(run: Run, stage: Any) -> str | None:
        return there if stage.name == here else leave(run, stage)

    def force(run: Run, lifecycle: Any, destination: str) -> None:
        source, run.stage = run.stage, destination
        move(run, source)

    monkeypatch.setattr(Run, "_leave", _leave)
    monkeypatch.setattr("stagecall.lifecycle.driver.move", force)


def does_not_wait_for_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: Barrier) -> None:
        self._awaited = 0

    monkeypatch.setattr(Barrier, "_all_ended", at_once)


def ignores_after(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Barrier.run

    def unordered(self: Barrier, calls: Any) -> Any:
        for call in calls:
            call.after = frozenset()
        return run(self, calls)

    monkeypatch.setattr(Barrier, "run", unordered)


def decides_before_the_errors_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagecall.lifecycle.driver.decide", lambda *_: Resolution("completed"))


def ignores_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "_combine", lambda self, call: None)


def closes_the_log_after_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    close_log = TaskRun.close_log

    async def nothing(self: TaskRun) -> None:
        pass

    monkeypatch.setattr(TaskRun, "close_log", nothing)
    monkeypatch.setattr(TaskRun, "report", close_log)


def closes_the_log_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close_log(self: TaskRun) -> None:
        self.log.close()
        self.record(Kind.LOG_CLOSED, detail={"bytes": 0})

    monkeypatch.setattr(TaskRun, "close_log", close_log)
    monkeypatch.setattr(TaskRun, "report", close_log)


def reports_early(monkeypatch: pytest.MonkeyPatch) -> None:
    close_log = TaskRun.close_log

    async def close_and_report(self: TaskRun) -> None:
        await close_log(self)
        await self.call("report", nothing)

    monkeypatch.setattr(TaskRun, "close_log", close_and_report)


def calls_hooks_of_what_was_not_created(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Run.record

    def silent(self: Run, kind: Kind, plugin: str | None = None, *rest: Any, **more: Any) -> None:
        if not (kind is Kind.CREATED and plugin == "green"):
            record(self, kind, plugin, *rest, **more)

    monkeypatch.setattr(Run, "record", silent)


def forgets_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    start = TaskRun.start_sandbox

    async def forgetful(self: TaskRun) -> None:
        await start(self)
        self.participants[1] = attrs.evolve(self.participants[1], hooks=frozenset({"dispose"}))

    monkeypatch.setattr(TaskRun, "start_sandbox", forgetful)


def goes_on_with_an_abandoned_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "_fence", lambda self, plugin: None)


async def hangs(*_: object) -> None:
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass


BROKEN_DRIVERS: dict[Callable[[pytest.MonkeyPatch], None], tuple[dict[str, Any], set[str]]] = {
    skips_dispose: ({}, {"disposed-once"}),
    ends_before_dispose: ({}, {"dispose-last", "disposed-once"}),
    disposes_twice: ({}, {"disposed-once", "created-only"}),
    disposes_before_the_log_is_closed: ({}, {"log-closed-first", "disposed-once", "created-only"}),
    disposes_in_order_of_declaration: ({}, {"disposed-once"}),
    disposes_side_by_side: ({}, {"stage-barrier"}),
    stops_disposing_at_the_first_error: ({"dispose": defect}, {"disposed-once"}),
    cancels_the_siblings_of_a_failed_hook: ({"started": defect}, {"stage-barrier"}),
    skips_a_stage: ({}, {"declared-order"}),
    skips_to_dispose: ({}, {"declared-order", "resolution-final", "log-closed-first"}),
    does_not_wait_for_hooks: ({}, {"stage-barrier"}),
    ignores_after: ({}, {"stage-barrier"}),
    decides_before_the_errors_are_in: ({"started": defect}, {"resolution-final"}),
    ignores_the_verdict: ({"stopped": lambda _: False}, {"resolution-final"}),
    closes_the_log_after_the_hooks: ({}, {"log-closed-first"}),
    closes_the_log_twice: ({}, {"log-closed-first"}),
    reports_early: ({}, {"log-closed-first"}),
    calls_hooks_of_what_was_not_created: ({}, {"disposed-once", "created-only"}),
    forgets_a_plugin: ({}, {"created-only"}),
    goes_on_with_an_abandoned_plugin: ({"started": hangs}, {"one-hook-at-a-time"}),
}


@pytest.mark.parametrize("sabotage", BROKEN_DRIVERS, ids=lambda sabotage: sabotage.__name__)
def test_broken_driver_is_caught_by_a_rule(make_run, monkeypatch, sabotage):
    """A driver that is broken in one place convicts itself by its trace, and the same run of the sound one does not."""
    deeds, rules = BROKEN_DRIVERS[sabotage]
    sound = run_virtually(drive(make_run, *cast(**deeds)))

    with monkeypatch.context() as patch:
        sabotage(patch)
        broken = run_virtually(drive(make_run, *cast(**deeds)))

    assert names(sound) == []
    assert rules <= set(names(broken)), list(map(str, judge(broken)))


@virtual_time
async def test_strict_mode_raises_what_a_broken_driver_did(make_run, monkeypatch):
    """In strict mode a run judges itself at its end, and the embedder hears of every rule it broke."""
    make_run.broken_on_purpose = True
    skips_dispose(monkeypatch)
    run = make_run(*cast(), strict=True)

    with pytest.raises(RuleBrokenError) as caught:
        await run.wait()

    assert str(caught.value) == "; ".join(map(str, judge(run.trace)))
    assert "rule 7 (disposed-once) broken" in str(caught.value)


@virtual_time
async def test_strict_mode_says_nothing_of_a_sound_run(make_run):
    """Judging costs a sound run only time."""
    run = make_run(*cast(), strict=True)

    assert (await run.wait()).success


# Traces that are damaged in one place each


def good(make_run: Bench) -> Trace:
    """The trace of a run in which an error led to exception, with a report and three plugins."""

    async def report(resolution: Resolution) -> None:
        pass

    async def error_in_finished() -> Trace:
        run = make_run(*cast(finished=defect), HookRecorder(), report=report)
        await run.wait()
        return run.trace

    return run_virtually(error_in_finished())


def place(trace: Trace, kind: Kind, call: str | None = None, stage: str | None = None) -> int:
    """Where the first such event is."""
    return next(
        seq
        for seq, event in enumerate(trace)
        if event.kind is kind and call in (None, event.call) and stage in (None, event.stage)
    )


def dropped(trace: Trace, *where: Any) -> list[Event]:
    at = place(trace, *where)
    return [*trace[:at], *trace[at + 1 :]]


def doubled(trace: Trace, *where: Any) -> list[Event]:
    at = place(trace, *where)
    return [*trace[: at + 1], *trace[at:]]


def moved_to_the_end(trace: Trace, *where: Any) -> list[Event]:
    return [*dropped(trace, *where), trace[place(trace, *where)]]


def changed(trace: Trace, *where: Any, **detail: Any) -> list[Event]:
    at = place(trace, *where)
    event = attrs.evolve(trace[at], detail={**(trace[at].detail or {}), **detail})
    return [*trace[:at], event, *trace[at + 1 :]]


DAMAGES: list[tuple[str, Callable[[Trace], list[Event]], str]] = [
    ("a move is missing", lambda t: dropped(t, Kind.MOVE, None, "build"), "declared-order"),
    ("a stage twice", lambda t: doubled(t, Kind.MOVE, None, "build"), "declared-order"),
    (
        "a move from elsewhere",
        lambda t: changed(t, Kind.MOVE, None, "build", source="waiting"),
        "declared-order",
    ),
    ("exception twice", lambda t: doubled(t, Kind.MOVE, None, "exception"), "exception-once"),
    (
        "back from exception",
        lambda t: [*t[:-1], Event(9.0, Kind.MOVE, "finished", detail={"source": "dispose"}), t[-1]],
        "exception-once",
    ),
    ("dispose never entered", lambda t: dropped(t, Kind.MOVE, None, "dispose"), "dispose-last"),
    ("something after the end", lambda t: moved_to_the_end(t, Kind.MOVE, None, "dispose"), "dispose-last"),
    ("a hook after dispose", lambda t: moved_to_the_end(t, Kind.CALL, "started"), "dispose-last"),
    ("no end", lambda t: t[:-1], "dispose-last"),
    ("two ends", lambda t: [*t, t[-1]], "dispose-last"),
    ("a call that never ended", lambda t: dropped(t, Kind.RETURN, "dispose"), "dispose-last"),
    ("a return of nothing", lambda t: dropped(t, Kind.CALL, "started"), "one-hook-at-a-time"),
    ("two hooks at once", lambda t: dropped(t, Kind.RETURN, "build_sandbox"), "one-hook-at-a-time"),
    (
        "a stage left too early",
        lambda t: moved_to_the_end(t, Kind.RETURN, "wait_for_result"),
        "stage-barrier",
    ),
    ("a hook cancelled", lambda t: changed(t, Kind.RETURN, "started", outcome="cancelled"), "stage-barrier"),
    ("no outcome", lambda t: dropped(t, Kind.OUTCOME), "resolution-final"),
    ("two outcomes", lambda t: doubled(t, Kind.OUTCOME), "resolution-final"),
    ("an outcome too late", lambda t: moved_to_the_end(t, Kind.OUTCOME), "resolution-final"),
    (
        "another outcome",
        lambda t: changed(t, Kind.OUTCOME, state="completed", reason=None),
        "resolution-final",
    ),
    ("another reason", lambda t: changed(t, Kind.OUTCOME, reason="canceled"), "resolution-final"),
    ("an outcome without cause", lambda t: dropped(t, Kind.ERROR), "resolution-final"),
    ("a dispose is missing", lambda t: without(t, "dispose", "green"), "disposed-once"),
    ("a dispose of nobody", lambda t: dropped(t, Kind.CREATED), "disposed-once"),
    ("the log closed twice", lambda t: doubled(t, Kind.LOG_CLOSED), "log-closed-first"),
    ("the log never closed", lambda t: dropped(t, Kind.LOG_CLOSED), "log-closed-first"),
    ("the log closed last", lambda t: moved_to_the_end(t, Kind.LOG_CLOSED), "log-closed-first"),
    ("reported twice", lambda t: doubled(t, Kind.CALL, "report"), "log-closed-first"),
    ("a hook of nobody", lambda t: dropped(t, Kind.CREATED), "created-only"),
    ("a hook twice", lambda t: doubled(t, Kind.CALL, "started"), "created-only"),
    ("a hook is missing", lambda t: without(t, "started", "green"), "created-only"),
    ("exception is missing", lambda t: without(t, "exception", "red"), "created-only"),
]


def without(trace: Trace, call: str, plugin: str) -> list[Event]:
    return [event for event in trace if (event.call, event.plugin) != (call, plugin)]


@pytest.mark.parametrize(
    ("damage", "rule"), [(d, r) for _, d, r in DAMAGES], ids=[name for name, _, _ in DAMAGES]
)
def test_damaged_trace_breaks_its_rule(make_run, damage, rule):
    """A trace that is damaged in one place breaks the rule about that place."""
    trace = good(make_run)

    damaged = Trace(trace.started, damage(trace))

    assert names(trace) == []
    assert rule in names(damaged), list(map(str, judge(damaged)))


def test_every_rule_has_a_damage():
    """No rule goes untried."""
    assert {rule for _, _, rule in DAMAGES} == {rule.name for rule in RULES}


def test_broken_rule_is_named_with_its_place():
    """A broken rule reads as a sentence with the rule's number and name and the event's place."""
    empty = Trace(datetime(2026, 1, 1, tzinfo=UTC))

    assert str(judge(empty)[0]) == (
        "rule 3 (dispose-last) broken at event 0: 'dispose' was entered 0 times, not once"
    )


def test_rules_are_the_designs():
    """The design has nine rules."""
    assert [rule.number for rule in RULES] == list(range(1, 10))


# Runs that look odd and keep the rules


def odd_runs(make_run: Bench) -> Iterator[Any]:
    async def slow(*_: object) -> None:
        await asyncio.sleep(50)

    yield make_run(*cast(started=hangs))
    yield make_run(*cast(dispose=hangs, exception=defect))
    yield make_run(*cast(dispose=hangs, started=hangs))
    yield make_run(*cast(build_sandbox=slow, finished=defect))
    yield make_run(*cast(new_task_plugin=defect))
    yield make_run(*cast(), payload={"unknown": 1})


@virtual_time
async def test_odd_but_sound_runs_are_not_accused(make_run):
    """Abandonment, errors late and early, plugins that fail to be made: the rules know all of them."""
    for run in odd_runs(make_run):
        asyncio.get_running_loop().call_later(3, run.abort, ExceptionReason.CANCELED)
        await run.wait()
        assert_sound(run.trace)
