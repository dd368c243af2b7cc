"""A trace survives run.json, and what is no trace is refused with the reason."""

import json

import pytest

from stagecall.lifecycle.errors import MalformedPayloadError
from stagecall.specs.trace import Event, Kind, Trace, TraceError
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.testing.virtual_time import run_virtually

STARTED = "2026-01-01T00:00:00+00:00"
EVENT = {"seq": 0, "time": 0.5, "kind": "move", "stage": "prepare", "source": "pending"}


def broken(*arguments):
    raise MalformedPayloadError("no")


def verdict(result_set):
    return result_set.success


@pytest.mark.parametrize(
    ("state", "exit_code", "deeds"),
    [("completed", 0, {}), ("failed", 1, {"stopped": verdict}), ("exception", 0, {"started": broken})],
)
def test_trace_of_a_run_survives_run_json(make_run, state, exit_code, deeds):
    """Written as JSON and read again it is the same, event by event, whatever the run became."""
    run = make_run(ScriptedPlugin(**deeds), exit_code=exit_code)
    run_virtually(run.wait())
    document = run.trace.to_document()

    read = Trace.from_document(json.loads(json.dumps(document, allow_nan=False)))

    assert [event.get("state") for event in read.of(Kind.OUTCOME)] == [state]
    assert read.to_document() == document
    assert read.started == run.trace.started
    assert [(e.kind, e.stage, e.plugin, e.call, e.detail or None) for e in read] == [
        (e.kind, e.stage, e.plugin, e.call, e.detail or None) for e in run.trace
    ]
    assert [event["seq"] for event in document["events"]] == list(range(len(run.trace)))


def test_trace_ignores_what_stands_beside_it():
    """run.json may say more than the trace."""
    document = {"version": 1, "started": STARTED, "events": [EVENT], "summary": {"state": "completed"}}

    assert list(Trace.from_document(document)) == [
        Event(0.5, Kind.MOVE, "prepare", detail={"source": "pending"})
    ]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"version": 2}, "trace version 2 is not known; this release reads version 1"),
        ({"version": None}, "trace version None is not known"),
        ({"started": "yesterday"}, "'started' must be an ISO 8601 instant"),
        ({"started": 5}, "'started' must be an ISO 8601 instant"),
        ({"events": {}}, "'events' must be a list"),
        ({"events": [EVENT, EVENT | {"kind": "dance"}]}, "event 1 cannot be read: .*dance"),
        ({"events": [EVENT | {"time": "soon"}]}, "event 0 cannot be read: .*soon"),
        ({"events": [{"time": 1}]}, "event 0 cannot be read: KeyError"),
        ({"events": [EVENT, None]}, "event 1 cannot be read"),
        ({"events": [EVENT, "text"]}, "event 1 cannot be read"),
    ],
)
def test_damage_is_named(damage, message):
    """The error says which version it is, or which event cannot be read."""
    with pytest.raises(TraceError, match=message):
        Trace.from_document({"version": 1, "started": STARTED, "events": []} | damage)


@pytest.mark.parametrize("document", [None, [], "text", {}, {"version": 1, "started": STARTED}])
def test_what_is_no_trace_is_refused(document):
    """Something else altogether is told from a damaged trace."""
    with pytest.raises(TraceError, match="not a trace: expected an object with version, started and events"):
        Trace.from_document(document)
