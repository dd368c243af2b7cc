"""What a cell asks of the journal: a lease for what would outlive the worker, durable before it is acquired.

A lease names what exists before the command does anything: its control group, the marker in its environment,
or the process that waits at its gate. `undo.py` has the way back for each kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.proc import boot_id

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Lease, Leasing

CGROUP, MARKER, GROUP = "process.cgroup", "process.marker", "process.group"
"""The kinds of leases, one for each containment; `undo.py` says what each holds."""


@attrs.define(eq=False)
class Hold:
    """The one lease of a cell, from `take` to `release`; both do nothing where `leases` is None."""

    leases: Leasing | None
    _lease: Lease | None = None

    async def take(self, kind: str, **data: Any) -> None:
        """Return once a lease is durable that says in which boot of the host it holds."""
        if self.leases is not None:
            self._lease = await self.leases.lease(kind, boot_id=boot_id(), **data)

    async def release(self) -> None:
        """Release the lease, if it was taken and not released yet."""
        if self.leases is not None and self._lease is not None:
            lease, self._lease = self._lease, None
            await self.leases.release(lease)
