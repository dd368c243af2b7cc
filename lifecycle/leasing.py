"""What a run with a journal does beside its stages: it leases, and waits until its trace is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..specs.trace import Kind, Outcome
from .calls import Call
from .errors import LifecycleError
from .journal.lease import Lease
from .limits import Limits

if TYPE_CHECKING:
    from .journal.run import RunJournal


class Unleased:
    """The part of an owner of a context that has no journal: its leases mean nothing."""

    __slots__ = ()

    @property
    def journaled(self) -> bool:
        """Whether leases are kept."""
        return False

    async def new_lease(self, kind: str, data: Mapping[str, Any]) -> Lease:
        """Return a lease that nobody keeps."""
        return Lease(0, kind, data)

    async def release_lease(self, lease: Lease) -> None:
        """Do nothing, as nothing is kept."""


class LeasingRun:
    """The part of a run that deals with its journal, None where it has none; every event is in the trace first."""

    __slots__ = ()

    loop: asyncio.AbstractEventLoop
    record: Callable[..., None]
    call: Callable[..., Awaitable[Call]]
    _begun: bool
    _journal: RunJournal | None
    _limits: Limits

    @property
    def journaled(self) -> bool:
        """Whether the run has a journal."""
        return self._journal is not None

    async def made_durable(self, call: str) -> bool:
        """Wait, as the call named so, until the trace so far is on disk; return whether it is. Its error counts."""
        assert self._journal is not None
        # The journal gives up by itself, with a better message than this bound has.
        budget = self._limits.journal_budget + self._limits.abandon_grace
        made = await self.call(call, self._journal.durable, budget=budget)
        return made.outcome is Outcome.OK

    async def new_lease(self, kind: str, data: Mapping[str, Any]) -> Lease:
        """Return a lease once it is durable, without a journal at once; see `TaskContext.lease`."""
        if self._journal is None:
            return Lease(0, kind, data)
        if not self._begun or asyncio.get_running_loop() is not self.loop:
            raise LifecycleError("what a run holds is leased on the run's loop, while the run is under way")
        lease = self.record_lease(kind, data)
        try:
            await self._journal.durable()
        except asyncio.CancelledError:
            self.record_release(lease)  # nobody will acquire it
            raise
        return lease

    async def release_lease(self, lease: Lease) -> None:
        """Release a lease and return once that is durable; see `TaskContext.release`."""
        if self._journal is not None and lease.id in self._journal.open:
            self.record_release(lease)
            await self._journal.durable()

    def record_lease(self, kind: str, data: Mapping[str, Any]) -> Lease:
        """Record a lease, which is not durable yet."""
        assert self._journal is not None
        lease = self._journal.new_lease(kind, data)
        self.record(Kind.LEASE, detail={"lease": lease.id, "what": kind, "data": lease.data})
        return lease

    def record_release(self, lease: Lease) -> None:
        """Record that what a lease stood for is gone."""
        self.record(Kind.RELEASE, detail={"lease": lease.id})
