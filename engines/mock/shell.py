"""The shell of a mock sandbox: a few commands, given with the shell or as lines on its stdin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import attrs

from ...lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from ..base import Shell
from ..errors import ShellAbortedError, ShellTerminatedError
from ._streams import Pipe

COMMANDS = ("print-hello", "exit-false", "sleep")

SLEEP_SECONDS = 1.0
"""How long `sleep` takes, unless it is told otherwise: `sleep 0.1`."""

LONGEST_SLEEP = 300.0
"""In seconds."""

LONGEST_LINE = 4096
"""In bytes; a shell that is sent a longer one ends as failed."""


@attrs.define(eq=False)
class MockShell(Shell):
    """Runs `command`, or the lines that come on stdin until its end; succeeds if the last one did.

    `print-hello` writes `Hello World` to stdout and `No error!` to stderr, `exit-false` ends the shell as
    failed, `sleep` takes a while. A line with any other command fails, and says so on stderr. With a tty all
    output is on stdout, and `size` is what `set_size` was given last. `on_end` is called once nothing of the
    shell runs any more.
    """

    _command: list[str]
    _tty: bool
    _on_end: Callable[[MockShell], None]
    stdin: Pipe = attrs.field(factory=Pipe, init=False)
    stdout: Pipe = attrs.field(factory=Pipe, init=False)
    stderr: Pipe = attrs.field(factory=Pipe, init=False)
    size: tuple[int, int] | None = attrs.field(default=None, init=False)
    _aborted: bool = attrs.field(default=False, init=False)
    _task: asyncio.Task[bool] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self._command and self._command[0] not in COMMANDS:
            raise MalformedPayloadError(
                f"there is no command {self._command[0]!r}; the mock shell has {', '.join(COMMANDS)}"
            )
        if self._tty:
            self.stderr.end()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._over)

    async def set_size(self, columns: int, rows: int) -> None:
        """Remember the size. Raises: FeatureNotSupportedError without a tty, ShellTerminatedError."""
        if not self._tty:
            raise FeatureNotSupportedError(
                "this shell has no terminal to resize: it was started without a tty"
            )
        if self._task.done():
            raise ShellTerminatedError("the shell has ended: there is no terminal to resize")
        self.size = (columns, rows)

    async def abort(self) -> None:
        """End the shell; nothing happens if it was aborted before. Raises: ShellTerminatedError."""
        if self._task.done() and not self._aborted:
            raise ShellTerminatedError("the shell has ended: there is nothing to abort")
        self.cut()
        await asyncio.wait([self._task])

    async def wait(self) -> bool:
        """Return whether the last command succeeded. Raises: ShellAbortedError."""
        await asyncio.wait([self._task])
        if self._aborted or self._task.cancelled():
            raise ShellAbortedError("the shell was aborted")
        return self._task.result()

    def cut(self) -> None:
        """Begin to abort the shell, if it has not ended."""
        if not self._task.done():
            self._aborted = True
            self._task.cancel()

    def _over(self, task: asyncio.Task[bool]) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.end()
        self._on_end(self)

    async def _run(self) -> bool:
        if self._command:
            return await self._execute(self._command)
        success = True
        async with aclosing(self._lines()) as lines:
            async for line in lines:
                words = line.decode(errors="replace").split()
                success = await self._execute(words) if words else success
                if words == ["exit-false"]:
                    break
        return success

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        rest = b""
        while data := await self.stdin.read():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > LONGEST_LINE:
                await self._complain(f"a line is longer than {LONGEST_LINE} bytes")
                yield b"exit-false"
        yield rest

    async def _execute(self, words: list[str]) -> bool:
        match words:
            case ["print-hello"]:
                await self.stdout.write(b"Hello World")
                await (self.stdout if self._tty else self.stderr).write(b"No error!")
                return True
            case ["exit-false"]:
                return False
            case ["sleep"]:
                await asyncio.sleep(SLEEP_SECONDS)
                return True
            case ["sleep", text] if (seconds := _seconds(text)) is not None:
                await asyncio.sleep(seconds)
                return True
        await self._complain(f"cannot do {' '.join(words)!r}; there are {', '.join(COMMANDS)}")
        return False

    async def _complain(self, text: str) -> None:
        await (self.stdout if self._tty else self.stderr).write(f"mock shell: {text}\n".encode())


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= LONGEST_SLEEP else None
