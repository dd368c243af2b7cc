"""What a task log asks of the system: pipes that do not block, and moving between them and files without a copy."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import sys
import termios
from pathlib import Path

from ..errors import NonFatalInternalError


def waiting(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0]
    return count


async def readable(pipe: int) -> None:
    """Wait until a pipe holds something or has ended."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pipe, settle, future)
    try:
        await future
    finally:
        loop.remove_reader(pipe)


def settle(future: asyncio.Future[None]) -> None:
    """Let whoever waits for `future` go on, unless that has happened."""
    if not future.done():
        future.set_result(None)


async def undisturbed(future: asyncio.Future[int]) -> int:
    """Wait for a thread's piece even if cancelled meanwhile: it holds the file and the pipe until then."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()
        raise cancelled
    return future.result()


def splice(pipe: int, file: int, count: int, offset: int) -> int:
    """Move at most `count` bytes from a pipe to `offset` in a file; return how many, 0 at the pipe's end."""
    if sys.platform == "linux":
        return os.splice(pipe, file, count, offset_dst=offset, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
    data = os.read(pipe, count)
    return os.pwrite(file, data, offset)


def reopened(file: int, path: Path | None) -> int:
    """Return a descriptor of the same file to read from, with an offset of its own.

    Not by its path where that can be helped: a task can reach it, and may have put something else there.
    """
    again = f"/proc/self/fd/{file}" if sys.platform == "linux" else os.fspath(path or os.devnull)
    opened = os.open(again, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not os.path.sameopenfile(file, opened):
        os.close(opened)
        raise NonFatalInternalError("somebody else put another file in the place of the task log")
    return opened
