"""The log of one task: a file that exists from the first byte on, and refuses writes once closed.

The sandbox's output is spliced into it. One writer at a time appends at `size`: small pieces on the loop,
large ones in a thread, so that a slow disk holds up no other run. What hooks log while a thread is writing
waits in memory and follows; the sandbox's output waits in its pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import LifecycleError, TaskExceptionError
from ..threads import WORK
from . import pipes
from .masks import Masks
from .sink import Sink
from .view import LogView, pieces
from .wakeups import Wakeups

INLINE_BYTES = 65_536
"""More than this waiting in the pipe is moved in a thread."""
CHUNK_BYTES = 1_048_576
"""The most that is moved at once; a pipe of this size is filled and emptied in one call each."""

Append = Callable[[Sink, bytes], None]


class TaskLog:
    """Bytes in order, from the task and about it; `size` counts them.

    It takes at most `limit` bytes, and what is said about the task a little beyond; `masks` are the secrets that are
    known from the beginning. Every method but `drain` may be called from any thread; a reader belongs to the loop that
    it is read on.
    """

    __slots__ = (
        "_backlog",
        "_busy",
        "_disposed",
        "_lock",
        "_shared",
        "_sink",
        "_views",
        "_wakeups",
        "closed",
    )

    def __init__(
        self, new_path: Callable[[], Path], limit: int | None = None, masks: Masks | None = None
    ) -> None:
        self._sink = Sink(new_path, limit, masks)
        self._lock = threading.Lock()
        self._busy = False
        self._disposed = False
        self._views = 0
        self._shared: int | None = None
        self._backlog: list[tuple[Append, bytes]] | None = None
        self._wakeups: tuple[Wakeups, ...] = ()
        self.closed = False

    @property
    def size(self) -> int:
        """The bytes in the log."""
        return self._sink.size

    def mask(self, *secrets: bytes | str) -> None:
        """Replace the secrets, and their lines, by `[masked]` in whatever gets into the log from now on.

        Raises: ValueError for one that is too short or too long.
        """
        with self._lock:
            self._sink.masks = (self._sink.masks or Masks()).adding(secrets)

    def masked(self, text: str) -> str:
        """Return a text as the log would show it."""
        masks = self._sink.masks
        if masks is None:
            return text
        return masks.applied(text.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")

    def write(self, data: bytes) -> bool:
        """Append what the task wrote; return False if the log is closed.

        What may be the beginning of a secret is appended once it is known to be none; what is beyond the limit is
        dropped. Raises: TaskExceptionError when the disk is full.
        """
        return self._write(Sink.output, data)

    def tell(self, data: bytes) -> bool:
        """Append a message about the task, which is complete; return False if the log is closed.

        Raises: TaskExceptionError when the disk is full.
        """
        return self._write(Sink.message, data)

    def _write(self, append: Append, data: bytes) -> bool:
        with self._lock:
            if self.closed:
                return False
            if self._busy:
                self._backlog = self._backlog or []
                # A copy, now: the caller may use a buffer again.
                self._backlog.append((append, bytes(memoryview(data))))
                return True
            try:
                append(self._sink, data)
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
            if (waiting := pipes.waiting(pipe)) == 0:
                await pipes.readable(pipe)
                waiting = pipes.waiting(pipe)
            else:
                await asyncio.sleep(0)  # a task that writes as fast as this reads must not hold up the loop
            try:
                count = await self._move(pipe, waiting)
            except BlockingIOError:
                continue  # somebody was faster: a task can open its own output and read from it
            if count == 0:
                return moved
            moved += count

    @property
    def ended(self) -> bool:
        """Whether the log is closed, and nothing is under way into it any more."""
        return self.closed and not self._busy

    def reader(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Return what is and will be in the log from `offset` on, until the log is closed.

        It comes in pieces of at most 64 KiB.

        Raises: NonFatalInternalError if somebody else cuts the file short.
        """
        return pieces(self, offset)

    def view(self) -> LogView:
        """Return a view of the log as it grows; it keeps the log readable until it is closed.

        Raises: LifecycleError once the log was disposed.
        """
        with self._lock:
            if self._sink.file is None and self.size > 0:
                raise LifecycleError("the task log was disposed with its run")
            self._views += 1
        return LogView(self)

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
            if (file := self._sink.file) is not None:
                if not self._busy and os.fstat(file).st_size > self.size:
                    os.ftruncate(file, self.size)
                return os.fdopen(pipes.reopened(file, self._sink.path), "rb")
        if self.size > 0:
            raise LifecycleError("the task log was disposed with its run")
        return open(os.devnull, "rb")

    def close(self) -> None:
        """Refuse writes from now on; what was held back goes in, and readers come to their end.

        Raises: TaskExceptionError if it was, and the disk is full; the log is closed all the same.
        """
        with self._lock:
            if self.closed:
                return
            self.closed = True
            try:
                if not self._busy:
                    self._sink.end_output()
            finally:
                self._wake()

    def dispose(self) -> None:
        """Let go of the file, once those who read have come to their end; the file itself is its folder's."""
        with self._lock:
            self._disposed = True
            self._release()

    # What views ask for

    def read(self, offset: int, count: int) -> bytes:
        """Return what the file holds at an offset, for a view that is open."""
        if self._sink.file is None:
            raise LifecycleError("the task log was disposed with its run")
        return os.pread(self._sink.file, count, offset)

    def shared_descriptor(self) -> int | None:
        """Return the one descriptor that all views read from, opened for the first of them that asks."""
        with self._lock:
            if self._shared is None and self._sink.file is not None and self.size > 0:
                self._shared = pipes.reopened(self._sink.file, self._sink.path)
            return self._shared

    def let_go(self) -> None:
        """Count one view less."""
        with self._lock:
            self._views -= 1
            if self._views == 0 and self._shared is not None:
                shared, self._shared = self._shared, None
                os.close(shared)
            self._release()

    async def grown(self, offset: int) -> None:
        """Wait until the log holds more than `offset` bytes or has ended; may return too early."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if offset < self.size or self.ended:
                return
            wakeups = self._wakeups_of(loop)
            future = wakeups.join()
        try:
            await future
        finally:
            with self._lock:
                wakeups.leave(future)

    def _wakeups_of(self, loop: asyncio.AbstractEventLoop) -> Wakeups:
        for wakeups in self._wakeups:
            if wakeups.loop is loop:
                return wakeups
        made = Wakeups(loop, self._lock)
        self._wakeups = (*(other for other in self._wakeups if not other.loop.is_closed()), made)
        return made

    def _wake(self) -> None:
        """Let views look again; the caller holds the lock."""
        for wakeups in self._wakeups:
            wakeups.ring()

    # How bytes get into the file

    def _release(self) -> None:
        if self._disposed and not self._busy and self._views == 0 and self._sink.file is not None:
            file, self._sink.file = self._sink.file, None
            os.close(file)

    async def _move(self, pipe: int, waiting: int) -> int:
        with self._lock:
            if self._busy:
                raise LifecycleError("two drains into one task log: a sandbox has one output")
            self._busy = not self.closed  # what is dropped keeps no reader waiting
        if not self._busy:
            return len(os.read(pipe, INLINE_BYTES))
        try:
            if waiting <= INLINE_BYTES:
                moved = self._sink.move(pipe, waiting)
            else:
                moved = await pipes.undisturbed(WORK.submit(self._sink.move, pipe, CHUNK_BYTES).future)
        except BaseException:
            with contextlib.suppress(OSError, TaskExceptionError):  # the first error counts
                self._settle()
            raise
        self._settle()
        return moved

    def _settle(self) -> None:
        with self._lock:
            backlog, self._backlog = self._backlog or [], None
            try:
                for append, data in backlog:
                    append(self._sink, data)
                if self.closed:
                    self._sink.end_output()
            finally:
                self._busy = False
                self._release()
                self._wake()
