"""The trace: what happened in one run, complete enough to judge by the rules and to draw.

A trace is a list of events in the order they happened. The driver records one event before and one after everything
it does, so that a trace which stops in the middle still says what was under way. `run.json` is the same list with a
version in front.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

VERSION = 1


class Kind(enum.StrEnum):
    """What an event reports; the comment names the fields that its `detail` carries."""

    RUN = "run"  # lifecycle, task_id, run_id, created, plugins: [{name, after}]
    MOVE = "move"  # source; `stage` is the stage entered
    CALL = (
        "call"  # a hook (plugin set) or an engine call or action step (plugin None) begins; `call` names it
    )
    RETURN = "return"  # ... ends: outcome, error, value
    CREATED = "created"  # a task plugin exists and will be disposed
    NOT_CREATED = "not-created"  # why: its creation failed, or its part of the payload is invalid
    LOG_CLOSED = "log-closed"  # bytes
    LATE_LOG = "late-log"  # text: a message after the log was closed
    ABORT = "abort"  # reason, accepted
    ERROR = "error"  # severity, reason, message, incident, counted
    OUTCOME = "outcome"  # state, reason, final
    REPORT = "report"  # outcome: ok, failed, timeout; error
    ARTIFACT = "artifact"  # name, storage, content_type, expires, and path | url | reason, bytes, sha256
    LEASE = "lease"  # lease, what, data: about to be acquired; in traces of runs with a journal only
    RELEASE = "release"  # lease: what it stood for is gone
    RECOVERED = "recovered"  # by, lost: the process that had the run is dead, and another ends the run
    OBSERVER = "observer"  # error: an observer raised and was removed
    LATE = "late"  # an abandoned call returned after all: call, disposed
    END = "end"  # nothing follows but late returns


class Outcome(enum.StrEnum):
    """How a call ended.

    >>> Outcome("abandoned") is Outcome.ABANDONED
    True
    """

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


@attrs.define(eq=True, weakref_slot=False)
class Event:
    """One thing that happened: `time` is in seconds since the run was created, by a clock that never goes back.

    `stage` is the stage the run was in, `plugin` the name of the plugin concerned, `call` the hook, engine call or
    dispose step.

    >>> Event(0.25, Kind.MOVE, "build", detail={"source": "prepare"}).as_dict(7)
    {'seq': 7, 'time': 0.25, 'kind': 'move', 'stage': 'build', 'source': 'prepare'}
    """

    time: float
    kind: Kind
    stage: str
    plugin: str | None = None
    call: str | None = None
    detail: Mapping[str, Any] | None = None

    def get(self, field: str, default: Any = None) -> Any:
        """Return one field of the detail."""
        return default if self.detail is None else self.detail.get(field, default)

    def as_dict(self, seq: int) -> dict[str, Any]:
        """Return the event as `run.json` stores it; `seq` is its place in the trace."""
        stored: dict[str, Any] = {
            "seq": seq,
            "time": round(self.time, 6),
            "kind": self.kind.value,
            "stage": self.stage,
        }
        if self.plugin is not None:
            stored["plugin"] = self.plugin
        if self.call is not None:
            stored["call"] = self.call
        return stored | dict(self.detail or {})

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Event:
        """Return the event that `as_dict` stored.

        Raises: KeyError, ValueError or TypeError for what no trace holds.
        """
        detail = {name: value for name, value in stored.items() if name not in _FIELDS}
        return cls(
            float(stored["time"]),
            Kind(stored["kind"]),
            str(stored["stage"]),
            _name(stored.get("plugin")),
            _name(stored.get("call")),
            detail or None,
        )


def _name(stored: Any) -> str | None:
    """Return a name as text, whatever a strange trace has in its place: who reads it looks things up by it."""
    return None if stored is None else str(stored)


_FIELDS = frozenset({"seq", "time", "kind", "stage", "plugin", "call"})


class TraceError(ValueError):
    """A stored trace that cannot be read: the message says where it breaks off or what version it is."""


@attrs.define(weakref_slot=False)
class Trace(Sequence[Event]):
    """The events of one run in the order they happened, and the instant its clock started.

    >>> trace = Trace.from_document({"version": 1, "started": "2026-01-01T00:00:00+00:00", "events": [
    ...     {"seq": 0, "time": 0.0, "kind": "move", "stage": "prepare", "source": "pending"}]})
    >>> [event.stage for event in trace.of(Kind.MOVE)]
    ['prepare']
    """

    started: datetime
    events: list[Event] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: Any) -> Any:
        return self.events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def of(self, *kinds: Kind) -> list[Event]:
        """Return the events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    def to_document(self) -> dict[str, Any]:
        """Return the trace as `run.json` stores it."""
        return {
            "version": VERSION,
            "started": self.started.isoformat(),
            "events": [event.as_dict(seq) for seq, event in enumerate(self.events)],
        }

    @classmethod
    def from_document(cls, document: Any) -> Trace:
        """Return the trace that `to_document` stored.

        Raises: TraceError that names the version or the first event that cannot be read.
        """
        if not isinstance(document, Mapping) or "events" not in document:
            raise TraceError("not a trace: expected an object with version, started and events")
        if document.get("version") != VERSION:
            raise TraceError(
                f"trace version {document.get('version')!r} is not known; this release reads version {VERSION}"
            )
        try:
            started = datetime.fromisoformat(document["started"])
        except (KeyError, TypeError, ValueError) as error:
            raise TraceError("not a trace: 'started' must be an ISO 8601 instant") from error
        return cls(started, list(_read_events(document["events"])))


def _read_events(stored: Iterable[Any]) -> Iterator[Event]:
    if not isinstance(stored, list):
        raise TraceError("not a trace: 'events' must be a list")
    for seq, event in enumerate(stored):
        try:
            yield Event.from_dict(event)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise TraceError(f"event {seq} cannot be read: {error!r}") from error
