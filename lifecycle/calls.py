"""One call of a hook or of the engine: it runs in a task of its own, and whatever it raises becomes a value
inside that task.

SystemExit and KeyboardInterrupt would leave a task through the event loop and end the program, and a stray
CancelledError would look like a cancellation of the run; here all three are only what a hook did.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from ..specs.trace import Outcome
from .threads import POOL, Job

NOBODY: frozenset[str] = frozenset()
_ASYNC = inspect.CO_COROUTINE


@attrs.define(eq=False, weakref_slot=False)
class Call:
    """What is called, for whom, and how it ended; `outcome` is None while it has not.

    `plugin` is None for engine calls and the run's own steps. `after` names the plugins whose call in the same
    barrier must end first. `budget` is in seconds, None for no bound. `late` takes what the call returns after it
    was abandoned. `reserved` calls clean up: they begin whatever happens, and have threads of their own.
    """

    name: str
    plugin: str | None
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    after: frozenset[str] = NOBODY
    budget: float | None = None
    late: Callable[[Any], Awaitable[None]] | None = None
    reserved: bool = False
    task: asyncio.Task[None] | None = None
    job: Job | None = None
    begun: bool = False
    deadline: float | None = None
    graced: bool = False
    awaited: bool = False
    cancelling: bool = False
    timed_out: bool = False
    outcome: Outcome | None = None
    value: Any = None
    error: BaseException | None = None
    loop_work: list[asyncio.Task[Any]] | None = None

    @property
    def where(self) -> str:
        """The call as errors name it: `stopped of plugin artifacts`."""
        return f"{self.name} of plugin {self.plugin}" if self.plugin is not None else self.name

    def invoke(self) -> Awaitable[Any]:
        """Call the function, in a thread if it is a plain `def`; await what this returns for the value."""
        return self.function(*self.arguments) if is_async(self.function) else self._call_def()

    async def _call_def(self) -> Any:
        """Call the function in a thread, and await what it returns if that is awaitable."""
        value = await self._in_thread()
        if not inspect.isawaitable(value):
            return value
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            task.cancel()  # the thread could not be interrupted, what it returned can be
        return await value

    async def _in_thread(self) -> Any:
        token = CURRENT.set(self)
        submit = POOL.submit_reserved if self.reserved else POOL.submit
        self.job = submit(self.function, *self.arguments)
        CURRENT.reset(token)
        while not self.job.future.done():
            try:
                await asyncio.wait([self.job.future])
            except asyncio.CancelledError:
                unwanted = self.outcome is not None and self.late is None
                if unwanted or (not self.reserved and POOL.withdraw(self.job)):
                    self.job.future.cancel()  # nobody waits for the thread, or there is none
                    raise
                # A thread cannot be interrupted. What it waits for on the loop can; then it has abandon_grace
                # to come back.
                for work in self.loop_work or ():
                    work.cancel()
        return self.job.future.result()

    def abandon(self) -> None:
        """Stop waiting for good: the thread no longer counts against the pool's bound; dispose still gets one."""
        self.outcome = Outcome.ABANDONED
        if self.job is not None and POOL.abandon(self.job, keep=self.reserved):
            self.job.future.cancel()


CURRENT: contextvars.ContextVar[Call | None] = contextvars.ContextVar("stagecall_call", default=None)
"""The call on whose behalf a thread runs, so that cancelling it reaches what the thread waits for on the loop."""


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling `function` gives a coroutine, without the cost of `inspect` for plain functions
    and methods.

    >>> is_async(asyncio.sleep), is_async(print)
    (True, False)
    """
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is not None:
        return bool(code.co_flags & _ASYNC)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "func", None)
    )
