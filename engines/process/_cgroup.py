"""Containment by a control group (v2) for each command, below the worker's own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import FatalInternalError, NonFatalInternalError
from ...lifecycle.proc import look, numbers
from ._cgroup_tree import PREFIX, ControlGroup
from ._leases import CGROUP, Hold
from ._thread import in_reserved_thread, in_thread
from .child import Child, Exit
from .config import ContainmentKind
from .containment import KILL_SECONDS, Cell, Containment, ended
from .limits import limit
from .spawn import Outputs, Program, Started, start_gated

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Leasing

_PR_GET_CHILD_SUBREAPER = 37


class CgroupContainment(Containment):
    """Gives each command a control group, which the kernel keeps all its descendants in and kills at once."""

    kind = ContainmentKind.CGROUP

    def __init__(self, own: ControlGroup) -> None:
        self._own = own
        self._adopts = _adopts_orphans()

    @classmethod
    def here(cls) -> CgroupContainment:
        """Return the containment below the control group of this process. Raises: UnavailableError."""
        return cls(ControlGroup.own())

    def new_cell(self, leases: Leasing | None) -> CgroupCell:
        """Return a cell for one command; its group is made when it is started."""
        group = self._own.below(f"{PREFIX}{secrets.token_hex(8)}")
        return CgroupCell(group, self._adopts, Hold(leases))


@attrs.define(eq=False)
class CgroupCell(Cell):
    """A command in its control group. Moving it there may take the kernel a while, so a thread does it."""

    _group: ControlGroup
    _adopts: bool
    _hold: Hold
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _started: Started | None = attrs.field(default=None, init=False)
    _child: Child = attrs.field(init=False)
    exited: asyncio.Future[Exit] = attrs.field(init=False)

    async def start(self, program: Program, outputs: Outputs) -> int | None:
        """Start the program at its gate, put it into the group, limit it, and let it go."""
        group = self._group
        await self._hold.take(CGROUP, folder=group.folder, name=group.name)
        try:
            await in_thread(self._launch, program, outputs)
        except BaseException:
            await self._undo()
            raise
        started = self._watch()
        started.open_gate(program.piped)
        return started.stdin

    async def terminate(self) -> None:
        """Send SIGTERM to all in the group."""
        await in_reserved_thread(self._terminate)

    async def clear(self) -> None:
        """Kill all in the group, wait until it is empty, and remove it."""
        if not self.exited.done() or self._adopts or not self._gone():
            self._child.signal_group(signal.SIGKILL)
            await in_reserved_thread(self._kill)
        await ended(self.exited, f"process {self._child.pid}")
        await self._hold.release()

    def nested(self) -> CgroupCell:
        """Return a cell whose group lies within this one, and goes with it."""
        group = self._group.below(f"shell-{next(self._numbers)}")
        return CgroupCell(group, self._adopts, Hold(None))

    def _launch(self, program: Program, outputs: Outputs) -> None:
        try:
            self._group.create()
        except OSError as error:
            raise NonFatalInternalError(f"the task cannot have a control group: {error}") from error
        self._started = start_gated(program, outputs)
        try:
            self._group.add(self._started.pid)
        except OSError as error:
            raise NonFatalInternalError(
                f"process {self._started.pid} cannot be put into {self._group.folder}: {error.strerror}"
            ) from error
        limit(self._started.pid, program.limits)

    def _watch(self) -> Started:
        assert self._started is not None
        self._child = Child(self._started.pid)
        self.exited = self._child.exited
        return self._started

    async def _undo(self) -> None:
        if self._started is None:
            self._group.remove_bare()
            await self._hold.release()
        else:
            self._watch().close()
            await self.clear()

    def _gone(self) -> bool:
        """Whether the group could be removed at once, as it can when the command has left nothing behind."""
        try:
            return not self._group.populated() and self._group.remove_bare()
        except OSError:  # no descriptor to read it with
            return False

    def _terminate(self) -> None:
        self._group.signal(signal.SIGTERM)
        self._group.signal(signal.SIGCONT)

    def _kill(self) -> None:
        try:
            self._group.clear(KILL_SECONDS, self._reap_adopted if self._adopts else None)
        except OSError as error:
            raise FatalInternalError(
                f"{KILL_SECONDS:g} s after SIGKILL {self._group.folder} is not empty: "
                f"{error.strerror}, processes {list(self._group.members())}"
            ) from error

    def _reap_adopted(self) -> None:
        """Reap the command's dead orphans, where they have become children of ours: nobody else would."""
        for number in numbers():
            process = look(number)
            mine = process is not None and process.parent == os.getpid() and number != self._child.pid
            if mine and self._group.holds(number):
                with contextlib.suppress(ChildProcessError):  # the embedding program was quicker
                    os.waitpid(number, 0)


def _adopts_orphans() -> bool:
    """Whether orphans become this process's children: it is the first of its namespace, or asked for them."""
    import ctypes

    answer = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return os.getpid() == 1 or answer.value != 0
