"""The log of one task: a file that exists from the first byte on, and refuses writes once closed.

The sandbox's output is spliced into it. One writer at a time appends at `size`: small pieces on the loop,
large ones in a thread, so that a slow disk holds up no other run. What hooks log while a thread is writing
waits in memory and follows; the sandbox's output waits in its pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import sys
import termios
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

from .errors import ExceptionReason, LifecycleError, NonFatalInternalError, TaskExceptionError
from .threads import WORK

INLINE_BYTES = 65_536
"""More than this waiting in the pipe is moved in a thread."""
CHUNK_BYTES = 1_048_576
"""The most that is moved at once; a pipe of this size is filled and emptied in one call each."""


class TaskLog:
    """Bytes in order, from the task and about it; `size` counts them.

    Every method but `drain` may be called from any thread; a reader belongs to the loop that it is read on.
    """

    __slots__ = (
        "_backlog",
        "_busy",
        "_disposed",
        "_file",
        "_lock",
        "_new_path",
        "_path",
        "_readers",
        "_waiters",
        "closed",
        "size",
    )

    def __init__(self, new_path: Callable[[], Path]) -> None:
        self._new_path = new_path
        self._path: Path | None = None
        self._file: int | None = None
        self._lock = threading.Lock()
        self._busy = False
        self._disposed = False
        self._readers = 0
        self._backlog: list[bytes] | None = None
        self._waiters: tuple[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]], ...] = ()
        self.size = 0
        self.closed = False

    def write(self, data: bytes) -> bool:
        """Append `data`; return False if the log is closed.

        Raises: TaskExceptionError when the disk is full.
        """
        with self._lock:
            if self.closed:
                return False
            if self._busy:
                self._backlog = self._backlog or []
                self._backlog.append(bytes(memoryview(data)))  # now: the caller may use a buffer again
                return True
            try:
                self._append(data)
            finally:
                self._wake()
        return True

    async def drain(self, pipe: int) -> int:
        """Move what arrives in `pipe` into the log until its end; return the bytes that came.

        `pipe` is the reading end of a non-blocking pipe; the caller closes it. What comes after the log was
        closed is read and dropped. One drain at a time.

        Raises: TaskExceptionError (resource-unavailable) when the disk is full.
        """
        moved = 0
        while True:
            if (waiting := _waiting(pipe)) == 0:
                await _readable(pipe)
                waiting = _waiting(pipe)
            else:
                await asyncio.sleep(0)  # a task that writes as fast as this reads must not hold up the loop
            try:
                count = await self._move(pipe, waiting)
            except BlockingIOError:
                continue  # somebody was faster: a task can open its own output and read from it
            if count == 0:
                return moved
            moved += count

    def reader(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Return what is and will be in the log from `offset` on, until the log is closed.

        It comes in pieces of at most 64 KiB.

        Raises: NonFatalInternalError if somebody else cuts the file short.
        """
        return self._read(offset)

    def open(self) -> BinaryIO:
        """Return the closed log, open for reading; the caller closes it.

        What a task has appended behind the worker's back is cut off: it may be terabytes of nothing.
        Raises: LifecycleError while it is open.
        """
        if not self.closed:
            raise LifecycleError(
                "the task log can be extracted once it is closed, from `finished` or `exception` on"
            )
        with self._lock:
            if self._file is not None:
                if not self._busy and os.fstat(self._file).st_size > self.size:
                    os.ftruncate(self._file, self.size)
                return os.fdopen(_reopened(self._file, self._path), "rb")
        if self.size > 0:
            raise LifecycleError("the task log was disposed with its run")
        return open(os.devnull, "rb")

    def close(self) -> None:
        """Refuse writes from now on; readers come to their end."""
        with self._lock:
            self.closed = True
            self._wake()

    def dispose(self) -> None:
        """Let go of the file, once those who read have come to their end; the file itself is its folder's."""
        with self._lock:
            self._disposed = True
            self._release()

    def _release(self) -> None:
        if self._disposed and not self._busy and self._readers == 0 and self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def _open_file(self) -> int:
        if self._file is None:
            path = self._new_path()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._path = path
        return self._file

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._open_file(), view, self.size)
                self.size += written
                view = view[written:]
        except OSError as error:
            raise _unwritable(error) from error

    async def _move(self, pipe: int, waiting: int) -> int:
        with self._lock:
            if self._busy:
                raise LifecycleError("two drains into one task log: a sandbox has one output")
            self._busy = not self.closed  # what is dropped keeps no reader waiting
        if not self._busy:
            return len(os.read(pipe, INLINE_BYTES))
        try:
            if waiting <= INLINE_BYTES:
                moved = self._move_now(pipe, waiting)
            else:
                moved = await _undisturbed(WORK.submit(self._move_now, pipe, CHUNK_BYTES).future)
        except BaseException:
            with contextlib.suppress(OSError, TaskExceptionError):  # the first error counts
                self._settle()
            raise
        self._settle()
        return moved

    def _move_now(self, pipe: int, count: int) -> int:
        if count == 0:
            # The end; or a byte that came just now. A file must not be opened before it is known which.
            data = os.read(pipe, INLINE_BYTES)
            self._append(data)
            return len(data)
        try:
            moved = _splice(pipe, self._open_file(), count, self.size)
        except OSError as error:
            raise _unwritable(error) from error
        self.size += moved
        return moved

    def _settle(self) -> None:
        with self._lock:
            self._busy = False
            backlog, self._backlog = self._backlog or [], None
            try:
                for data in backlog:
                    self._append(data)
            finally:
                self._release()
                self._wake()

    async def _read(self, offset: int) -> AsyncGenerator[bytes, None]:
        with self._lock:
            self._readers += 1
        try:
            while True:
                if offset < self.size:
                    if self._file is None:
                        raise LifecycleError("the task log was disposed with its run")
                    data = os.pread(self._file, min(INLINE_BYTES, self.size - offset), offset)
                    if not data:
                        raise NonFatalInternalError("the task log was cut short by somebody else")
                    offset += len(data)
                    yield data
                elif self.closed and not self._busy:
                    return
                else:
                    await self._grown(offset)
        finally:
            with self._lock:
                self._readers -= 1
                self._release()

    async def _grown(self, offset: int) -> None:
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            if offset < self.size or (self.closed and not self._busy):
                return
            self._waiters = (*self._waiters, waiter)
        try:
            await waiter[1]
        finally:
            with self._lock:
                self._waiters = tuple(other for other in self._waiters if other is not waiter)

    def _wake(self) -> None:
        """Let readers look again; the caller holds the lock."""
        waiters, self._waiters = self._waiters, ()
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:
                pass  # that reader's loop is closed


def _reopened(file: int, path: Path | None) -> int:
    """Return a descriptor of the same file with an offset of its own.

    Not by its path where that can be helped: a task can reach it, and may have put something else there.
    """
    again = f"/proc/self/fd/{file}" if sys.platform == "linux" else os.fspath(path or os.devnull)
    opened = os.open(again, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not os.path.sameopenfile(file, opened):
        os.close(opened)
        raise NonFatalInternalError("somebody else put another file in the place of the task log")
    return opened


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _waiting(pipe: int) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0]
    return count


async def _readable(pipe: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pipe, _set, future)
    try:
        await future
    finally:
        loop.remove_reader(pipe)


async def _undisturbed(future: asyncio.Future[int]) -> int:
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


def _splice(pipe: int, file: int, count: int, offset: int) -> int:
    if sys.platform == "linux":
        return os.splice(pipe, file, count, offset_dst=offset, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
    data = os.read(pipe, count)
    return os.pwrite(file, data, offset)


def _unwritable(error: OSError) -> OSError | TaskExceptionError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return TaskExceptionError(
            ExceptionReason.RESOURCE_UNAVAILABLE, f"the task log cannot grow: {error.strerror}"
        )
    return error
