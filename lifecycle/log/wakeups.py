"""How those who follow a log learn that it has grown: in rounds, so that a line costs its writer no more for many.

A round comes at once where none was lately, and otherwise waits, a little longer the more there are to wake: the
loop that they share has time left for the task.
"""

from __future__ import annotations

import asyncio
import threading

from .pipes import settle

SHORTEST_PAUSE = 0.01
"""Seconds between two rounds for few readers."""
LONGEST_PAUSE = 0.05
"""Seconds between two rounds for many: a reader sees a line at most twice that after it was written."""
PAUSE_PER_READER = 0.00005
BATCH = 64
"""How many are woken in one turn of the loop; in between others have theirs."""


class Wakeups:
    """Those who wait on one loop. `ring` is for any thread, with the log's lock held; the rest is for the loop."""

    __slots__ = ("_last", "_lock", "_rung", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, lock: threading.Lock) -> None:
        self.loop = loop
        self._lock = lock
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._rung = False
        self._last = float("-inf")

    def join(self) -> asyncio.Future[None]:
        """Return what the next round makes done; the caller holds the lock."""
        future = self.loop.create_future()
        self._waiting[future] = None
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        """Forget one who waits no more; the caller holds the lock."""
        self._waiting.pop(future, None)

    def ring(self) -> None:
        """Have those who wait now look again soon."""
        if not self._waiting or self._rung:
            return
        try:
            self.loop.call_soon_threadsafe(self._schedule)
        except RuntimeError:
            self._waiting.clear()  # that loop is closed
        else:
            self._rung = True

    def _schedule(self) -> None:
        pause = min(LONGEST_PAUSE, SHORTEST_PAUSE + PAUSE_PER_READER * len(self._waiting))
        due = self._last + pause
        if self.loop.time() < due:
            self.loop.call_at(due, self._round)
        else:
            self._round()

    def _round(self) -> None:
        with self._lock:
            self._rung = False
            waiting, self._waiting = list(self._waiting), {}
        self._last = self.loop.time()
        self._wake(waiting)

    def _wake(self, waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting[:BATCH]:
            settle(future)
        if len(waiting) > BATCH:
            self.loop.call_soon(self._wake, waiting[BATCH:])
