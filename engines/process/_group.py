"""No containment but the process group: the fastest way, and the only one beside Linux."""

from __future__ import annotations

import asyncio
import signal

import attrs

from .child import Child, Exit
from .config import ContainmentKind
from .containment import Cell, Containment, ended
from .limits import limit
from .spawn import Outputs, Program, Started, start_directly, start_gated


class GroupContainment(Containment):
    """Kills the process group; a process that left it goes on running."""

    kind = ContainmentKind.NONE

    def new_cell(self) -> GroupCell:
        """Return a cell for one command."""
        return GroupCell()


@attrs.define(eq=False)
class GroupCell(Cell):
    """One process group. It is started on the loop, without a thread: that takes half a millisecond."""

    _child: Child = attrs.field(init=False)
    exited: asyncio.Future[Exit] = attrs.field(init=False)

    async def start(self, program: Program, outputs: Outputs) -> int | None:
        """Start the program, directly where it needs no gate."""
        if not program.limits and program.terminal is None:
            started = start_directly(program, outputs)
            self._watch(started)
            return started.stdin
        started = start_gated(program, outputs)
        self._watch(started)
        try:
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

    def nested(self) -> GroupCell:
        """Return a cell for another group."""
        return GroupCell()

    def _watch(self, started: Started) -> None:
        self._child = Child(started.pid, _kill_rest)
        self.exited = self._child.exited


def _kill_rest(leader: Child) -> None:
    """Kill what is left of a group while its dead leader still holds the number."""
    leader.signal_group(signal.SIGKILL)
