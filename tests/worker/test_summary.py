"""The summary is the object of the command line's contract, made from the trace alone."""

from datetime import UTC, datetime

import pytest

from stagecall.specs.trace import Event, Kind, Trace
from stagecall.worker.cli.summary import refusals, summarise

RUN = Event(
    0.0,
    Kind.RUN,
    "pending",
    detail={"lifecycle": "task-run", "task_id": "VRzKBhTiQ0-FuPzN5AAWUA", "run_id": 2},
)


def trace(*events: Event) -> Trace:
    return Trace(datetime(2030, 1, 31, 12, tzinfo=UTC), [RUN, *events])


def move(time: float, stage: str) -> Event:
    return Event(time, Kind.MOVE, stage, detail={"source": "?"})


def artifact(name: str, **detail) -> Event:
    return Event(1.0, Kind.ARTIFACT, "stopped", detail={"name": name, "content_type": "text/plain", **detail})


def test_whole_summary():
    """Every part of the object: facts, resolution, stages, hooks of plugins only, artifacts."""
    events = [
        move(0.001, "prepare"),
        Event(0.002, Kind.CALL, "prepare", None, "new_sandbox_builder"),
        Event(0.002, Kind.CALL, "prepare", "env", "new_task_plugin"),
        Event(0.003, Kind.RETURN, "prepare", "env", "new_task_plugin", {"outcome": "ok"}),
        Event(0.004, Kind.RETURN, "prepare", None, "new_sandbox_builder", {"outcome": "ok"}),
        move(0.005, "stopped"),
        Event(0.006, Kind.CALL, "stopped", "artifacts", "stopped"),
        artifact("public/a.txt", storage="object", path="out/artifacts/public/a.txt", bytes=3, sha256="ab12"),
        Event(
            1.006,
            Kind.RETURN,
            "stopped",
            "artifacts",
            "stopped",
            {"outcome": "failed", "error": "OSError: full"},
        ),
        Event(
            1.007,
            Kind.OUTCOME,
            "stopped",
            detail={"state": "exception", "reason": "internal-error", "cause": "it was full", "final": True},
        ),
        move(1.007, "dispose"),
        Event(1.25, Kind.END, "dispose"),
    ]

    summary = summarise(trace(*events))

    assert summary == {
        "taskId": "VRzKBhTiQ0-FuPzN5AAWUA",
        "runId": 2,
        "resolution": "exception",
        "reason": "internal-error",
        "cause": "it was full",
        "stages": [
            {"stage": "prepare", "start": 0.001, "seconds": 0.004},
            {"stage": "stopped", "start": 0.005, "seconds": 1.002},
            {"stage": "dispose", "start": 1.007, "seconds": 0.243},
        ],
        "hooks": [
            {
                "stage": "prepare",
                "plugin": "env",
                "hook": "new_task_plugin",
                "start": 0.002,
                "seconds": 0.001,
                "outcome": "ok",
                "error": None,
            },
            {
                "stage": "stopped",
                "plugin": "artifacts",
                "hook": "stopped",
                "start": 0.006,
                "seconds": 1.0,
                "outcome": "failed",
                "error": "OSError: full",
            },
        ],
        "artifacts": [
            {
                "name": "public/a.txt",
                "storage": "object",
                "contentType": "text/plain",
                "path": "out/artifacts/public/a.txt",
                "bytes": 3,
                "sha256": "ab12",
            },
        ],
    }


@pytest.mark.parametrize(
    ("storage", "place"),
    [
        ("object", {"path": "out/a"}),
        ("object", {"url": "s3://bucket/a"}),
        ("error", {"reason": "file-missing-on-worker"}),
        ("redirect", {"url": "http://example.com/"}),
        ("link", {"target": "public/b"}),
    ],
)
def test_an_artifact_says_where_it_is(storage, place):
    """What has no content here says where it leads or why it is missing; size and digest are null then."""
    (found,) = summarise(trace(artifact("a", storage=storage, **place)))["artifacts"]

    assert found == {
        "name": "a",
        "storage": storage,
        "contentType": "text/plain",
        **place,
        "bytes": None,
        "sha256": None,
    }


def test_a_replaced_artifact_is_told_once():
    """Of several artifacts of one name the last counts."""
    found = summarise(
        trace(
            artifact("a", storage="redirect", url="http://one/"),
            artifact("a", storage="redirect", url="http://two/"),
        )
    )["artifacts"]

    assert [one["url"] for one in found] == ["http://two/"]


def test_a_trace_that_breaks_off():
    """What had not returned counts as abandoned, the last stage lasts until the last event."""
    events = [
        move(0.0, "prepare"),
        Event(0.5, Kind.CALL, "prepare", "env", "new_task_plugin"),
        Event(2.0, Kind.LATE_LOG, "prepare"),
    ]

    summary = summarise(trace(*events))

    assert summary["resolution"] is None
    assert summary["stages"] == [{"stage": "prepare", "start": 0.0, "seconds": 2.0}]
    assert [(hook["seconds"], hook["outcome"], hook["error"]) for hook in summary["hooks"]] == [
        (1.5, "abandoned", "the trace ends before it returned")
    ]


def test_late_returns_do_not_lengthen_the_run():
    """The run ended at its end, however long an abandoned call took."""
    events = [
        move(0.0, "dispose"),
        Event(1.0, Kind.END, "dispose"),
        Event(60.0, Kind.LATE, "dispose", "env", "started"),
    ]

    assert summarise(trace(*events))["stages"] == [{"stage": "dispose", "start": 0.0, "seconds": 1.0}]


def test_an_empty_trace_has_a_summary():
    """Even nothing can be summarised."""
    summary = summarise(Trace(datetime(2030, 1, 31, 12, tzinfo=UTC)))

    facts = dict.fromkeys(["taskId", "runId", "resolution", "reason", "cause"])
    assert summary == {**facts, "stages": [], "hooks": [], "artifacts": []}


def test_refusals_name_the_plugins_that_said_failed():
    """A task fails because plugins say so; the summary for people names them."""
    told = trace(
        Event(0.0, Kind.RETURN, "stopped", "success", "stopped", {"outcome": "ok", "value": False}),
        Event(0.0, Kind.RETURN, "stopped", "artifacts", "stopped", {"outcome": "ok", "value": True}),
        Event(0.0, Kind.RETURN, "stopped", "env", "stopped", {"outcome": "ok"}),
    )

    assert refusals(told) == ("success",)
