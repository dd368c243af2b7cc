"""The scene of one run: plays behaviours, and keeps the books on who was treated how."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.errors import ExceptionReason, LifecycleError
from ...lifecycle.resolution import leaves
from ..virtual_time import hang, sleep_for_thread
from .behaviour import ERRORS, Act, Behaviour

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext
    from ...worker.task_run import TaskRun
    from .plugin import Witness

RESPAWNS = 3
"""How often a background task that is cancelled spawns another one."""


@attrs.define(eq=False)
class Scene:
    """What all that take part in one run share: the run, and the moment when even the stubborn let go.

    `complaints` are sentences of witnesses that were treated against the rules, `made` the witnesses themselves, `held`
    counts what was acquired from the engine and not released, `raised` holds every error that was raised as told.
    """

    run: TaskRun | None = None
    complaints: list[str] = attrs.field(factory=list)
    made: list[Witness] = attrs.field(factory=list)
    held: dict[str, int] = attrs.field(factory=dict)
    raised: list[BaseException] = attrs.field(factory=list)
    _released: threading.Event = attrs.field(factory=threading.Event, init=False)
    _waiting: list[asyncio.Future[None]] = attrs.field(factory=list, init=False)

    def release(self) -> None:
        """Let all return that refused to."""
        self._released.set()
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def hold(self, what: str, by: int) -> None:
        """Count something acquired, or released again with -1."""
        self.held[what] = self.held.get(what, 0) + by

    def caused(self, error: BaseException) -> bool:
        """Return whether an error, or one that it groups, was raised because a behaviour said so."""
        return any(leaf is told for leaf in leaves(error) for told in self.raised)

    async def act(self, behaviour: Behaviour, context: TaskContext | None = None) -> Any:
        """Behave, on the loop; return True unless the behaviour says otherwise."""
        if behaviour.act in ERRORS:
            raise self._error(ERRORS[behaviour.act]())
        match behaviour.act:
            case Act.SLOW:
                await asyncio.sleep(behaviour.seconds)
            case Act.YIELDS:
                await asyncio.sleep(0)
            case Act.HANGS:
                await self._wait()
            case Act.STUBBORN | Act.STUBBORN_ERROR:
                await self._until_released()
            case Act.RETURNS_WHEN_CANCELLED | Act.RAISES_WHEN_CANCELLED:
                await self._until_cancelled(behaviour.act)
            case Act.UNTIL_CANCELLED if context is not None:
                await context.cancelled
            case Act.SPAWNS if context is not None:
                self._spawn(context, behaviour.inner, RESPAWNS)
            case Act.CANCELS_ITSELF:
                await _cancel_itself()
        return self._conclude(behaviour.act, context)

    def act_in_thread(self, behaviour: Behaviour, context: TaskContext | None = None) -> Any:
        """Behave, in a thread; return True, an awaitable of it, or what the behaviour says."""
        if behaviour.act in ERRORS:
            raise self._error(ERRORS[behaviour.act]())
        match behaviour.act:
            case Act.SLOW if context is not None:
                context.run_on_loop(sleep_for_thread(behaviour.seconds))
            case Act.HANGS | Act.STUBBORN | Act.STUBBORN_ERROR if self.run is not None:
                hang(self.run.loop, self._released)
            case (
                Act.YIELDS
                | Act.RETURNS_WHEN_CANCELLED
                | Act.RAISES_WHEN_CANCELLED
                | Act.UNTIL_CANCELLED
                | Act.SPAWNS
                | Act.CANCELS_ITSELF
            ):
                return self.act(behaviour, context)
        return self._conclude(behaviour.act, context)

    def _conclude(self, act: Act, context: TaskContext | None) -> Any:
        """Do what takes no time, and return what the call returns."""
        if act is Act.LOGS and context is not None:
            context.log("a message")
        if act is Act.ABORTS and self.run is not None:
            self.run.abort(ExceptionReason.SUPERSEDED)
        if act is Act.STUBBORN_ERROR:
            raise self._error(OSError("late"))
        return {Act.FALSE: False, Act.WRONG_VALUE: WRONG}.get(act, True)

    async def _until_released(self) -> None:
        """Wait for the release, whoever cancels."""
        while not self._released.is_set():
            try:
                await self._wait()
            except asyncio.CancelledError:
                pass

    def _wait(self) -> asyncio.Future[None]:
        """Return what is done with the release: a call that swallows a cancellation may come to the next that waits."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._released.is_set():
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    async def _until_cancelled(self, act: Act) -> None:
        try:
            await self._wait()
        except asyncio.CancelledError:
            if act is Act.RAISES_WHEN_CANCELLED:
                raise self._error(OSError("cancelled, and no good loser")) from None

    def _spawn(self, context: TaskContext, inner: Act, again: int) -> None:
        """Spawn a task that does `inner`, and spawns another one at its end if it is cancelled."""

        async def work() -> None:
            try:
                await self.act(Behaviour(inner, 3.0), context)
            except asyncio.CancelledError:
                if again:
                    self._spawn(context, inner, again - 1)
                raise

        try:
            context.spawn(work())
        except LifecycleError:
            pass  # too late for that, and said so

    def _error(self, error: BaseException) -> BaseException:
        self.raised += leaves(error)
        return error


async def _cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


WRONG = "neither"
"""What `Act.WRONG_VALUE` returns."""
