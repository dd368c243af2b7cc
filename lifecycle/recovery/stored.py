"""A dead session as it was read from the journal: its runs, their traces as far as they are intact, open leases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import attrs

from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.lifecycle_yaml import LifecycleDocumentError, load_lifecycle
from ...specs.trace import Event, Kind, Trace
from ..errors import ExceptionReason
from ..journal.lease import Lease
from ..journal.store import Record, Store
from ..resolution import State


@attrs.define
class StoredRun:
    """One run: `facts` as it was begun, `lost` tells whether pieces of its trace are missing, and `next_part` the place
    of the next event.
    """

    session: str
    number: int
    facts: dict[str, Any]
    lifecycle: Lifecycle
    trace: Trace
    leases: list[Lease]
    lost: bool
    next_part: int

    @property
    def owner(self) -> tuple[str, int]:
        """The task's and the run's id."""
        return str(self.facts.get("task_id", "unknown")), int(self.facts.get("run_id", 0))

    @property
    def mark(self) -> str:
        """What tells the run from all others of the journal, in names of files."""
        return f"{self.session}-{self.number}"

    @property
    def stage(self) -> str:
        """The stage that the run is in."""
        return str(self.trace[-1].stage) if self.trace else self.lifecycle.initial.name

    @property
    def died_in(self) -> str:
        """The stage that the run was in when its own process died."""
        own = itertools.takewhile(lambda event: event.kind is not Kind.RECOVERED, self.trace)
        return next((event.stage for event in reversed(list(own))), self.lifecycle.initial.name)

    @property
    def reports(self) -> bool:
        """Whether somebody must be told the resolution still."""
        told = any(event.get("outcome") == "ok" for event in self.trace.of(Kind.REPORT))
        return bool(self.facts.get("reports")) and not told

    @property
    def over(self) -> bool:
        """Whether the trace has ended, and no recovery has begun behind that."""
        endings = self.trace.of(Kind.END, Kind.RECOVERED)
        return bool(endings) and endings[-1].kind is Kind.END


@attrs.frozen
class StoredSession:
    """One session: what it told of itself, its runs, and the leases that belong to none."""

    name: str
    facts: dict[str, Any]
    runs: list[StoredRun]
    leases: list[Lease]

    @classmethod
    def read(cls, name: str, store: Store) -> tuple[StoredSession, list[str]]:
        """Return a session, and a few words on each of its records that is damaged, or says what nobody here knows.

        Raises: JournalError.
        """
        records, broken = store.records(name)
        readable = [record for record in records if _readable(record)]
        broken += [record.key for record in records if record not in readable]
        return cls.of(name, readable), broken

    @classmethod
    def of(cls, name: str, records: Iterable[Record]) -> StoredSession:
        """Return a session from its readable records."""
        by_run: dict[int, list[Record]] = {}
        for record in records:
            by_run.setdefault(record.run, []).append(record)
        own = by_run.pop(0, [])
        tables = {record.part: _lifecycle(record.body) for record in own if record.what == "lifecycle"}
        facts: dict[str, Any] = next((record.body for record in own if record.what == "session"), {})
        runs = [_run(name, number, found, tables) for number, found in sorted(by_run.items())]
        return cls(name, facts, runs, list(_leases(own, None)))


def _readable(record: Record) -> bool:
    """Return whether a sound record says what this release knows: another one, or a mistake, may have written it."""
    try:
        _CHECKS.get(record.what, bool)(record.body)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return False
    return True


def _check_run(body: Any) -> None:
    int(body.get("run_id", 0))
    hash(body.get("lifecycle"))
    if "started" in body and datetime.fromisoformat(body["started"]).tzinfo is None:
        raise ValueError


def _check_events(body: Any) -> None:
    for event in [Event.from_dict(stored) for stored in body]:
        if event.kind is Kind.LEASE:
            _check_lease({"kind": event.get("what"), "data": event.get("data")})
        if event.kind in (Kind.LEASE, Kind.RELEASE):
            int(event.get("lease"))
        if event.kind is Kind.OUTCOME:
            if event.get("state") not in get_args(State):
                raise ValueError
            ExceptionReason(event.get("reason") or ExceptionReason.INTERNAL_ERROR)


def _check_lease(body: Any) -> None:
    if not isinstance(body["kind"], str) or not isinstance(body["data"], dict):
        raise TypeError


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "session": lambda body: body.items(),
    "run": _check_run,
    "events": _check_events,
    "lease": _check_lease,
}


def _run(session: str, number: int, records: list[Record], tables: dict[int, Lifecycle]) -> StoredRun:
    facts: dict[str, Any] | None = next((record.body for record in records if record.what == "run"), None)
    pieces = [record for record in records if record.what == "events"]
    events: list[Event] = []
    lost = facts is None
    place = 0
    for piece in sorted(pieces, key=lambda record: record.part):
        lost |= piece.part != place
        place = piece.part + len(piece.body)
        events += [Event.from_dict(event) for event in piece.body]
    facts = facts if facts is not None else _told(events)
    lifecycle = tables.get(facts.get("lifecycle", 0), TASK_RUN)
    stages = {event.stage for event in events}
    lost |= not events or not stages <= lifecycle.by_name.keys()
    started = datetime.fromisoformat(facts["started"]) if "started" in facts else datetime.now(UTC)
    owner = (str(facts.get("task_id", "unknown")), int(facts.get("run_id", 0)))
    leases = {lease.id: lease for lease in _leases(records, owner)}
    if not lost:  # else one that seems open may have been released, and be somebody else's by now
        leases = _told_open(events, owner) | leases
    newest_first = [leases[number] for number in sorted(leases, reverse=True)]
    return StoredRun(session, number, facts, lifecycle, Trace(started, events), newest_first, lost, place)


def _told(events: list[Event]) -> dict[str, Any]:
    """Return what the first event tells of a run whose own record is lost."""
    told = next((event for event in events if event.kind is Kind.RUN), None)
    if told is None:
        return {}
    return {"task_id": told.get("task_id"), "run_id": told.get("run_id")}


def _lifecycle(document: Any) -> Lifecycle:
    """Return the table that was stored with the run, so that an embedder's own is known here; else that of tasks."""
    try:
        lifecycle = load_lifecycle(document)
    except LifecycleDocumentError:
        return TASK_RUN
    return TASK_RUN if lifecycle.stages == TASK_RUN.stages else lifecycle


def _told_open(events: Iterable[Event], owner: tuple[str, int]) -> dict[int, Lease]:
    """Return the leases that a trace without gaps tells to be open, whatever became of their own records."""
    told: dict[int, Lease] = {}
    for event in events:
        if event.kind is Kind.LEASE:
            number = int(event.get("lease"))
            told[number] = Lease(number, str(event.get("what")), event.get("data"), owner)
        elif event.kind is Kind.RELEASE:
            told.pop(event.get("lease"), None)
    return told


def _leases(records: Iterable[Record], owner: tuple[str, int] | None) -> Iterator[Lease]:
    """Yield open leases, the newest first."""
    for record in sorted(records, key=lambda record: -record.part):
        if record.what == "lease":
            yield Lease(record.part, str(record.body["kind"]), record.body["data"], owner)
