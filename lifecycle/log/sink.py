"""What gets into the file of a log: output as it is, or without its secrets; up to a limit, while the disk has room.

Nothing is locked here: a TaskLog lets one at a time use its sink, on the loop or in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from ...specs.sizes import format_size
from ..errors import ExceptionReason, TaskExceptionError
from . import pipes
from .masks import Filter, Masks

READ_BYTES = 65_536
"""The most that is read where it is not known how much there is."""
RESERVE_BYTES = 1_048_576
"""What a log may hold beyond its limit, of what the worker says about the task."""


class Sink:
    """The file, made at its first byte; `size` counts what it holds, `masks` is set where there are secrets."""

    __slots__ = ("_cut", "_filter", "_full", "_limit", "_new_path", "file", "masks", "path", "size")

    def __init__(self, new_path: Callable[[], Path], limit: int | None, masks: Masks | None) -> None:
        self._new_path = new_path
        self._limit = limit
        self._filter: Filter | None = None
        self._cut = False
        self._full = False
        self.masks = masks
        self.path: Path | None = None
        self.file: int | None = None
        self.size = 0

    def output(self, data: bytes) -> None:
        """Append what the task wrote, but what may be the beginning of a secret, and what is beyond the limit.

        Raises: TaskExceptionError when the disk is full.
        """
        if self.masks is not None:
            self._filter = self._filter or Filter()
            data = self._filter.feed(self.masks, data)
        self._append_output(data)

    def end_output(self) -> None:
        """Append what is held back: the output has ended. Raises: TaskExceptionError when the disk is full."""
        if self.masks is not None and self._filter is not None:
            self._append_output(self._filter.end(self.masks))

    def message(self, data: bytes) -> None:
        """Append what is said about the task, which is complete; beyond the limit as long as the reserve lasts.

        Raises: TaskExceptionError when the disk is full.
        """
        if self._full:
            return
        if self.masks is not None:
            data = self.masks.applied(data)
        if self._limit is None or self.size + len(data) <= self._limit + RESERVE_BYTES:
            self._append_lines(data)
        else:
            self._full = True
            self._append_lines(
                b"[stagecall:error] the log is full: what else would be said about the task is not in it\n"
            )

    def move(self, pipe: int, count: int) -> int:
        """Move at most `count` bytes from a pipe, 0 if it seems to be at its end; return how many came.

        They are not copied where they need not be looked at.

        Raises: BlockingIOError if there are none, TaskExceptionError when the disk is full.
        """
        if count == 0 or self.masks is not None:
            # The end; or a byte that came just now. A file must not be opened before it is known which.
            data = os.read(pipe, count or READ_BYTES)
            if data:
                self.output(data)
            else:
                self.end_output()
            return len(data)
        if (room := self._room(count)) == 0:
            if came := len(os.read(pipe, count)):
                self._cut_off()
            return came
        try:
            moved = pipes.splice(pipe, self._opened(), min(count, room), self.size)
        except OSError as error:
            raise _unwritable(error) from error
        self.size += moved
        return moved

    def _room(self, wanted: int) -> int:
        """Return how much of what the task wrote the log may take."""
        if self._limit is None:
            return wanted
        return min(wanted, max(0, self._limit - self.size))

    def _append_output(self, data: bytes) -> None:
        room = self._room(len(data))
        self._append(data if room == len(data) else data[:room])
        if room < len(data):
            self._cut_off()

    def _cut_off(self) -> None:
        if not self._cut and self._limit is not None:
            self._cut = True
            self._append_lines(
                f"[stagecall:error] the task wrote more than the {format_size(self._limit)} that its log may hold "
                "(limits.maxLogBytes): the rest of its output is not in the log\n".encode()
            )

    def _append_lines(self, lines: bytes) -> None:
        """Append lines of the worker's own, and end the line that the task has begun, or theirs would not be seen."""
        ended = self.size == 0 or os.pread(self._opened(), 1, self.size - 1) in (b"\n", b"")
        self._append(lines if ended else b"\n" + lines)

    def _opened(self) -> int:
        if self.file is None:
            path = self._new_path()
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self.path = path
        return self.file

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._opened(), view, self.size)
                self.size += written
                view = view[written:]
        except OSError as error:
            raise _unwritable(error) from error


def _unwritable(error: OSError) -> OSError | TaskExceptionError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return TaskExceptionError(
            ExceptionReason.RESOURCE_UNAVAILABLE, f"the task log cannot grow: {error.strerror}"
        )
    return error
