"""Whether a run was cancelled: a flag, an awaitable, and a wait for threads, in one small object."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

from .errors import ExceptionReason


class Cancellation:
    """Set once, when the run is aborted or becomes an exception; `reason` then says why.

    >>> cancelled = Cancellation()
    >>> bool(cancelled), cancelled.reason
    (False, None)
    """

    __slots__ = ("_lock", "_thread_event", "_waiters", "reason")

    def __init__(self) -> None:
        self.reason: ExceptionReason | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._thread_event: threading.Event | None = None
        self._lock = _LOCK

    def __bool__(self) -> bool:
        return self.reason is not None

    def __await__(self) -> Generator[object, None, ExceptionReason]:
        """Wait on the run's loop until the run is cancelled; return the reason."""
        if self.reason is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                yield from waiter
            finally:
                if self._waiters and waiter in self._waiters:
                    self._waiters.remove(waiter)
        assert self.reason is not None
        return self.reason

    def wait(self, timeout: float | None = None) -> bool:
        """Block a thread, never the loop, until the run is cancelled; return whether it is.

        `timeout` is in seconds; without one this waits for as long as it takes.
        """
        with self._lock:
            if self.reason is not None:
                return True
            if self._thread_event is None:
                self._thread_event = threading.Event()
        self._thread_event.wait(timeout)
        return self.reason is not None

    def set(self, reason: ExceptionReason) -> None:
        """Cancel, on the run's loop; only the first reason counts."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            if self._thread_event is not None:
                self._thread_event.set()
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = None


_LOCK = threading.Lock()
"""Guards the moment of setting in every Cancellation; held so briefly that one lock serves all runs."""
