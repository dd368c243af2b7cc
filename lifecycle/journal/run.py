"""One run as the journal keeps it: an observer of its trace that appends to memory, and its open leases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...specs.trace import Event, Kind
from ..errors import LifecycleError
from .lease import Lease, plain
from .store import Statement, delete, forget, insert

if TYPE_CHECKING:
    from ...specs.lifecycle import Lifecycle
    from .session import Journal


class RunJournal:
    """What a journal holds of one run; made by `Journal.new_run`.

    It is the first observer of the run's recorder: everything in the trace is stored, leases too. `open` are the
    leases that are not released, by their id; `delivered` says that nobody waits for the resolution any more, and
    `forgotten` that the journal owes nothing. `home` is where recovery is to keep the run's log and trace.
    """

    __slots__ = (
        "_facts",
        "_journal",
        "_lifecycle",
        "_parts",
        "_pending",
        "_reports",
        "_stored",
        "_taken",
        "_taken_forgotten",
        "delivered",
        "forgotten",
        "number",
        "open",
        "owner",
    )

    def __init__(
        self, journal: Journal, number: int, owner: tuple[str, int], home: Path | None, reports: bool
    ) -> None:
        self.number = number
        self.owner = owner
        self.open: dict[int, Lease] = {}
        self.delivered = not reports
        self._journal = journal
        self._reports = reports
        self._facts: dict[str, Any] = {
            "task_id": owner[0],
            "run_id": owner[1],
            "home": None if home is None else str(home.absolute()),
            "reports": reports,
        }
        self._lifecycle: Lifecycle | None = None
        self._pending: list[Event] = []
        self._taken: list[Event] = []
        self.forgotten = self._taken_forgotten = self._stored = False
        self._parts = 0

    def attach(self, lifecycle: Lifecycle, started: datetime) -> None:
        """Take note of the table that the run goes along, and of when its clock started."""
        self._lifecycle = lifecycle
        self._facts["started"] = started.isoformat()

    def __call__(self, event: Event) -> None:
        """Append an event of the run; see `Observer`. An error here ends the journal, not only the observing."""
        try:
            self._append(event)
        except BaseException as error:
            self._journal.writer.fail(error)

    def _append(self, event: Event) -> None:
        if event.kind in (Kind.RUN, Kind.END):
            self._journal.count(self, begun=event.kind is Kind.RUN)
        elif event.kind is Kind.REPORT:
            self.delivered = event.get("outcome") == "ok"
        elif event.kind is Kind.RELEASE:
            self.open.pop(event.get("lease"), None)
        writer = self._journal.writer
        with writer.lock:
            if self.forgotten or not writer.accepts:
                return
            self._pending.append(event)
            writer.touch(self)

    def new_lease(self, kind: str, data: Mapping[str, Any]) -> Lease:
        """Return a lease that the caller records in the trace now, as the event LEASE.

        Raises: LifecycleError once the run is over; JournalError if the journal has failed; TypeError.
        """
        if self.forgotten:
            raise LifecycleError("the run is over: it can lease nothing any more")
        self._journal.writer.check()
        lease = Lease(self._journal.next_lease(), kind, plain(kind, data), self.owner)
        self.open[lease.id] = lease
        return lease

    async def durable(self) -> None:
        """Wait until all of the run so far is on disk. Raises: JournalError."""
        await self._journal.writer.durable(self, self._journal.patience)

    def settle(self) -> None:
        """Let the journal forget the run if it owes nothing: no lease is open, and its resolution is reported."""
        writer = self._journal.writer
        with writer.lock:
            if not self.open and self.delivered and writer.accepts:
                self.forgotten = True
                writer.touch(self)

    # What the writer calls

    def take(self) -> None:
        """Move what was appended into the batch."""
        self._taken, self._pending = self._pending, []
        self._taken_forgotten = self.forgotten

    def landed(self) -> None:
        """Forget the batch: it is durable."""
        self._taken = []
        if self._taken_forgotten:
            self._journal.drop(self)

    def statements(self) -> Iterator[Statement]:
        """Yield what writes the batch: a piece of the trace, and the leases that opened or closed."""
        session = self._journal.session
        if self._taken_forgotten:
            if self._stored:
                yield forget(session, self.number)
            return
        if not self._stored:
            yield from self._header(session)
        if self._taken:
            events = [event.as_dict(self._parts + place) for place, event in enumerate(self._taken)]
            yield insert(session, self.number, "events", self._parts, events)
            self._parts += len(events)
            yield from self._lease_changes(session)

    def _header(self, session: str) -> Iterator[Statement]:
        assert self._lifecycle is not None
        part, statements = self._journal.lifecycle_part(self._lifecycle)
        yield from statements
        yield insert(session, self.number, "run", 0, {**self._facts, "lifecycle": part})
        self._stored = True

    def _lease_changes(self, session: str) -> Iterator[Statement]:
        opened: dict[int, Event] = {}
        for event in self._taken:
            number = event.get("lease")
            if event.kind is Kind.LEASE:
                opened[number] = event
            elif event.kind is Kind.RELEASE and opened.pop(number, None) is None:
                yield delete(session, self.number, "lease", number)
        for number, event in opened.items():
            yield insert(
                session, self.number, "lease", number, {"kind": event.get("what"), "data": event.get("data")}
            )
