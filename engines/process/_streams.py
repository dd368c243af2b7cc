"""Pipes and terminals as streams that never block the event loop and read no more than is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
from collections.abc import Callable

import attrs

from ..errors import ShellTerminatedError


@attrs.define(eq=False)
class _End:
    """One end of a pipe, or of a terminal: owns its descriptor, which is -1 once closed, and waits for it."""

    descriptor: int
    _waiter: asyncio.Future[None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.descriptor >= 0:
            os.set_blocking(self.descriptor, False)

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def shut(self) -> None:
        """Close the descriptor; once more does nothing."""
        if self.descriptor >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self.descriptor)
            loop.remove_writer(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1
            self.wake()

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        descriptor = self.descriptor
        self._waiter = asyncio.get_running_loop().create_future()
        add(descriptor, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self.descriptor == descriptor:
                remove(descriptor)


@attrs.define(eq=False)
class PipeReader(_End):
    """The reading end of a pipe, or what a terminal shows; for one reader at a time."""

    _final: bool = attrs.field(default=False, init=False)

    async def read(self, limit: int = 65536) -> bytes:
        """Return at least one and at most `limit` bytes as soon as there are any, or `b""` at the end."""
        while self.descriptor >= 0:
            try:
                data = os.read(self.descriptor, limit)
            except BlockingIOError:
                if self._final:
                    break
                loop = asyncio.get_running_loop()
                await self._ready(loop.add_reader, loop.remove_reader)
                continue
            except OSError as error:
                if error.errno != errno.EIO:  # how a terminal says that nobody has it open any more
                    raise
                break
            if not data:
                break
            return data
        self.shut()
        return b""

    def finish(self) -> None:
        """Take what is waiting for the last there is, even if somebody still holds the other end open."""
        self._final = True
        self.wake()


@attrs.define(eq=False)
class PipeWriter(_End):
    """The writing end of a pipe."""

    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def write(self, data: bytes) -> None:
        """Write all of `data`; returns once the receiver can take more. Raises: ShellTerminatedError."""
        rest = memoryview(data)
        async with self._lock:
            while rest:
                if self.descriptor < 0:
                    raise ShellTerminatedError("the shell takes no more input: its stdin was closed")
                try:
                    rest = rest[os.write(self.descriptor, rest) :]
                except BlockingIOError:
                    loop = asyncio.get_running_loop()
                    await self._ready(loop.add_writer, loop.remove_writer)
                except OSError as error:
                    if error.errno not in (errno.EPIPE, errno.EIO):
                        raise
                    raise ShellTerminatedError("the shell takes no more input: nobody reads it") from error

    async def close(self) -> None:
        """Close the pipe; its reader comes to the end."""
        self.shut()


@attrs.define(eq=False)
class TerminalWriter(PipeWriter):
    """What is typed at a terminal, its end too, as it cannot be closed on its own: that is Ctrl-D, mostly."""

    _closed: bool = attrs.field(default=False, init=False)
    _line_begun: bool = attrs.field(default=False, init=False)

    async def write(self, data: bytes) -> None:
        """Type `data`; returns once the terminal can take more. Raises: ShellTerminatedError."""
        if self._closed:
            raise ShellTerminatedError("the shell takes no more input: its stdin was closed")
        await super().write(data)
        if data:
            self._line_begun = not data.endswith((b"\n", b"\r"))

    async def close(self) -> None:
        """Type the end of input; within a line the first one only ends the line."""
        if self._closed or self.descriptor < 0:
            return
        end = termios.tcgetattr(self.descriptor)[6][termios.VEOF]
        with contextlib.suppress(ShellTerminatedError):
            await self.write(end * 2 if self._line_begun else end)
        self._closed = True
