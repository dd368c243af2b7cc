"""A loop whose clock jumps: what waits for a timer waits no time at all, and a wait that nothing will end fails
at once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

from ..lifecycle.calls import CURRENT
from ..lifecycle.threads import Job, ThreadPool

T = TypeVar("T")

MOST_TURNS = 20_000
"""After so many turns of the loop without any time passing, none ever will."""

THREAD_SECONDS = 30.0
"""How long, in real time, the loop waits for a thread that is expected to come back."""


class NothingWillHappenError(Exception):
    """Everything waits, and there is no timer, no file and no thread that could end it."""


class LivelockError(Exception):
    """The loop turns and turns, and time does not pass."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to its next timer when nothing else is to be done and no thread is expected to come back.

    `problems` are what a loop would otherwise only have logged, such as errors that nobody asked for.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self.expected: set[Job] = set()
        self.hanging: list[Job] = []
        self.problems: list[dict[str, Any]] = []
        super().__init__(_JumpingSelector(self))
        self.set_exception_handler(lambda _, context: self.problems.append(context))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self.now

    def expect(self, job: Job) -> None:
        """Wait for a call in a thread, until it has come back, before time passes."""
        self.expected.add(job)
        job.future.add_done_callback(lambda _: self.expected.discard(job))

    def hear_threads(self, select: Callable[[float], Any]) -> bool:
        """Called when nothing else is to be done: wait until a thread says something; return whether one was to."""
        if not self.expected:
            return False
        if not select(THREAD_SECONDS):
            raise NothingWillHappenError(f"threads do not come back: {self.expected}")
        return True

    def expect_again(self) -> None:
        """Wait for the threads that hung: they have been released."""
        self.expected.update(job for job in self.hanging if not job.future.done())
        self.hanging.clear()

    def turn(self, times: int = 1) -> None:
        """From outside: let what is ready run, and what that makes ready, so many times; the clock stands still."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """From outside: run until so much virtual time has passed."""
        self.call_later(seconds, self.stop)
        self.run_forever()


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.turns += 1
        if self._loop.turns > MOST_TURNS:
            self._loop.turns = 0
            raise LivelockError(f"so many turns of the loop, and it is still {self._loop.now}")
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._loop.hear_threads(super().select):
            return []  # what they said is ready at the next turn
        if timeout is None:
            raise NothingWillHappenError
        self._loop.now += timeout
        self._loop.turns = 0
        return []


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop to its end; what the loop would have logged fails."""
    with expecting_threads(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        result = runner.run(main)
        assert loop.problems == []
        return result


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorate an `async def` test so that it runs on a virtual loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtually(test(*args, **kwargs))

    assert inspect.iscoroutinefunction(test)
    return run


def expecting_threads() -> Any:
    """While it is entered, virtual loops wait for the calls in threads that they have submitted."""
    submit = ThreadPool._submit

    def submit_and_expect(
        pool: ThreadPool, reserved: bool, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Job:
        job = submit(pool, reserved, function, *args, **kwargs)
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.expect(job)
        return job

    return mock.patch.object(ThreadPool, "_submit", submit_and_expect)


def hang(loop: asyncio.AbstractEventLoop, released: threading.Event) -> None:
    """From a thread: hang until released, while the loop expects the thread no more; see `VirtualLoop.expect_again`."""
    call = CURRENT.get()

    def forget() -> None:
        if (
            isinstance(loop, VirtualLoop)
            and call is not None
            and call.job is not None
            and not released.is_set()
        ):
            loop.expected.discard(call.job)
            loop.hanging.append(call.job)

    loop.call_soon_threadsafe(forget)
    released.wait(THREAD_SECONDS)


async def sleep_for_thread(seconds: float) -> None:
    """On the loop, for a thread that waits in `run_on_loop`: sleep, while nobody expects the thread back."""
    loop, call = asyncio.get_running_loop(), CURRENT.get()
    expected = loop.expected if isinstance(loop, VirtualLoop) else set()
    if call is None or call.job is None:
        await asyncio.sleep(seconds)
        return
    expected.discard(call.job)
    try:
        await asyncio.sleep(seconds)
    finally:
        if not call.job.future.done():
            expected.add(call.job)
