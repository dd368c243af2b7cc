"""Everything a run has under way: starts calls side by side, waits for all of them, and bounds every wait.

A call ends in one of five ways (`Outcome`). It returns or raises by itself; it overruns its budget or is cancelled
after an abort and then ends within `abandon_grace`; or it does not even then, and is abandoned: fenced, named in
the trace, and from then on nothing waits for it. A failed call never cancels its siblings. One timer serves all
budgets of a run, since most never expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import coroutine
from typing import Any, Protocol

from ..specs.trace import Kind, Outcome
from .calls import Call
from .errors import LifecycleError
from .limits import Limits
from .recorder import RETURNED, Recorder
from .resolution import describe


class Owner(Protocol):
    """The run whose calls a barrier holds."""

    loop: asyncio.AbstractEventLoop

    def call_failed(self, call: Call) -> None:
        """Take what went wrong in a call."""

    def interrupted(self, error: asyncio.CancelledError) -> None:
        """Take the cancellation of the task that drives the run and waits here; it goes on waiting."""


class Barrier:
    """The calls under way in one run."""

    __slots__ = (
        "_awaited",
        "_gate",
        "_hurried",
        "_limits",
        "_loop",
        "_owner",
        "_pending",
        "_recorder",
        "_timer",
        "open",
    )

    def __init__(self, owner: Owner, recorder: Recorder, limits: Limits) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._recorder = recorder
        self._limits = limits
        self._gate: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pending: list[Call] | None = None
        self._awaited = 0
        self._hurried = False
        self.open: list[Call] = []

    def run(self, calls: Sequence[Call]) -> Awaitable[None]:
        """Start `calls`, each once those it comes `after` have ended; await until all have.

        Raises: LifecycleError if a barrier is under way already.
        """
        if self._gate is not None:
            raise LifecycleError(
                "a stage's action is one call already: it makes none of its own through the run"
            )
        self._expect(calls)
        if any(call.after for call in calls):
            self._pending = list(calls)
            self._start_unblocked()
        else:
            for call in calls:
                self.start(call)
        return self._all_ended()

    def join(self, calls: Iterable[Call]) -> Awaitable[None]:
        """Await until every one of these calls has ended or been abandoned; one barrier at a time."""
        self._expect(calls)
        return self._all_ended()

    def _expect(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.outcome is None and not call.awaited:
                call.awaited = True
                self._awaited += 1

    async def _all_ended(self) -> None:
        while self._awaited:
            self._gate = self._loop.create_future()
            try:
                await self._gate
            except asyncio.CancelledError as error:
                self._owner.interrupted(error)
        self._gate = None

    def start(self, call: Call) -> None:
        """Begin a call in a task of its own."""
        self.open.append(call)
        self._recorder.record(Kind.CALL, call.plugin, call.name)
        if call.budget is not None:
            call.deadline = self._loop.time() + call.budget
            self._wake_at(call.deadline)
        if self._hurried and call.plugin is not None and not call.reserved:
            self.bound((call,), self._loop.time() + self._limits.cancel_grace, graced=True)
        execution = self._execute(call)
        execution.send(None)  # up to its first stop: there it goes on, even if its task is cancelled at once
        call.task = self._loop.create_task(execution, name=call.name)

    def adopt(self, call: Call, task: asyncio.Task[Any]) -> None:
        """Count a task that runs already as a call; cancelling the task ends it without error."""
        self.open.append(call)
        call.task, call.begun = task, True
        self._recorder.record(Kind.CALL, call.plugin, call.name)
        task.add_done_callback(partial(self._adopted_ended, call))

    def bound(self, calls: Iterable[Call], deadline: float, *, graced: bool = False) -> None:
        """Give calls that are under way until `deadline`, by the loop's clock, unless they have less.

        Overrunning it is an error, unless they are `graced`: the call is then only cancelled.
        """
        for call in calls:
            if not call.cancelling and (call.deadline is None or deadline < call.deadline):
                call.deadline, call.graced = deadline, graced
        self._wake_at(deadline)

    def skip_pending(self) -> None:
        """Begin no more calls of the barrier under way: those that wait for others are left out."""
        pending, self._pending = self._pending, None
        self.release(pending or ())

    def release(self, calls: Iterable[Call]) -> None:
        """Wait for these calls no longer; they go on."""
        for call in calls:
            if call.awaited:
                call.awaited = False
                self._awaited -= 1
        if not self._awaited and self._gate is not None and not self._gate.done():
            self._gate.set_result(None)

    def cancel(self, calls: Iterable[Call]) -> None:
        """Cancel these calls, which are under way, and abandon those that have not ended after `abandon_grace`."""
        deadline = self._loop.time() + self._limits.abandon_grace
        for call in calls:
            if call.task is not None and not call.cancelling:
                call.cancelling, call.deadline = True, deadline
                call.task.cancel()
                self._wake_at(deadline)

    def hurry(self) -> None:
        """Cancel what is under way; hooks that begin from now on have `cancel_grace`, but for dispose."""
        self._hurried = True
        self.cancel(list(self.open))

    def close(self) -> None:
        """Drop the timer; nothing is started any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _execute(self, call: Call) -> None:
        try:
            try:
                await _stop()
            except asyncio.CancelledError:
                if call.cancelling and not call.reserved:
                    raise
                # Else it is a stranger's, as when a program cancels all its tasks, or what it would keep from beginning
                # is dispose or abort, which must come all the same.
                assert call.task is not None
                if call.cancelling:
                    call.task.cancel()
                else:
                    call.task.uncancel()
            call.begun = True
            value = await call.invoke()
        except BaseException as error:  # whatever a hook raises is a value here; see calls.py
            if not self._loop.is_closed():  # else only the coroutine is being closed, and nobody is left
                self._ended(call, None, error)
        else:
            if call.outcome is None:
                self._ended(call, value, None)
            else:
                self._came_late(call, {"disposed": await self._dispose_late(call, value)})

    def _ended(self, call: Call, value: object, error: BaseException | None) -> None:
        if call.outcome is not None:
            self._came_late(call, {"error": describe(error)} if error is not None else {"disposed": None})
            return
        call.value, call.error = value, error
        call.outcome = _outcome(call, error)
        told = isinstance(value, bool) and call.outcome is Outcome.OK
        detail = _VALUES[bool(value)] if told else RETURNED[call.outcome]
        if error is not None:
            detail = {**detail, "error": describe(error)}
        self._finish(call, detail)

    def _adopted_ended(self, call: Call, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            call.function()  # closes the coroutine, which may not even have begun
            call.cancelling = True
            self._ended(call, None, asyncio.CancelledError())
        else:
            self._ended(call, None, task.exception())

    def _finish(self, call: Call, detail: Mapping[str, Any]) -> None:
        self.open.remove(call)
        self._recorder.record(Kind.RETURN, call.plugin, call.name, detail)
        if call.outcome is not Outcome.OK:
            self._owner.call_failed(call)
        if self._pending:
            self._start_unblocked()
        self.release((call,))

    def _start_unblocked(self) -> None:
        pending = self._pending or []
        unfinished = {call.plugin for call in pending} | {call.plugin for call in self.open}
        for call in [call for call in pending if not call.after & unfinished]:
            pending.remove(call)
            self.start(call)

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        expired = [
            call
            for call in self.open
            if call.deadline is not None
            and call.deadline <= now
            and call.begun  # without any time they begin, too
        ]
        for call in expired:
            if call.cancelling:
                self._abandon(call)
            else:
                call.timed_out = not call.graced
        self.cancel(call for call in expired if call.outcome is None)
        deadlines = [call.deadline for call in self.open if call.deadline is not None]
        if deadlines:
            self._wake_at(min(deadlines))

    def _abandon(self, call: Call) -> None:
        call.abandon()
        if call.task is not None:
            leave_behind(call.task)
            if call.late is not None:
                linger = _linger(call.task, self._limits.abandon_grace)
                _hold(self._loop.create_task(linger, name=f"late {call.name}"))
        why = "overran its time" if call.timed_out else "was cancelled"
        self._finish(call, {**RETURNED[Outcome.ABANDONED], "error": f"{why} and did not end"})

    async def _dispose_late(self, call: Call, value: object) -> str | None:
        """Dispose what an abandoned call returned after all, as nobody else will.

        Return how that went, None if there is nothing to dispose.
        """
        if call.late is None or value is None:
            return None
        try:
            async with asyncio.timeout(self._limits.dispose_budget):
                await call.late(value)
        except BaseException as error:  # nothing waits for this any more; the trace is told
            return describe(error)
        return "ok"

    def _came_late(self, call: Call, detail: Mapping[str, Any]) -> None:
        self._recorder.record(Kind.LATE, call.plugin, call.name, detail)


_VALUES: Mapping[bool, Mapping[str, Any]] = {
    value: {"outcome": "ok", "value": value} for value in (True, False)
}

_LEFT_BEHIND: set[asyncio.Task[Any]] = set()
"""Tasks of abandoned calls: the loop alone would hold them too weakly."""


def leave_behind(task: asyncio.Task[Any]) -> None:
    """Let a task be that does not end although it was cancelled; whoever calls this names it somewhere.

    The end of the program waits for all tasks, which may be for ever here; nor need it complain of this one.
    """
    _hold(task)
    asyncio._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def _hold(task: asyncio.Task[Any]) -> None:
    _LEFT_BEHIND.add(task)
    task.add_done_callback(_LEFT_BEHIND.discard)


def left_behind() -> frozenset[asyncio.Task[Any]]:
    """Return the tasks of abandoned calls that have not ended, on every loop that still can run them."""
    return frozenset(task for task in list(_LEFT_BEHIND) if not task.get_loop().is_closed())


async def _linger(task: asyncio.Task[None], grace: float) -> None:
    """Wait for an abandoned call whose result somebody has to dispose; at the end of the program, which cancels
    this wait, for `grace` seconds more and no longer.
    """
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=grace)
        raise


@coroutine
def _stop() -> Generator[None, None, None]:
    """Stop until the task takes its next step."""
    yield


def _outcome(call: Call, error: BaseException | None) -> Outcome:
    if call.timed_out:
        return Outcome.TIMEOUT
    if error is None:
        return Outcome.OK
    if isinstance(error, asyncio.CancelledError) and call.cancelling:
        return Outcome.CANCELLED
    return Outcome.FAILED
