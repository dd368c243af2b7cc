"""Every rule notices the damage it is about, and accuses no run that only looks odd.

Drivers that break the order of a run stand in `test_broken_drivers.py`; here are those that fail where a plugin does.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.calls import Call
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.lifecycle.resolution import Resolution
from stagecall.specs.rules import RULES, judge
from stagecall.specs.trace import Event, Kind, Trace
from stagecall.testing.doubles import Bench, HookRecorder, ScriptedPlugin, assert_sound
from stagecall.testing.virtual_time import run_virtually, virtual_time
from stagecall.worker.task_run import TaskRun

from ..support.sabotage import does_not_fence, stops_disposing_at_the_first_error


def names(trace: Trace) -> list[str]:
    """The rules that a trace breaks."""
    return list(dict.fromkeys(broken.rule.name for broken in judge(trace)))


async def nothing(*_: object) -> None:
    """A hook that does nothing."""


async def defect(*_: object) -> None:
    """A hook that fails."""
    raise ValueError("a defect")


def cast(**more: Callable[..., Any]) -> list[ScriptedPlugin]:
    """Three plugins with every hook, the last after the first; the middle one does as it is told."""
    every: dict[str, Any] = dict.fromkeys(
        ("build_sandbox", "started", "finished", "exception", "dispose"), nothing
    )
    return [
        ScriptedPlugin("red", **every),
        ScriptedPlugin("green", **{**every, **more}),
        ScriptedPlugin("blue", after={"red"}, **every),
    ]


async def drive(make_run: Bench, *plugins: ScriptedPlugin, **options: Any) -> Trace:
    """Drive a run whose driver is broken, to its end if it has one."""
    make_run.broken_on_purpose = True
    run = make_run(*plugins, **options)
    try:
        await asyncio.wait_for(run.wait(), 10_000)
    except (AssertionError, TimeoutError):
        pass  # a broken driver may fail at its own end
    return run.trace


def disposes_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: TaskRun) -> None:
        await self.run_calls(
            [Call("dispose", one.name, one.target.dispose) for one in reversed(self.participants)]
        )

    monkeypatch.setattr(TaskRun, "dispose", at_once)


def forgets_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    start = TaskRun.start_sandbox

    async def forgetful(self: TaskRun) -> None:
        await start(self)
        self.participants[1] = attrs.evolve(self.participants[1], hooks=frozenset({"dispose"}))

    monkeypatch.setattr(TaskRun, "start_sandbox", forgetful)


async def hangs(*_: object) -> None:
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass


BROKEN_DRIVERS: dict[Callable[[pytest.MonkeyPatch], None], tuple[dict[str, Any], set[str]]] = {
    disposes_side_by_side: ({}, {"stage-barrier"}),
    stops_disposing_at_the_first_error: ({"dispose": defect}, {"disposed-once"}),
    forgets_a_plugin: ({}, {"created-only"}),
    does_not_fence: ({"started": hangs}, {"one-hook-at-a-time"}),
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
