"""A task's command under way, until nothing of it is alive, its output is logged, and there is a result."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs

from ..base import ResultSet, Sandbox
from ..errors import SandboxAbortedError, SandboxTerminatedError
from .child import Exit
from .command import Command
from .containment import Cell
from .shell import ProcessShell
from .spawn import Program, room_on_host
from .workspace import Workspace

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext

END_SECONDS = 0.2
"""How long the output may stay open, and empty, when all is dead, before it counts as held by a stranger."""
DRAIN_SECONDS = 30.0
"""How long what is in the pipe then may take to get into the log."""


@attrs.frozen
class Ended:
    """What a result is made from: how the command ended, whether the sandbox was killed, and what it left."""

    exit: Exit
    killed: bool
    workspace: Workspace
    context: TaskContext


Conclude = Callable[[Ended], ResultSet | Awaitable[ResultSet]]
"""Makes the result of a sandbox in which nothing runs any more; one that waits is cancelled by an abort."""


@attrs.define(eq=False)
class ProcessSandbox(Sandbox):
    """One command in its cell; `output` is the reading end of the pipe that its output comes through.

    What happens to it happens in one asyncio task, its life, which the methods wait for or hurry. Until the
    moment that has a result, an abort wins. A life that is cancelled itself, because the loop is shut down,
    kills all too.
    """

    _context: TaskContext
    _workspace: Workspace
    _program: Program
    _cell: Cell
    _output: int
    _grace: float
    _shell: tuple[str, ...]
    _conclude: Conclude
    _command: Command = attrs.field(init=False)
    _life: asyncio.Task[ResultSet] = attrs.field(init=False)
    _concluding: asyncio.Future[ResultSet] | None = attrs.field(default=None, init=False)
    _shells: list[ProcessShell] = attrs.field(factory=list, init=False)
    _starting: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _killed: bool = attrs.field(default=False, init=False)
    _aborted: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._command = Command(self._cell)
        self._life = asyncio.get_running_loop().create_task(self._live(), name="process sandbox")
        self._life.add_done_callback(_retrieve)

    async def wait_for_result(self) -> ResultSet:
        """Return the result set once nothing of the task is alive; waiting again gives the same one.

        Raises: SandboxAbortedError; TaskExceptionError (resource-unavailable) if the log cannot grow;
        FatalInternalError if a process cannot be killed.
        """
        return await asyncio.shield(self._life)

    async def new_shell(self, command: list[str], tty: bool) -> ProcessShell:
        """Start `command`, or the configured shell, in the task's folder, environment and containment.

        Raises: MalformedPayloadError if there is no such command, TaskExceptionError (resource-unavailable)
        if the host has no room for another process, SandboxTerminatedError, SandboxAbortedError.
        """
        async with self._starting:
            self._check_not_aborted()
            if self._closing or self._killed:
                raise SandboxTerminatedError("the sandbox has ended: no shell can be started in it")
            program = self._program.instead(tuple(command) or self._shell)
            with room_on_host():
                shell = await ProcessShell.start(program, self._cell.nested(), tty)
            self._shells.append(shell)
            if self._killed or self._aborted:  # while it was being started
                shell.stop()
            return shell

    async def kill(self) -> None:
        """End the task as failed: by SIGTERM, and SIGKILL after the configured grace.

        Returns once nothing of it is alive; to kill one that has ended does nothing. Raises:
        SandboxAbortedError.
        """
        if not self._life.done():
            self._killed = True
            self._stop()
            await asyncio.wait([self._life])
        self._check_not_aborted()

    async def abort(self) -> None:
        """End the task as `kill` does, and drop its result and folder; once more waits for the same end.

        To cancel it drops what is left of the grace. Raises: SandboxTerminatedError if the sandbox had ended;
        FatalInternalError if a process cannot be killed.
        """
        if self._life.done() and not self._aborted:
            raise SandboxTerminatedError("the sandbox has ended: there is nothing to abort")
        await self._cut()

    async def dispose(self) -> None:
        """Remove the working folder, if the result set did not; ends what still runs."""
        if self._life.done() and self._begun:
            await self._release()
        else:
            await self._cut()

    async def _live(self) -> ResultSet:
        self._begun = True
        drain = asyncio.ensure_future(self._context.drain_into_log(self._output))
        drain.add_done_callback(self._stop_if_failed)
        try:
            try:
                await self._command.ended()
            finally:
                await self._close_down()
            if not drain.done():
                await self._finish(drain)
        finally:
            if drain.cancel():
                await asyncio.wait([drain])
            os.close(self._output)
        if not drain.cancelled():
            drain.result()
        return await self._concluded(self._cell.exited.result())

    async def _close_down(self) -> None:
        """Abort the shells and kill all that is left of the task."""
        self._closing = True
        async with self._starting:
            pass  # a shell that was being started is among the others now
        self._stop_shells()
        for shell in self._shells:
            await shell.finished()
        await self._cell.clear()
        for shell in self._shells:
            shell.raise_if_alive()

    async def _finish(self, drain: asyncio.Future[int]) -> None:
        """Wait for the output's end: it comes at once, unless somebody outside the sandbox holds the pipe."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_SECONDS
        while True:
            await asyncio.wait([drain], timeout=END_SECONDS)
            if drain.done():
                return
            if _waiting(self._output) == 0 or loop.time() > deadline:
                break
        self._context.log(
            "a process outside the sandbox holds the task's output open; the log does not wait for it"
        )

    async def _concluded(self, exit: Exit) -> ResultSet:
        self._check_not_aborted()
        if self._killed:
            self._context.log(f"the command was killed: it {exit}")
        elif not exit.success:
            self._context.log(f"the command {exit}")
        made = self._conclude(Ended(exit, self._killed, self._workspace, self._context))
        if isinstance(made, ResultSet):
            return made
        self._concluding = asyncio.ensure_future(made)
        try:
            result = await self._concluding
        except asyncio.CancelledError:
            self._check_not_aborted()
            raise
        self._check_not_aborted()
        return result

    async def _cut(self) -> None:
        """Abort, and raise what kept that from being done in good order."""
        self._aborted = True
        self._stop()
        if self._concluding is not None:
            self._concluding.cancel()
        if not self._life.done():
            await self._dead()
        if not self._begun:  # it was cancelled before its first step
            with contextlib.suppress(SandboxAbortedError):
                await self._live()
        await self._release()
        error = None if self._life.cancelled() else self._life.exception()
        if error is not None and not isinstance(error, SandboxAbortedError):
            raise error

    def _stop(self) -> None:
        """Begin to end the task; its shells at once, before what asks the task to end makes them fail instead."""
        self._stop_shells()
        self._command.stop(self._grace)

    def _stop_shells(self) -> None:
        for shell in self._shells:
            shell.stop()

    async def _dead(self) -> None:
        """Wait until nothing is alive; who cancels that is in a hurry: what is left of the grace is dropped."""
        try:
            await asyncio.wait([self._life])
        except asyncio.CancelledError:
            self._command.stop(0)
            await asyncio.wait([self._life])
            raise

    async def _release(self) -> None:
        for shell in self._shells:
            shell.shut()
        await self._workspace.remove()

    def _stop_if_failed(self, drain: asyncio.Future[int]) -> None:
        """End the task when its output cannot be taken any more, as on a full disk."""
        if not drain.cancelled() and drain.exception() is not None:
            self._stop()

    def _check_not_aborted(self) -> None:
        if self._aborted:
            raise SandboxAbortedError("the sandbox was aborted")


def _retrieve(life: asyncio.Task[ResultSet]) -> None:
    """Take note of an error that nobody may ever ask for: a sandbox may be disposed without its result."""
    if not life.cancelled():
        life.exception()


def _waiting(pipe: int) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return count
