"""Writes to the terminal, or to whatever stands in its place, from a thread of its own.

A terminal may be paused, a pipe's reader may sleep: the loop that drives the runs must not wait for either.
So the loop only hands text over, the log's reader waits for its turn without blocking, and the thread redraws
the stage line while nothing comes. A reader that went away (`| head`) is no error: what it no longer wants is
dropped, and the runs go on. They do so too where the results cannot be written, on a full disk; that is told in
the end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import select
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs

from ...lifecycle.errors import NonFatalInternalError

TICK_SECONDS = 0.1
"""How often the stage line is drawn anew."""

PATIENCE_SECONDS = 1.0
"""How long a reader that does not read holds up the end, when there is a hurry."""

MAX_ITEMS = 64
"""The most that is written before the stage line is drawn again."""

_GONE = (errno.EPIPE, errno.EIO)
"""The reader has had enough, the terminal is gone."""

Picture = Callable[[int, int], Sequence[str]]
"""Called with columns and rows; returns the lines to show at the bottom, none as wide as the terminal."""


@attrs.frozen(eq=False)
class _Item:
    """Something to write; `written` is told when it is, if anybody waits."""

    fd: int
    data: bytes
    written: asyncio.Future[None] | None = None


_END = _Item(-1, b"")


class Screen:
    """Where the log, notes and results go; each is a file descriptor.

    `picture` is drawn below everything else, on the terminal that both log and notes are; None where there is
    no such terminal.
    """

    def __init__(self, log: int, notes: int, results: int, picture: Picture | None = None) -> None:
        self._log = log
        self._notes = notes
        self._results = results
        self._picture = picture
        self._on_terminal = {fd for fd in (log, notes, results) if picture and os.isatty(fd)}
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._gone: set[int] = set()
        self._drawn = 0
        self._hurried = False
        self._error: Exception | None = None
        self._closed: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to write. Call it on the running loop."""
        self._closed = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._work, name="stagecall-screen", daemon=True).start()

    async def log(self, data: bytes) -> None:
        """Write a piece of the log; returns once it is written."""
        written = asyncio.get_running_loop().create_future()
        self._queue.put(_Item(self._log, data, written))
        await written

    def note(self, text: str) -> None:
        """Write text about the runs, without waiting for it, from any thread."""
        self._queue.put(_Item(self._notes, _encoded(text)))

    def result(self, line: str) -> None:
        """Write a line of the command's result, without waiting for it, from any thread."""
        self._queue.put(_Item(self._results, _encoded(line)))

    def hurry(self) -> None:
        """Show no more of the log, and let nobody wait for a reader that does not read."""
        self._hurried = True

    async def close(self) -> None:
        """Write what is left, remove the stage line, and stop.

        Raises: NonFatalInternalError if results are lost; what went wrong in drawing.
        """
        assert self._closed is not None, "close() without start()"
        self._queue.put(_END)
        while not self._closed.done():
            await asyncio.wait([self._closed], timeout=PATIENCE_SECONDS)
            if self._hurried:
                break
        if self._error is not None:
            raise self._error

    def erase(self) -> None:
        """Remove the stage line at once, from whatever thread, because the program ends now."""
        with suppress(OSError):
            os.write(self._notes, self._erasure())

    def _work(self) -> None:
        items: list[_Item] = []
        while _END not in items:
            items = self._next_items()
            self._write(items, draw=_END not in items)
            self._tell(items)

    def _next_items(self) -> list[_Item]:
        """Return what there is to write; nothing if it is only time to draw."""
        try:
            items = [self._queue.get(timeout=TICK_SECONDS if self._picture else None)]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(items) < MAX_ITEMS:
            items.append(self._queue.get())
        return items

    def _write(self, items: Sequence[_Item], draw: bool) -> None:
        wanted = [item for item in items if not (self._hurried and item.written is not None)]
        for item in wanted:
            if item.fd not in self._on_terminal:
                self._put(item.fd, item.data)
        above = b"".join(item.data for item in wanted if item.fd in self._on_terminal)
        lines = self._lines() if draw else []
        self._put(self._notes, self._erasure() + above + "\n".join(lines).encode("utf-8", "replace"))
        self._drawn = len(lines)

    def _lines(self) -> Sequence[str]:
        try:
            return self._picture(*_size(self._notes)) if self._picture is not None else []
        except Exception as error:  # a defect; nobody may wait for this thread in vain
            self._error, self._picture = error, None
            return []

    def _erasure(self) -> bytes:
        """Return what removes the picture: the cursor is at the end of its last line."""
        drawn, self._drawn = self._drawn, 0
        up = f"\x1b[{drawn - 1}A" if drawn > 1 else ""
        return f"\r{up}\x1b[J".encode() if drawn else b""

    def _put(self, fd: int, data: bytes) -> None:
        """Write all of `data`, unless the reader is gone, or nothing more can be written."""
        view = memoryview(data)
        while view and fd not in self._gone:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                select.select([], [fd], [], TICK_SECONDS)
            except OSError as error:
                self._gone.add(fd)
                if fd == self._results and error.errno not in _GONE:
                    self._error = NonFatalInternalError(f"standard output: {error.strerror}")

    def _tell(self, items: Sequence[_Item]) -> None:
        waiting = [item.written for item in items if item.written is not None]
        if _END in items and self._closed is not None:
            waiting.append(self._closed)
        for future in waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                future.get_loop().call_soon_threadsafe(_done, future)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _encoded(text: str) -> bytes:
    return (text if text.endswith("\n") else f"{text}\n").encode("utf-8", "replace")


def _size(fd: int) -> tuple[int, int]:
    """Return the terminal's columns and rows; 80 by 24 where it does not tell."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24
