"""What is read out of a trace, whole or cut, honest or not."""

import attrs
import pytest

from stagecall.lifecycle.diagram.history import Call, History, Problem
from stagecall.specs.trace import Event, Kind, Outcome, Trace

from .diagram_support import (
    PLUGINS,
    TASK_ID,
    Recorder,
    aborted_run,
    broken_run,
    completed_run,
    malformed_run,
    running_run,
)


def started() -> Trace:
    return Recorder().trace()


def test_completed_run():
    """A run is the visits of its stages in order, each with its calls, and how it was resolved."""
    history = History.of(completed_run())

    assert [visit.stage for visit in history.visits] == [
        *(
            "pending",
            "prepare",
            "build",
            "start",
            "started",
            "waiting",
            "stopped",
            "finished",
            "resolved",
            "dispose",
        )
    ]
    assert (history.task_id, tuple(history.plugins), history.over) == (TASK_ID, PLUGINS, True)
    assert (history.current, history.state, history.verdict()) == (None, "completed", "completed")
    assert [call.name for call in history.by_stage["prepare"].calls] == [
        "new_sandbox_builder",
        *["new_task_plugin"] * 4,
    ]
    assert [visit.end for visit in history.visits[:-1]] == [visit.start for visit in history.visits[1:]]


def test_broken_run():
    """A failed hook keeps its error, one that never returned is abandoned, and no error is told twice."""
    visit = History.of(broken_run()).by_stage["started"]

    outcomes = {call.plugin: call.outcome for call in visit.calls}
    assert outcomes == {"artifacts": Outcome.FAILED, "env": Outcome.OK, "tasklog": Outcome.ABANDONED}
    assert visit.calls[0].error is not None
    assert visit.calls[0].error.startswith("OSError: ")
    assert (visit.bad, len(visit.problems), visit.other_problems()) == (True, 1, [])


def test_error_that_no_call_returned():
    """An error without a call, as of an invalid payload, is shown by itself."""
    visit = History.of(malformed_run()).by_stage["prepare"]

    message = "payload: command: required field; env.PATH: must be of string type"
    assert visit.other_problems() == [Problem(None, None, message)]


def test_run_under_way():
    """Of a run that has not ended, the last stage is the current one and its calls last until now."""
    history = History.of(running_run())

    assert (history.current, history.verdict()) == ("waiting", "under way, in waiting")
    assert [history.seconds(call) for call in history.by_stage["waiting"].calls] == [12.5, 12.5]
    assert [call.outcome for call in history.by_stage["waiting"].calls] == [None, None]


def test_provisional_outcome_is_no_resolution():
    """Until the outcome is final, the run is under way."""
    trace = completed_run()
    cut = next(i for i, event in enumerate(trace) if event.kind is Kind.OUTCOME)

    history = History.of(Trace(trace.started, trace.events[: cut + 1]))

    assert (history.state, history.verdict()) == (None, "under way, in stopped")


def test_abort_belongs_to_the_stage_it_came_in():
    """An accepted abort is kept with its time and reason; the calls it cancelled are not to blame."""
    visit = History.of(aborted_run()).by_stage["waiting"]

    assert [(round(time - visit.start, 6), reason) for time, reason in visit.aborts] == [(1.5, "canceled")]
    assert ([call.outcome for call in visit.calls], visit.bad) == ([Outcome.CANCELLED], False)


def test_late_events_do_not_lengthen_the_run():
    """What an abandoned call does after the end is no part of the run's time."""
    trace = completed_run()
    whole = History.of(trace)

    trace.events.append(Event(1000.0, Kind.LATE, "dispose", "tasklog", "started"))

    assert History.of(trace).now == whole.now


def test_same_call_twice_at_once():
    """Two calls of one name at the same time end in the order they began."""
    run = Recorder()
    for _ in range(2):
        run.add(Kind.CALL, "env", "background:watch")
    for outcome in ("ok", "failed"):
        run.time += 1
        run.add(Kind.RETURN, "env", "background:watch", outcome=outcome)

    calls = History.of(run.trace()).calls

    call = Call("pending", "env", "background:watch", 0.0)
    assert calls == [
        attrs.evolve(call, end=1.0, outcome=Outcome.OK),
        attrs.evolve(call, end=2.0, outcome=Outcome.FAILED),
    ]


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -5.0])
def test_time_that_is_none_counts_as_the_time_before(time):
    """A time that is not finite or goes back moves nothing."""
    trace = started()

    trace.events.append(Event(time, Kind.MOVE, "prepare", detail={"source": "pending"}))

    assert [(visit.stage, visit.start) for visit in History.of(trace).visits] == [
        ("pending", 0.0),
        ("prepare", 0.0),
    ]


def test_strange_fields_are_read_as_text():
    """What a stored trace holds in place of names and outcomes is shown, never raised on."""
    trace = Trace.from_document(
        {
            "version": 1,
            "started": "2026-01-01T00:00:00+00:00",
            "events": [
                {"time": 0, "kind": "run", "stage": "pending", "plugins": [1, {"name": ["x"]}, {}]},
                {"time": 1, "kind": "return", "stage": "pending", "plugin": {}, "call": []},
                {"time": 1, "kind": "call", "stage": "elsewhere", "plugin": [1], "call": {"a": 1}},
                {
                    "time": 2,
                    "kind": "return",
                    "stage": "pending",
                    "plugin": [1],
                    "call": {"a": 1},
                    "outcome": 7,
                },
                {"time": 3, "kind": "error", "stage": "pending", "plugin": 4, "message": None},
                {"time": 3, "kind": "outcome", "stage": "pending", "state": 5, "reason": {}},
            ],
        }
    )

    history = History.of(trace)

    assert history.plugins == ["1", "['x']", "", "[1]"]
    assert history.calls == [Call("pending", "[1]", "{'a': 1}", 1.0, 2.0, Outcome.FAILED)]
    assert history.visits[0].problems == [Problem("4", None, "None")]
    assert history.verdict() == "5: {}"


def test_trace_without_events():
    """A trace in which nothing has happened has no visits and no verdict but that."""
    history = History.of(Trace(started().started))

    assert (history.visits, history.current, history.verdict()) == ([], None, "never resolved")
