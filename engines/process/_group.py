"""No containment but the process group: the fastest way, and the only one beside Linux."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.proc import look
from ._attribution import VARIABLE, new_marker
from ._leases import GROUP, Hold
from .child import Child, Exit
from .config import ContainmentKind
from .containment import Cell, Containment, ended
from .limits import limit
from .spawn import Outputs, Program, Started, start_directly, start_gated

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Leasing

PROVABLE = hasattr(os, "pidfd_open")
"""Whether this system can tell later that a process is still the same: without that nobody could undo a lease."""


class GroupContainment(Containment):
    """Kills the process group; a process that left it goes on running."""

    kind = ContainmentKind.NONE

    def new_cell(self, leases: Leasing | None) -> GroupCell:
        """Return a cell for one command."""
        return GroupCell(Hold(leases if PROVABLE else None))


@attrs.define(eq=False)
class GroupCell(Cell):
    """One process group. It is started on the loop, without a thread: that takes half a millisecond."""

    _hold: Hold
    _child: Child = attrs.field(init=False)
    exited: asyncio.Future[Exit] = attrs.field(init=False)

    async def start(self, program: Program, outputs: Outputs) -> int | None:
        """Start the program, directly where it needs no gate."""
        leased = self._hold.leases is not None
        if not leased and not program.limits and program.terminal is None:
            started = start_directly(program, outputs)
            self._watch(started)
            return started.stdin
        marker = new_marker() if leased else None
        if marker is not None:
            program = attrs.evolve(program, environment={**program.environment, VARIABLE: marker})
        started = start_gated(program, outputs)
        self._watch(started)
        try:
            if marker is not None and (process := look(started.pid)) is not None:
                await self._hold.take(GROUP, pid=process.pid, start_time=process.start, marker=marker)
            limit(started.pid, program.limits)
        except BaseException:
            started.close()
            await self.clear()
            raise
        started.open_gate(program.piped)
        return started.stdin

    async def terminate(self) -> None:
        """Send SIGTERM to the group."""
        self._child.signal_group(signal.SIGTERM)
        self._child.signal_group(signal.SIGCONT)

    async def clear(self) -> None:
        """Kill the group."""
        self._child.signal_group(signal.SIGKILL)
        await ended(self.exited, f"process {self._child.pid}")
        await self._hold.release()

    def nested(self) -> GroupCell:
        """Return a cell for another group, with a lease of its own."""
        return GroupCell(Hold(self._hold.leases))

    def _watch(self, started: Started) -> None:
        self._child = Child(started.pid, _kill_rest)
        self.exited = self._child.exited


def _kill_rest(leader: Child) -> None:
    """Kill what is left of a group while its dead leader still holds the number."""
    leader.signal_group(signal.SIGKILL)
