"""Everything a run has under way: starts calls side by side, waits for all of them, and bounds every wait.

A call ends in one of five ways (`Outcome`). It returns or raises by itself; it overruns its budget or is cancelled after an abort and then
ends within `abandon_grace`; or it does not even then, and is abandoned: fenced, named in the trace, and from then on nothing waits for it. A failed
call never cancels its siblings. One timer serves all budgets of a run, since most never expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..specs.trace import Kind, Outcome
from .calls import Call
from .errors import LifecycleError
from .limits import Limits
from .recorder import RETURNED, Recorder
from .resolution import describe


class Barrier:
    """The calls under way in one run. `stage` tells where the run is; `failed` takes what went wrong in a call; `interrupted` is
    called when the run's own task is cancelled while it waits."""

    __slots__ = (
        "_awaited",
        "_failed",
        "_gate",
        "_interrupted",
        "_limits",
        "_loop",
        "_pending",
        "_record",
        "_stage",
        "_timer",
        "open",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        recorder: Recorder,
        stage: Callable[[], str],
        failed: Callable[[Call], None],
        interrupted: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._record = recorder.record
        self._stage = stage
        self._failed = failed
        self._interrupted = interrupted
        self._gate: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pending: list[Call] = []
        self._awaited: set[Call] = set()
        self.open: dict[Call, None] = {}

    async def run(self, calls: Sequence[Call]) -> None:
        """Start `calls`, each once those it comes `after` have ended; return when all have ended or been abandoned."""
        if self._gate is not None:
            raise LifecycleError("a stage's action is one call already: it makes none of its own through the run")
        if any(call.after for call in calls):
            self._pending = list(calls)
            self._start_unblocked()
        else:
            for call in calls:
                self.start(call)
        await self.join(calls)

    async def join(self, calls: Iterable[Call]) -> None:
        """Return when every one of these calls has ended or been abandoned; one barrier at a time."""
        self._awaited = {call for call in calls if call.outcome is None}
        while self._awaited:
            self._gate = self._loop.create_future()
            try:
                await self._gate
            except asyncio.CancelledError:
                self._interrupted()
        self._gate = None

    def start(self, call: Call) -> None:
        """Begin a call in a task of its own."""
        self.open[call] = None
        self._record(Kind.CALL, self._stage(), call.plugin, call.name)
        if call.budget is not None:
            call.deadline = self._loop.time() + call.budget
            self._wake_at(call.deadline)
        self._create_task(call)

    def _create_task(self, call: Call) -> None:
        call.task = self._loop.create_task(self._execute(call))
        call.task.add_done_callback(partial(self._vanished, call))

    def adopt(self, call: Call, task: asyncio.Task[Any]) -> None:
        """Count a task that runs already as a call; cancelling the task ends it without error."""
        self.open[call] = None
        call.task, call.begun = task, True
        self._record(Kind.CALL, self._stage(), call.plugin, call.name)
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
        self._awaited.difference_update(self._pending)
        self._pending.clear()
        self._open_gate()

    def release(self, calls: Iterable[Call]) -> None:
        """Wait for these calls no longer; they go on."""
        self._awaited.difference_update(calls)
        self._open_gate()

    def cancel(self, calls: Iterable[Call]) -> None:
        """Cancel these calls, which are under way, and abandon those that have not ended after `abandon_grace`."""
        deadline = self._loop.time() + self._limits.abandon_grace
        for call in calls:
            if call.task is not None and not call.cancelling:
                call.cancelling, call.deadline = True, deadline
                call.task.cancel()
        self._wake_at(deadline)

    def close(self) -> None:
        """Drop the timer; nothing is started any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _execute(self, call: Call) -> None:
        call.begun = True
        try:
            value = await call.invoke()
        except BaseException as error:  # whatever a hook raises is a value here; see calls.py
            self._ended(call, None, error)
        else:
            if call.outcome is None:
                self._ended(call, value, None)
            else:
                self._came_late(call, {"disposed": await _dispose_late(call, value)})

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

    def _vanished(self, call: Call, task: asyncio.Task[None]) -> None:
        """A task cancelled before its first step runs no line of its coroutine: it ends here, or begins anew.

        Anew if the cancellation was a stranger's, as when a program cancels all its tasks: dispose must come all the same.
        """
        if call.outcome is None and call.cancelling:
            self._ended(call, None, asyncio.CancelledError())
        elif not call.begun:
            self._create_task(call)

    def _adopted_ended(self, call: Call, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            call.function()  # closes the coroutine, which may not even have begun
            call.cancelling = True
            self._ended(call, None, asyncio.CancelledError())
        else:
            self._ended(call, None, task.exception())

    def _finish(self, call: Call, detail: Mapping[str, Any]) -> None:
        del self.open[call]
        self._awaited.discard(call)
        self._record(Kind.RETURN, self._stage(), call.plugin, call.name, detail)
        if call.outcome is not Outcome.OK:
            self._failed(call)
        if self._pending:
            self._start_unblocked()
        self._open_gate()

    def _open_gate(self) -> None:
        if not self._awaited and self._gate is not None and not self._gate.done():
            self._gate.set_result(None)

    def _start_unblocked(self) -> None:
        unfinished = {call.plugin for call in self._pending} | {call.plugin for call in self.open}
        for call in [call for call in self._pending if not call.after & unfinished]:
            self._pending.remove(call)
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
            if call.deadline is not None and call.deadline <= now and call.begun  # without any time they begin, too
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
            _LEFT_BEHIND.add(call.task)
            call.task.add_done_callback(_LEFT_BEHIND.discard)
            if call.late is None:
                asyncio._unregister_task(call.task)  # the end of the program, which waits for all tasks, need not for this
        why = "overran its time" if call.timed_out else "was cancelled"
        self._finish(call, {**RETURNED[Outcome.ABANDONED], "error": f"{why} and did not end"})

    def _came_late(self, call: Call, detail: Mapping[str, Any]) -> None:
        self._record(Kind.LATE, self._stage(), call.plugin, call.name, detail)


_VALUES: Mapping[bool, Mapping[str, Any]] = {
    value: {"outcome": "ok", "value": value} for value in (True, False)
}

_LEFT_BEHIND: set[asyncio.Task[None]] = set()
"""Tasks of abandoned calls: the loop alone would hold them too weakly."""


async def _dispose_late(call: Call, value: object) -> str | None:
    """Dispose what an abandoned call returned after all, as nobody else will; return how that went, None if there is nothing."""
    if call.late is None or value is None:
        return None
    try:
        await call.late(value)
    except BaseException as error:  # nothing waits for this any more; the trace is told
        return describe(error)
    return "ok"


def _outcome(call: Call, error: BaseException | None) -> Outcome:
    if call.timed_out:
        return Outcome.TIMEOUT
    if error is None:
        return Outcome.OK
    if isinstance(error, asyncio.CancelledError) and call.cancelling:
        return Outcome.CANCELLED
    return Outcome.FAILED
