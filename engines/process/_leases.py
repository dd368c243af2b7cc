"""What a cell asks of the journal: a lease for what would outlive the worker, durable before it is acquired.

A lease names what exists before the command does anything: its control group, the marker in its environment,
or the process that waits at its gate. `undo.py` has the way back for each kind.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from ._procfs import boot_id

CGROUP, MARKER, GROUP = "process.cgroup", "process.marker", "process.group"
"""The kinds of leases, one for each containment; `undo.py` says what each holds."""


class Leases(Protocol):
    """Who records leases: a run's context, or the worker's journal."""

    @property
    def journaled(self) -> bool:
        """Whether leases are recorded; if not, taking one means nothing."""

    async def lease(self, kind: str, /, **data: Any) -> Any:
        """Record a lease; return it once it is durable."""

    async def release(self, lease: Any) -> None:
        """Record that what a lease stands for is gone."""


class _Unleased:
    """Records nothing, where there is no journal or another lease covers it all."""

    journaled = False

    async def lease(self, kind: str, /, **data: Any) -> Any:
        """Return nothing, as nothing is recorded."""

    async def release(self, lease: Any) -> None:
        """Do nothing."""


UNLEASED: Leases = _Unleased()


@attrs.define(eq=False)
class Hold:
    """The one lease of a cell, from `take` to `release`; both do nothing without a journal."""

    _leases: Leases
    _lease: Any = None

    async def take(self, kind: str, **data: Any) -> None:
        """Return once a lease is durable that says in which boot of the host it holds."""
        if self._leases.journaled:
            self._lease = await self._leases.lease(kind, boot_id=boot_id(), **data)

    async def release(self) -> None:
        """Release the lease, if it was taken and not released yet."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await self._leases.release(lease)
