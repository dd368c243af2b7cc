"""The part of a run that bears what goes wrong: errors, and aborts from anywhere.

It counts them, tells trace, worker and author, and cuts short what is under way; what they make of the run is
`decision.py`'s to say.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ..specs.lifecycle import Lifecycle
from ..specs.trace import Kind, Outcome
from .calling import CallingRun, running_loop
from .calls import Call
from .decision import astray
from .duties import Participant
from .errors import ExceptionReason, HookTimeoutError
from .limits import Limits
from .recorder import Observer
from .resolution import Failure, Severity, leaves

if TYPE_CHECKING:
    from .journal.run import RunJournal

DECIDING = threading.Lock()
"""Held for a few instructions where an abort meets the decision, so one lock serves all runs."""


class FailingRun(CallingRun):
    """Takes errors and aborts; `participants` are those whose hooks are called, none of which is fenced."""

    __slots__ = (
        "_abort_taken",
        "_cancelled",
        "_raise",
        "non_fatal_errors",
        "participants",
        "stop_worker",
    )

    def __init__(
        self,
        lifecycle: Lifecycle,
        limits: Limits,
        observers: tuple[Observer, ...],
        journal: RunJournal | None,
    ) -> None:
        super().__init__(lifecycle, limits, observers, journal)
        self.participants: list[Participant] = []
        self.stop_worker = False
        self.non_fatal_errors = 0
        self._cancelled: asyncio.CancelledError | None = None
        self._raise: BaseException | None = None
        self._abort_taken = False

    # Aborts

    def abort(self, reason: ExceptionReason | str = ExceptionReason.CANCELED) -> bool:
        """End the run as an exception with `reason`, from any thread; the first reason wins.

        On a signal, `loop.add_signal_handler(number, run.abort)`: a handler set with `signal.signal` may interrupt
        anything, this method too, and has to use `loop.call_soon_threadsafe(run.abort)`.

        Returns whether this abort decides: False if another came first or the resolution is final. Raises:
        ValueError for an unknown reason.
        """
        reason = ExceptionReason(reason)
        with DECIDING:
            accepted = self.note_abort(reason)
        if self._begun:  # else it is taken when the run begins
            self._on_loop(self._on_abort, reason, accepted)
        return accepted

    def hurry(self) -> None:
        """Cut the graces short, on the run's loop: abort, and cancel what is under way now.

        Hooks that begin after that, as `exception` does, have `cancel_grace` and no more. Dispose still runs.
        An engine whose `abort` is cancelled gives the task no more time.
        """
        self.abort(ExceptionReason.WORKER_SHUTDOWN)
        if self._begun and self.stage != self.lifecycle.final:
            self._barrier.hurry()

    def interrupted(self, error: asyncio.CancelledError) -> None:
        """Abort, as the task that drives the run was cancelled; that is raised once the run is disposed."""
        self._cancelled = error
        self.abort(ExceptionReason.WORKER_SHUTDOWN)

    def _on_abort(self, reason: ExceptionReason, accepted: bool) -> None:
        if accepted:
            self._take_abort()
        elif self.stage != self.lifecycle.final:  # the trace of dispose takes no aborts
            self.record(Kind.ABORT, detail={"reason": reason.value, "accepted": False})

    def _take_abort(self) -> None:
        """Act on the abort that decides, once: when it is told on the loop, or when it decides, whichever comes
        first.
        """
        if self.aborted is None or self._abort_taken:
            return
        self._abort_taken = True
        self.record(Kind.ABORT, detail={"reason": self.aborted.value, "accepted": True})
        self.stop_worker |= self.aborted is ExceptionReason.WORKER_SHUTDOWN
        if self.resolution is not None:
            return  # on the way to the exception stage, which does the rest
        self.cancel_context(self.aborted)
        self._barrier.skip_pending()
        self._halt()
        end = self.loop.time() + self._limits.cancel_grace
        graced = [call for call in self._barrier.open if call is not self._aborting]
        self._barrier.bound(graced, end, graced=True)

    def _halt(self) -> None:
        """Begin to abort the sandbox, if there is one and nobody has."""
        if self._aborting is None and (abort := self.sandbox_abort()) is not None:
            self._aborting = Call(
                "abort_sandbox", None, abort, budget=self._limits.dispose_budget, reserved=True
            )
            self._barrier.start(self._aborting)

    async def give_up(self) -> None:
        """Cancel the context, abort the sandbox, end what runs in the background, close the log: the exception
        stage's action.
        """
        assert self.resolution is not None
        assert self.resolution.reason is not None
        self.cancel_context(self.resolution.reason)
        self._halt()
        await self._join_background(self._limits.cancel_grace, graced=True)
        await self.close_log()

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call on the run's loop: at once if that is running here, from another thread soon; if it is closed, never."""
        if running_loop() is self.loop:
            callback(*arguments)
            return
        try:
            self.loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # nothing of the run goes on

    # Errors

    def fail(self, error: BaseException, where: str, call: Call | None = None) -> None:
        """Count an error: while the outcome is provisional it decides, later it touches trace and worker only."""
        if any(failure.error is error for failure in self.failures):
            return
        failure = Failure.of(error, where)
        if failure.severity >= Severity.NON_FATAL:
            failure = attrs.evolve(failure, incident=self.tell_worker(error, where))
        self.stop_worker |= failure.severity is Severity.FATAL
        self.non_fatal_errors += failure.severity is Severity.NON_FATAL
        counted = self.note_error(failure)
        detail = {
            "severity": failure.severity.name.lower(),
            "reason": failure.reason.value,
            "message": str(failure),
            "incident": failure.incident,
            "counted": counted,
        }
        self.record(Kind.ERROR, call.plugin if call else None, call.name if call else None, detail)
        if counted:
            self._tell_author(failure)
        self._raise = self._raise or next((leaf for leaf in leaves(error) if _is_foreign(leaf)), None)

    def tell_worker(self, error: BaseException, where: str) -> str | None:
        """Tell the worker; a monitor that fails itself must not keep the run from ending."""
        try:
            return self.report_error(error, where) or None
        except Exception:
            return None

    def _tell_author(self, failure: Failure) -> None:
        try:
            self.log_failure(failure)
        except Exception as error:
            self.tell_worker(error, "the task log")

    def call_failed(self, call: Call) -> None:
        """Count what went wrong in a call; the barrier tells it."""
        if call.timed_out:
            error = HookTimeoutError(f"{call.where} overran its time{_abandonment(call)}")
            error.__cause__ = call.error
            self.fail(error, call.where, call)
        elif call.outcome is Outcome.ABANDONED:
            self.tell_worker(HookTimeoutError(f"{call.where} was cancelled{_abandonment(call)}"), call.where)
        elif call.error is not None and call.outcome is Outcome.FAILED and not self.forgives(call):
            self.fail(call.error, call.where, call)
        if call.outcome is Outcome.ABANDONED and call.plugin is not None:
            self._fence(call.plugin)
        if call in self._background and astray(self):
            self._cut_waits()

    def _cut_waits(self) -> None:
        """Nothing can come any more of what the run only waits for: the sandbox, or the rest of the background."""
        self._halt()
        end = self.loop.time() + self._limits.cancel_grace
        waits = [call for call in self._barrier.open if call.budget is None and call not in self._background]
        self._barrier.bound(waits, end, graced=True)
        self._barrier.release(self._background)

    def _fence(self, plugin: str) -> None:
        """Call nothing more of a plugin whose hook was abandoned, except dispose beside it."""
        dispose = {self.lifecycle[self.lifecycle.final].hook}
        self.participants = [
            attrs.evolve(one, hooks=one.hooks & dispose) if one.name == plugin else one
            for one in self.participants
        ]


def _abandonment(call: Call) -> str:
    """Return what the worker's operator has to know of a call that did not end; nothing for others."""
    if call.outcome is not Outcome.ABANDONED:
        return ""
    left = ", its thread is left behind" if call.job is not None and call.job.started else ""
    return f" and did not end: abandoned{left}"


def _is_foreign(error: BaseException) -> bool:
    return not isinstance(error, (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError))
