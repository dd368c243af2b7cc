"""The summary of a run: the JSON object that `--json` prints, made from the run's trace alone.

All times are float seconds; `start` counts from the moment the run was created, which `run.json` states as
`started`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...specs.trace import Event, Kind, Outcome, Trace


def summarise(trace: Trace) -> dict[str, Any]:
    """Return the summary of one run.

    Keys: `taskId`, `runId`, `resolution`, `reason`, `cause`, `stages`, `hooks`, `artifacts`. A trace that
    breaks off before the outcome has `resolution` None.

    >>> from datetime import datetime, timezone
    >>> trace = Trace(datetime(2026, 1, 1, tzinfo=timezone.utc), [
    ...     Event(0.0, Kind.RUN, "pending", detail={"task_id": "f6hHc4uMQnKlAaMhLhuSZw", "run_id": 0}),
    ...     Event(0.5, Kind.MOVE, "prepare", detail={"source": "pending"}),
    ...     Event(2.0, Kind.END, "prepare")])
    >>> summarise(trace)["stages"]
    [{'stage': 'prepare', 'start': 0.5, 'seconds': 1.5}]
    """
    run = _last(trace.of(Kind.RUN))
    outcome = _last(trace.of(Kind.OUTCOME))
    return {
        "taskId": _get(run, "task_id"),
        "runId": _get(run, "run_id"),
        "resolution": _get(outcome, "state"),
        "reason": _get(outcome, "reason"),
        "cause": _get(outcome, "cause"),
        "stages": list(_stages(trace)),
        "hooks": list(_hooks(trace)),
        "artifacts": list(_artifacts(trace)),
    }


def refusals(trace: Trace) -> tuple[str, ...]:
    """Return the plugins whose hook said that the task failed."""
    returns = [event for event in trace.of(Kind.RETURN) if event.get("value") is False]
    return tuple(event.plugin for event in returns if event.plugin is not None)


def _last(events: list[Event]) -> Event | None:
    return events[-1] if events else None


def _get(event: Event | None, field: str) -> Any:
    return None if event is None else event.get(field)


def _seconds(value: float) -> float:
    return round(value, 6)


def _end(trace: Trace) -> float:
    """Return when the run ended: what an abandoned call returns late comes after that."""
    end = _last(trace.of(Kind.END)) or _last(trace.events)
    return end.time if end else 0.0


def _stages(trace: Trace) -> Iterator[dict[str, Any]]:
    moves = trace.of(Kind.MOVE)
    ends = [*(move.time for move in moves[1:]), _end(trace)]
    for move, end in zip(moves, ends, strict=False):
        yield {"stage": move.stage, "start": _seconds(move.time), "seconds": _seconds(end - move.time)}


def _hooks(trace: Trace) -> Iterator[dict[str, Any]]:
    returns = {(event.plugin, event.call): event for event in trace.of(Kind.RETURN)}
    for call in trace.of(Kind.CALL):
        if call.plugin is not None:
            yield _hook(call, returns.get((call.plugin, call.call)), _end(trace))


def _hook(call: Event, end: Event | None, run_ended: float) -> dict[str, Any]:
    """Return one hook; in a trace that breaks off, one that never returned counts as abandoned at its end."""
    return {
        "stage": call.stage,
        "plugin": call.plugin,
        "hook": call.call,
        "start": _seconds(call.time),
        "seconds": _seconds((end.time if end else run_ended) - call.time),
        "outcome": str(end.get("outcome", Outcome.OK)) if end else Outcome.ABANDONED.value,
        "error": end.get("error") if end else "the trace ends before it returned",
    }


_PLACES = {"object": "path", "error": "reason", "redirect": "url", "link": "target"}
"""Where an artifact's content is to be found, or why it is not, by its storage."""


def _place(artifact: Event) -> str:
    """Return what tells where an artifact is: an object that is no file has an address."""
    place = _PLACES.get(artifact.get("storage"), "path")
    return "url" if place == "path" and artifact.get("path") is None and artifact.get("url") else place


def _artifacts(trace: Trace) -> Iterable[dict[str, Any]]:
    latest: dict[str, dict[str, Any]] = {}
    for event in trace.of(Kind.ARTIFACT):
        place = _place(event)
        latest[event.get("name")] = {
            "name": event.get("name"),
            "storage": event.get("storage"),
            "contentType": event.get("content_type"),
            place: event.get(place),
            "bytes": event.get("bytes"),
            "sha256": event.get("sha256"),
        }
    return latest.values()
