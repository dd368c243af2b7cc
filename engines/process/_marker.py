"""Containment without a control group: a supervisor that adopts orphans, and a marker in the environment."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import FatalInternalError, NonFatalInternalError
from ...lifecycle.proc import look
from ._attribution import VARIABLE, Attribution, entry, new_marker
from ._leases import MARKER, Hold
from ._thread import in_reserved_thread, in_thread
from .child import Child, Exit
from .config import ContainmentKind
from .containment import KILL_SECONDS, Cell, Containment, UnavailableError, ended
from .limits import limit
from .spawn import Outputs, Program, Started, start_gated

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Leasing

START_SECONDS = 30.0
"""How long a supervisor may take to start its command."""
LEAVE_SECONDS = 0.1
"""How long a supervisor has to exit once nothing is left, before /proc is looked at once more."""

_SUPERVISOR = str(Path(__file__).with_name("_supervisor.py"))


class MarkerContainment(Containment):
    """Runs each command below a supervisor of its own, which costs a start of Python: some 12 ms and 9 MB."""

    kind = ContainmentKind.MARKER

    def __init__(self) -> None:
        if not sys.executable:
            raise UnavailableError("the path of this Python is unknown")

    def new_cell(self, leases: Leasing | None) -> MarkerCell:
        """Return a cell for one command, with a marker that nobody can guess."""
        return MarkerCell(new_marker(), Hold(leases))


@attrs.define(eq=False)
class MarkerCell(Cell):
    """A command below its supervisor, which reports the command's number, and how it ended."""

    _marker: str
    _hold: Hold
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _started: Started | None = attrs.field(default=None, init=False)
    _reports: int = attrs.field(default=-1, init=False)
    _attribution: Attribution | None = attrs.field(default=None, init=False)
    _supervisor: Child = attrs.field(init=False)
    _alone: bool = attrs.field(default=False, init=False)
    exited: asyncio.Future[Exit] = attrs.field(init=False)

    async def start(self, program: Program, outputs: Outputs) -> int | None:
        """Start the supervisor, which starts the program at its gate; limit it, and let it go."""
        await self._hold.take(MARKER, marker=self._marker)
        try:
            await in_thread(self._launch, program, outputs)
        except BaseException:
            await self._undo()
            raise
        started = self._watch()
        started.open_gate(program.piped)
        return started.stdin

    async def terminate(self) -> None:
        """Send SIGTERM to all that belongs to the command."""
        if self._attribution is not None:
            await in_reserved_thread(self._terminate, self._attribution)

    async def clear(self) -> None:
        """Kill all that belongs to the command, until the supervisor has seen the last of it go."""
        if self._alone:
            await asyncio.wait([self._supervisor.exited], timeout=LEAVE_SECONDS)
        deadline = time.monotonic() + KILL_SECONDS
        while not self._proven():
            was_killed = self._supervisor.exited.done()
            left = await in_reserved_thread(self._sweep, deadline)
            if left or time.monotonic() > deadline:
                raise FatalInternalError(
                    f"{KILL_SECONDS:g} s after SIGKILL processes are left: {left or [self._supervisor.pid]}"
                )
            if was_killed:
                break  # by the command; that a look finds nobody must do as a proof
            self._supervisor.signal_group(signal.SIGCONT)  # the command may have stopped it
            await asyncio.wait([self._supervisor.exited], timeout=LEAVE_SECONDS)
        await ended(self.exited, f"the command below process {self._supervisor.pid}")
        await self._hold.release()

    def nested(self) -> MarkerCell:
        """Return a cell whose processes bear the marker of this one too, so that its lease holds for them."""
        return MarkerCell(f"{self._marker}.{next(self._numbers)}", Hold(None))

    def _launch(self, program: Program, outputs: Outputs) -> None:
        self._reports, reporting = os.pipe()
        try:
            self._started = start_gated(
                attrs.evolve(program, environment={**program.environment, VARIABLE: self._marker}),
                outputs,
                through=(sys.executable, "-I", "-S", _SUPERVISOR, str(reporting)),
                keep=(reporting,),
            )
        finally:
            os.close(reporting)
        leader = look(int(_first_line(self._reports) or 0))
        supervisor = look(self._started.pid)
        if leader is None or supervisor is None:
            raise NonFatalInternalError(
                "the supervisor of the command could not start it; the log may say why"
            )
        self._attribution = Attribution(entry(self._marker), supervisor, leader)
        limit(leader.pid, program.limits)

    def _watch(self) -> Started:
        assert self._started is not None
        loop = asyncio.get_running_loop()
        self.exited = loop.create_future()
        os.set_blocking(self._reports, False)
        loop.add_reader(self._reports, self._read_report)
        self._supervisor = Child(self._started.pid)
        self._supervisor.exited.add_done_callback(self._supervisor_gone)
        return self._started

    async def _undo(self) -> None:
        if self._started is not None:
            self._watch().close()
            await self.clear()
        else:
            if self._reports >= 0:
                os.close(self._reports)
            await self._hold.release()

    def _read_report(self) -> None:
        try:
            status, _, left = os.read(self._reports, 64).decode().partition(" ")
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(self._reports)
        os.close(self._reports)
        self._reports = -1
        if left:
            self._alone = int(left) == 0
            self.exited.set_result(Exit.of(int(status)))

    def _supervisor_gone(self, future: asyncio.Future[Exit]) -> None:
        if self._reports >= 0:
            self._read_report()  # which may have come in the same moment
        if self.exited.done():
            return
        if error := future.exception():
            self.exited.set_exception(error)
        elif future.result().signal is not None:
            self.exited.set_result(future.result())
        else:
            self.exited.set_exception(
                NonFatalInternalError(f"the supervisor of the command {future.result()}")
            )

    def _proven(self) -> bool:
        """Whether the supervisor has exited as it does when nothing is left."""
        exited = self._supervisor.exited
        return exited.done() and exited.exception() is None and exited.result().success

    def _terminate(self, attribution: Attribution) -> None:
        attribution.signal(signal.SIGTERM)
        attribution.signal(signal.SIGCONT)

    def _sweep(self, deadline: float) -> list[int]:
        if self._attribution is None:  # it has not got to start anything
            self._supervisor.signal_group(signal.SIGKILL)
            return []
        while True:
            try:
                return self._attribution.sweep(deadline - time.monotonic())
            except OSError:  # no descriptor to look or to signal with
                if time.monotonic() > deadline:
                    raise
                time.sleep(LEAVE_SECONDS)


def _first_line(reports: int) -> bytes:
    """Return the first line that comes; less of it if that takes too long, or the other side goes."""
    ready = select.poll()
    ready.register(reports, select.POLLIN)
    line = b""
    while not line.endswith(b"\n") and ready.poll(START_SECONDS * 1000):
        if not (byte := os.read(reports, 1)):
            break
        line += byte
    return line
