"""The library's own bounded pools of daemon threads, in which plain `def` hooks and blocking file work run.

The default executor would not do: its threads are joined when the program exits, so one hook that hangs would
hold up the exit for ever. These are daemons, a few are reserved for dispose, and a thread that was abandoned
no longer counts against the bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

import attrs

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 10.0


@attrs.define(eq=False)
class Job:
    """One call in the pool: await `future` for what it returns; `ThreadPool.abandon` frees its place."""

    call: Callable[[], Any]
    future: asyncio.Future[Any]
    reserved: bool
    started: bool = False
    abandoned: bool = False

    def run(self) -> None:
        """Call, and hand the result or error to the loop that waits, if it still runs."""
        value: Any = None
        error: BaseException | None = None
        try:
            value = self.call()
        except BaseException as raised:  # the error belongs to whoever waits, not to this thread
            error = raised
        try:
            self.future.get_loop().call_soon_threadsafe(self._deliver, value, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _drop(value)

    def _deliver(self, value: Any, error: BaseException | None) -> None:
        if self.future.done():
            _drop(value)
        elif error is None:
            self.future.set_result(value)
        elif isinstance(error, StopIteration):  # a future refuses it
            self.future.set_exception(RuntimeError("a def hook raised StopIteration"))
        else:
            self.future.set_exception(error)


def _drop(value: Any) -> None:
    """Close what a plain `def` returned to be awaited, as nobody will."""
    if inspect.iscoroutine(value):
        value.close()


class PoolThread(threading.Thread):
    """A thread of a pool; `job` is what it works at, None while it is idle."""

    job: Job | None = None


_POOLS: WeakSet[ThreadPool] = WeakSet()


class ThreadPool:
    """At most `size` threads for ordinary calls and `reserved` more for dispose.

    Idle ones end after ten seconds.

    >>> pool = ThreadPool(size=1, reserved=1)
    >>> async def main():
    ...     return await pool.submit(sum, (1, 2)).future
    >>> asyncio.run(main())
    3
    """

    def __init__(self, size: int = 64, reserved: int = 8) -> None:
        self._bounds = {False: size, True: reserved}
        self._begin()
        _POOLS.add(self)

    def _begin(self) -> None:
        """Have no thread and no call; in a child that was forked none of the parent's are there."""
        self._threads = {False: 0, True: 0}
        self._idle = {False: 0, True: 0}
        self._queues: dict[bool, deque[Job]] = {False: deque(), True: deque()}
        self._changed = {False: threading.Condition(), True: threading.Condition()}

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Job:
        """Queue a call from the running loop's thread, in a copy of the current context."""
        return self._submit(False, function, *args, **kwargs)

    def submit_reserved(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Job:
        """Queue a call that may use the threads reserved for dispose, however many others hang."""
        return self._submit(True, function, *args, **kwargs)

    def _submit(self, reserved: bool, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Job:
        context = contextvars.copy_context()
        job = Job(
            partial(context.run, function, *args, **kwargs),
            asyncio.get_running_loop().create_future(),
            reserved,
        )
        changed = self._changed[reserved]
        with changed:
            self._queues[reserved].append(job)
            if self._idle[reserved] >= len(self._queues[reserved]):
                changed.notify()
            elif self._threads[reserved] < self._bounds[reserved]:
                try:
                    self._start_thread(reserved)
                except RuntimeError:  # the system gives no more threads: one that is there will come to it
                    if self._threads[reserved] == 0:
                        self._queues[reserved].remove(job)
                        raise
        return job

    def withdraw(self, job: Job) -> bool:
        """Take back a call that has not begun; return False if it has."""
        with self._changed[job.reserved]:
            waiting = job in self._queues[job.reserved]
            if waiting:
                self._queues[job.reserved].remove(job)
            return waiting

    def abandon(self, job: Job, *, keep: bool = False) -> bool:
        """Give up on a call: it no longer counts against the bound, and never begins, unless `keep` is set.

        Returns whether it had not begun and never will.
        """
        if not keep and self.withdraw(job):
            return True
        with self._changed[job.reserved]:
            if job.started and not job.abandoned:
                self._give_place_away(job.reserved)
            job.abandoned = True
        return False

    def _give_place_away(self, reserved: bool) -> None:
        self._threads[reserved] -= 1
        if self._queues[reserved]:
            with contextlib.suppress(RuntimeError):  # then the next call that is queued tries again
                self._start_thread(reserved)

    def _start_thread(self, reserved: bool) -> None:
        name = "stagecall-dispose" if reserved else "stagecall"
        PoolThread(target=self._work, args=(reserved,), name=name, daemon=True).start()
        self._threads[reserved] += 1

    def _work(self, reserved: bool) -> None:
        thread = threading.current_thread()
        assert isinstance(thread, PoolThread)
        while (job := self._next(reserved)) is not None:
            thread.job = job
            job.run()
            thread.job = None
            with self._changed[reserved]:
                job.started = False  # so that a late abandon() does not free this thread's place
                if job.abandoned:
                    return  # its place was given away: this thread is one too many
            del job  # an idle thread must keep nothing of a run

    def _next(self, reserved: bool) -> Job | None:
        changed, queue = self._changed[reserved], self._queues[reserved]
        with changed:
            while not queue:
                self._idle[reserved] += 1
                woken = changed.wait(IDLE_SECONDS)
                self._idle[reserved] -= 1
                if not woken and not queue:
                    self._threads[reserved] -= 1
                    return None
            job = queue.popleft()
            job.started = True
            if job.abandoned:
                self._give_place_away(reserved)
            return job


def _forked() -> None:
    for pool in list(_POOLS):
        pool._begin()


os.register_at_fork(after_in_child=_forked)

POOL = ThreadPool()
"""Where the plain `def` hooks of every run of the process are called."""

WORK = ThreadPool(size=32)
"""Where blocking file work is done, which waits for no hook.

It is apart, since a hook may wait for such work (`TaskContext.run_on_loop`): hooks that fill their own pool
must not fill the one that they wait for.
"""
