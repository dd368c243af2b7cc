"""The one thread that writes a journal: everything appended while a sync is under way shares the next one.

Theory. Sources (the runs, the session) append to memory under a lock that is held for moments. A batch is what all
dirty sources have appended so far; it is one transaction, and one sync. Whoever waits for durability waits for the
batch that takes what they appended: the one under way if their source is not dirty, else the next. What nobody waits
for is written after `LINGER_SECONDS`.

An error is final: the batch may be on disk or not, so nothing that follows could be trusted. Whoever waits then, and
whoever comes later, gets it. Every wait is bounded by its caller, so that a disk that hangs in a sync holds up this
thread, which is a daemon, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from ..errors import JournalError
from .store import Statement, Store

LINGER_SECONDS = 0.05
"""How long something may lie in memory for which nobody waits."""

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Source(Protocol):
    """What has something to write. The first two are called with the writer's lock held, the last by its thread."""

    def take(self) -> None:
        """Move what was appended into the batch."""

    def landed(self) -> None:
        """Forget the batch: it is durable."""

    def statements(self) -> Iterable[Statement]:
        """Return what writes the batch."""


class Writer:
    """Writes what sources append; `error` is why it no longer does, `lock` what appending needs."""

    def __init__(self, path: Path, open_store: Callable[[], Store]) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.error: BaseException | None = None
        self.commits = 0
        self._open_store = open_store
        self._changed = threading.Condition(self.lock)
        self._dirty: dict[Source, None] = {}
        self._flying: dict[Source, None] = {}
        self._waiters: list[Waiter] = []
        self._aboard: list[Waiter] = []
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="stagecall-journal", daemon=True)

    async def start(self, patience: float) -> None:
        """Open the file. Raises: JournalError."""
        with self.lock:
            waiter = self._wait_in(self._aboard)
        self._thread.start()
        await self._patiently(waiter, patience, "be opened")

    def touch(self, source: Source) -> None:
        """Have `source` written some time; the caller holds the lock and has appended."""
        if source not in self._dirty:
            self._dirty[source] = None
            if len(self._dirty) == 1:
                self._changed.notify()

    @property
    def accepts(self) -> bool:
        """Whether what is appended now will be written."""
        return self.error is None and not self._closing

    async def durable(self, source: Source, patience: float) -> None:
        """Wait until everything that `source` has appended is on disk, for at most `patience` seconds.

        Raises: JournalError, at once if the journal has failed before.
        """
        with self.lock:
            self.check()
            if source in self._dirty:
                waiter = self._wait_in(self._waiters)
                self._changed.notify()
            elif source in self._flying:
                waiter = self._wait_in(self._aboard)
            else:
                return
        await self._patiently(waiter, patience, "make something durable")

    def check(self) -> None:
        """Raise the error that ended the writing, if one has."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self._closing:
            raise JournalError(f"the journal {self.path} is closed")

    async def close(self, patience: float) -> None:
        """Write what is left, end the thread. Raises: JournalError that happened on the way, or before."""
        with self.lock:
            self._closing = True
            waiter = self._wait_in(self._waiters) if self._thread.is_alive() and self.error is None else None
            self._changed.notify()
        if waiter is not None:
            await self._patiently(waiter, patience, "be closed")
        if self.error is not None:
            raise self.error.with_traceback(None)

    def fail(self, error: BaseException) -> None:
        """Stop writing for good, and tell everybody who waits."""
        if not isinstance(error, JournalError):
            cause, error = error, JournalError(f"the journal {self.path} has failed: {error!r}")
            error.__cause__ = cause
        with self.lock:
            if self.error is None:
                self.error = error
            waiters = self._aboard + self._waiters
            self._aboard, self._waiters = [], []
            self._dirty.clear()
            self._changed.notify()
        _resolve(waiters, self.error)

    def forked(self) -> None:
        """Be of no more use, in a child that was forked: file and thread are the parent's."""
        self.lock = threading.Lock()  # somebody may have held it when the process was forked
        self._changed = threading.Condition(self.lock)
        self._waiters, self._aboard = [], []
        self.error = JournalError(
            f"the journal {self.path} belongs to the process that opened it, not to its fork"
        )

    def _wait_in(self, waiters: list[Waiter]) -> Waiter:
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        waiters.append(waiter)
        return waiter

    async def _patiently(self, waiter: Waiter, patience: float, what: str) -> None:
        try:
            async with asyncio.timeout(patience):
                await waiter[1]
        except TimeoutError:
            self.fail(JournalError(f"the journal {self.path} took more than {patience:g} seconds to {what}"))
            self.check()

    # The thread

    def _work(self) -> None:
        try:
            store = self._open_store()
        except BaseException as error:  # whatever it is, whoever waits must learn of it
            self.fail(error)
            return
        self._land()
        try:
            try:
                while self._turn(store):
                    pass
            finally:
                with contextlib.suppress(JournalError):  # what counts was committed
                    store.close()
        except BaseException as error:
            self.fail(error)
        else:
            self._land()

    def _turn(self, store: Store) -> bool:
        """Write one batch; return False when there will be no more."""
        with self.lock:
            self._changed.wait_for(self._wanted)
            self._changed.wait_for(self._urgent, LINGER_SECONDS)
            if self.error is not None:
                return False
            self._flying, self._dirty = self._dirty, {}
            self._aboard, self._waiters = self._waiters, []
            last = self._closing
            for source in self._flying:
                source.take()
        statements = [statement for source in self._flying for statement in source.statements()]
        if statements:
            store.commit(statements)
            self.commits += 1
        if not last:
            self._land()
        return not last

    def _wanted(self) -> bool:
        return bool(self._dirty) or self._urgent()

    def _urgent(self) -> bool:
        return bool(self._waiters) or self._closing or self.error is not None

    def _land(self) -> None:
        with self.lock:
            for source in self._flying:
                source.landed()
            self._flying = {}
            waiters, self._aboard = self._aboard, []
        _resolve(waiters, None)


def _resolve(waiters: Iterable[Waiter], error: BaseException | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for loop, future in waiters:
        by_loop.setdefault(loop, []).append(future)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, futures, error)


def _settle(futures: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
