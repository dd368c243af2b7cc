"""A command beside the task, in the same folder and containment, with pipes or with a terminal."""

from __future__ import annotations

import asyncio
import os
import termios

import attrs

from ...lifecycle.errors import FatalInternalError, FeatureNotSupportedError
from ..base import Shell
from ..errors import ShellAbortedError, ShellTerminatedError
from ._streams import PipeReader, PipeWriter, TerminalWriter
from .command import Command
from .containment import Cell
from .spawn import Outputs, Program

COLUMNS, ROWS = 80, 24
"""The size of a terminal until `set_size`."""
TERMINAL = "xterm-256color"
"""What a terminal is to programs: the variable TERM, unless the task has one."""


@attrs.define(eq=False)
class ProcessShell(Shell):
    """A shell; with a tty `stdout` carries all that it writes, and `stderr` is at its end.

    What is left of it when its own process ends is killed, as with a task; what it wrote before can still be
    read.
    """

    stdin: PipeWriter
    stdout: PipeReader
    stderr: PipeReader
    _tty: bool
    _cell: Cell
    _command: Command = attrs.field(init=False)
    _life: asyncio.Task[bool] = attrs.field(init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _aborted: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._command = Command(self._cell)
        self._life = asyncio.get_running_loop().create_task(self._live(), name="process shell")

    @classmethod
    async def start(cls, program: Program, cell: Cell, tty: bool) -> ProcessShell:
        """Start a program as a shell in a cell. Raises: what `Cell.start` raises."""
        return await (cls._with_terminal(program, cell) if tty else cls._with_pipes(program, cell))

    @classmethod
    async def _with_pipes(cls, program: Program, cell: Cell) -> ProcessShell:
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        try:
            stdin = await cell.start(attrs.evolve(program, stdin=None), Outputs(stdout_end, stderr_end))
        except BaseException:
            os.close(stdout)
            os.close(stderr)
            raise
        finally:
            os.close(stdout_end)
            os.close(stderr_end)
        assert stdin is not None
        return cls(PipeWriter(stdin), PipeReader(stdout), PipeReader(stderr), False, cell)

    @classmethod
    async def _with_terminal(cls, program: Program, cell: Cell) -> ProcessShell:
        ours, theirs = os.openpty()
        try:
            termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
            environment = {"TERM": TERMINAL, **program.environment}
            terminal = attrs.evolve(program, terminal=os.ttyname(theirs), environment=environment)
            await cell.start(terminal, Outputs(theirs, theirs))
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(TerminalWriter(os.dup(ours)), PipeReader(ours), PipeReader(-1), True, cell)

    async def set_size(self, columns: int, rows: int) -> None:
        """Resize the terminal, in characters; the processes in its foreground get SIGWINCH.

        Raises: FeatureNotSupportedError without a tty, ShellTerminatedError.
        """
        if not self._tty:
            raise FeatureNotSupportedError(
                "this shell has no terminal to resize: it was started without a tty"
            )
        if self._life.done() or self.stdout.descriptor < 0:
            raise ShellTerminatedError("the shell has ended: there is no terminal to resize")
        termios.tcsetwinsize(self.stdout.descriptor, (rows, columns))

    async def abort(self) -> None:
        """Kill the shell and all that it started; once more waits for the same end.

        Raises: ShellTerminatedError if it had ended; FatalInternalError if a process cannot be killed.
        """
        if self._life.done() and not self._aborted:
            raise ShellTerminatedError("the shell has ended: there is nothing to abort")
        self.stop()
        await self.finished()
        self.raise_if_alive()

    async def wait(self) -> bool:
        """Return whether the command exited with 0, once nothing of it lives. Raises: ShellAbortedError."""
        await self.finished()
        if self._aborted:
            raise ShellAbortedError("the shell was aborted")
        return self._life.result()

    def stop(self) -> None:
        """Begin to abort the shell, if it has not ended."""
        if not self._life.done():
            self._aborted = True
            self._command.stop(grace=0)

    async def finished(self) -> None:
        """Wait until the shell has ended, however it did."""
        if not self._life.done():
            await asyncio.wait([self._life])
        if not self._begun:  # it was cancelled before its first step
            self._command.stop(grace=0)
            await self._live()

    def raise_if_alive(self) -> None:
        """Raise what kept the shell from being killed. Raises: FatalInternalError."""
        error = None if self._life.cancelled() else self._life.exception()
        if isinstance(error, FatalInternalError):
            raise error

    def shut(self) -> None:
        """Close all streams, read or not."""
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.shut()

    async def _live(self) -> bool:
        self._begun = True
        try:
            await self._command.ended()
        finally:
            try:
                await self._cell.clear()
            finally:
                self.stdin.shut()
                self.stdout.finish()
                self.stderr.finish()
        return self._cell.exited.result().success
