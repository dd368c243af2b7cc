"""The driver: takes one run from stage to stage along its lifecycle's table, and to dispose, whatever happens.

`Run` knows stages, calls, errors and aborts; what a stage's action does is a method of the subclass with the
action's name (`worker/task_run.py`). So there are three places to read: the table says what comes when, the
subclass what it does, this module why it cannot come otherwise.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ..specs.lifecycle import Combine, Lifecycle, Order, Stage
from ..specs.rules import judge
from ..specs.trace import Kind, Outcome, Trace
from .background import contained, free_name
from .barrier import Barrier
from .calls import NOBODY, Call
from .decision import Standing, Work, astray, calls_on, leave, work_of
from .duties import Duties, Participant
from .errors import ExceptionReason, HookTimeoutError, LeakError, LifecycleError, RuleBrokenError
from .leasing import LeasingRun
from .limits import Limits
from .machine import move
from .recorder import Observer, Recorder
from .resolution import Failure, Resolution, Severity, leaves
from .strict import FLIGHT, Watch

if TYPE_CHECKING:
    from .journal.run import RunJournal

T = TypeVar("T")

_ACTION, _HOOKS = (
    Work.ACTION,
    Work.HOOKS,
)  # asked for at every turn, and an enum's member takes a while to find

_DECIDING = threading.Lock()
"""Held for a few instructions where an abort meets the decision, so one lock serves all runs."""


class Run(Standing, LeasingRun, Duties):
    """One run of a lifecycle. A run that is never waited for has acquired nothing.

    Subclasses bring the actions, `arguments` and what surrounds a run; `wait` drives it.
    """

    __slots__ = (
        "__weakref__",
        "_abort_taken",
        "_aborting",
        "_background",
        "_barrier",
        "_begun",
        "_cancelled",
        "_joined",
        "_journal",
        "_limits",
        "_over",
        "_raise",
        "_recorder",
        "_spawn_until",
        "_watch",
        "lifecycle",
        "loop",
        "non_fatal_errors",
        "participants",
        "stage",
        "stop_worker",
    )

    def __init__(
        self,
        lifecycle: Lifecycle,
        limits: Limits,
        observers: tuple[Observer, ...] = (),
        strict: bool = False,
        journal: RunJournal | None = None,
    ) -> None:
        super().__init__()
        self.lifecycle = lifecycle
        self.stage = lifecycle.initial.name
        self.participants: list[Participant] = []
        self.stop_worker = False
        self.non_fatal_errors = 0
        self._limits = limits
        self._watch = Watch() if strict else None
        self._journal = journal
        self._recorder = Recorder(self, observers if journal is None else (journal, *observers))
        if journal is not None:
            journal.attach(lifecycle, self._recorder.trace.started)
        self._begun = False
        self._over = False
        self._joined: asyncio.Future[None] | None = None
        self._cancelled: asyncio.CancelledError | None = None
        self._raise: BaseException | None = None
        self._abort_taken = False
        self._aborting: Call | None = None
        self._background: Sequence[Call] = ()
        self._spawn_until = math.inf

    # What the embedder calls

    @property
    def trace(self) -> Trace:
        """What has happened so far."""
        return self._recorder.trace

    def observe(self, observer: Observer) -> None:
        """Call `observer` with every event from now on, before any hook that follows it; it must only append to
        memory.
        """
        self._recorder.observe(observer)

    async def wait(self) -> Resolution:
        """Drive the run through dispose and return what it became; a second waiter joins the first.

        The first waiter owns the run: if its task is cancelled, the run is aborted with worker-shutdown, disposed,
        and the cancellation is raised then. A later waiter that is cancelled only stops waiting.
        Raises: what a hook raised that is no Exception (SystemExit, KeyboardInterrupt and CancelledError excepted),
        after dispose.
        """
        if not self._begun:
            self._begin()
            try:
                await self._drive()
            except BaseException as error:  # a defect of this library: whoever joined must learn of it
                self._raise = self._raise or error
            await self._audit()
            self._let_go()
            if self._cancelled is not None:
                raise self._cancelled
        elif asyncio.get_running_loop() is not self.loop:
            raise LifecycleError("a run belongs to the loop that drives it; wait for it there")
        else:
            await self._until_over()
        return self._end()

    def abort(self, reason: ExceptionReason | str = ExceptionReason.CANCELED) -> bool:
        """End the run as an exception with `reason`, from any thread; the first reason wins.

        On a signal, `loop.add_signal_handler(number, run.abort)`: a handler set with `signal.signal` may interrupt
        anything, this method too, and has to use `loop.call_soon_threadsafe(run.abort)`.

        Returns whether this abort decides: False if another came first or the resolution is final. Raises:
        ValueError for an unknown reason.
        """
        reason = ExceptionReason(reason)
        with _DECIDING:
            accepted = self.note_abort(reason)
        if self._begun:  # else it is taken when the run begins
            self._on_loop(self._on_abort, reason, accepted)
        return accepted

    def hurry(self) -> None:
        """Cut the graces short, on the run's loop: abort, and cancel what is under way now.

        Dispose still runs. An engine whose `abort` is cancelled gives the task no more time.
        """
        self.abort(ExceptionReason.WORKER_SHUTDOWN)
        if self._begun and self.stage != self.lifecycle.final:
            self._barrier.cancel(list(self._barrier.open))

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Abort with worker-shutdown what has not ended, and dispose; a run that was never waited for will do
        nothing.
        """
        self.abort(ExceptionReason.WORKER_SHUTDOWN)
        if not self._begun:
            return
        cancelled: asyncio.CancelledError | None = None
        while not self._over:
            try:
                await self._until_over()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        self._end()

    # The way along the table

    def _begin(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._barrier = Barrier(self, self._recorder, self._limits)
        self.record(Kind.RUN, detail=self.describe_run())
        self._begun = True
        if self._watch is None:
            FLIGHT.begin(strict=False)
        else:
            self._watch.begin()

    async def _audit(self) -> None:
        """Count the run out; in strict mode look for what it left behind, if the loop that drove it still runs."""
        if self._watch is None or isinstance(self._raise, GeneratorExit):
            FLIGHT.end()
            return
        try:
            await self._watch.end()
        except asyncio.CancelledError as error:  # dispose is over: only the verdict is given up
            self._cancelled = error
        except LeakError as error:
            if self._raise is None:
                self._raise = error
            else:
                self._raise.add_note(str(error))

    async def _until_over(self) -> None:
        """Wait, in another task than the one that drives the run, until that has disposed it."""
        if not self._over:
            if self._joined is None:
                self._joined = self.loop.create_future()
            await asyncio.shield(self._joined)

    def _end(self) -> Resolution:
        if self._raise is not None:
            raise self._raise
        assert self.resolution is not None
        return self.resolution

    def _let_go(self) -> None:
        self._over = True
        if self._joined is not None and not self.loop.is_closed():
            self._joined.set_result(None)

    async def _drive(self) -> None:
        stages, works, stage = self.lifecycle.by_name, work_of(self.lifecycle), self.lifecycle.initial
        if self._journal is not None:
            self.announce()
            await self.made_durable("journal")
        while (destination := self._leave(stage)) is not None:
            move(self, self.lifecycle, destination)
            stage = stages[destination]
            for work, name in works[destination]:
                if astray(self):
                    break
                try:
                    if work is _ACTION:
                        await self.action(name)()
                    elif work is _HOOKS:
                        await self._call_hooks(stage, name)
                    elif self._background or self._aborting:
                        await self._join_background(self._limits.hook_timeout)
                except GeneratorExit:
                    raise  # the loop that drove the run is gone
                except asyncio.CancelledError as error:  # while an action waited for what is no call
                    self.interrupted(error)
                except BaseException as error:  # an action's defect may skip neither hooks nor stages
                    self.fail(error, name)
        if self._journal is not None:
            self._journal.settle()
            await self.made_durable("dispose:journal")
        self._barrier.close()
        self.record(Kind.END)
        self.ended()
        self._check_rules()

    def entered(self, source: str) -> None:
        """Record a move; the machine calls this within it."""
        self._recorder.record(Kind.MOVE, None, None, _source(source))

    def _leave(self, stage: Stage) -> str | None:
        """Return the next stage; where that one no longer changes the outcome, make the resolution final first."""
        with _DECIDING:
            destination, resolution = leave(self.lifecycle, stage, self)
            if resolution is None:
                return destination
            self.resolution = resolution
        self._take_abort()
        self.record(Kind.OUTCOME, detail=_outcome(resolution))
        return destination

    async def _call_hooks(self, stage: Stage, hook: str) -> None:
        called = [one for one in self.participants if hook in one.hooks]
        if not called:
            return
        arguments, budget = self.arguments(stage.arguments), self._limits.hook_timeout
        calls = [
            Call(hook, one.name, getattr(one.target, hook), arguments, one.after, budget) for one in called
        ]
        if stage.order is Order.REVERSE:
            for call in reversed(calls):
                if calls_on(self):
                    await self._barrier.run((call,))
        else:
            await self._barrier.run(calls)
        if stage.combine is Combine.ALL:
            for call in calls:
                self._combine(call)

    def _combine(self, call: Call) -> None:
        if call.outcome is not Outcome.OK:
            return
        if not isinstance(call.value, bool):
            error = TypeError(f"{call.where} must return True or False, not {call.value!r}")
            self.fail(error, call.where, call)
        elif not call.value:
            self.note_refusal(call.where)

    def _check_rules(self) -> None:
        broken = judge(self.trace, self.lifecycle) if self._watch is not None else []
        if broken:
            raise RuleBrokenError("; ".join(map(str, broken)))

    # Calls

    def record(
        self,
        kind: Kind,
        plugin: str | None = None,
        call: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event to the trace, in the stage the run is in."""
        self._recorder.record(kind, plugin, call, detail)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call on the run's loop: at once if that is running here, from another thread soon; if it is closed, never."""
        if _running_loop() is self.loop:
            callback(*arguments)
            return
        try:
            self.loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # nothing of the run goes on

    def run_calls(self, calls: Sequence[Call]) -> Awaitable[None]:
        """Make these calls side by side; await until all have ended or been abandoned. Their errors count."""
        return self._barrier.run(calls)

    async def call(
        self,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        budget: float | None = None,
        late: Callable[[Any], Awaitable[None]] | None = None,
    ) -> Call:
        """Make one call that is no plugin's, bounded by `budget` seconds, and return it ended; an error counts."""
        call = Call(name, None, function, arguments, NOBODY, budget, late)
        await self._barrier.run((call,))
        return call

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `coro` as a background task of the run; see `TaskContext.spawn`."""
        if not self._begun or self.stage == self.lifecycle.final or _running_loop() is not self.loop:
            coro.close()
            raise LifecycleError(
                "background tasks are spawned on the run's loop, from prepare on and before dispose"
            )
        if self.loop.time() >= self._spawn_until:
            coro.close()
            raise LifecycleError(
                "the run ends what it has in the background: nothing more can be spawned now"
            )
        self._background = self._in_background()
        call = Call(free_name(name, self._background), None, coro.close)
        task = self.loop.create_task(contained(coro))
        self._background = [*self._background, call]
        self._barrier.adopt(call, task)
        return task

    async def _join_background(self, budget: float, *, graced: bool = False) -> None:
        """Return when nothing runs in the background any more; what still does in `budget` seconds is cancelled
        then.
        """
        self._spawn_until = self.loop.time() + budget
        while not astray(self) and (calls := self._in_background()):
            self._barrier.bound(calls, self._spawn_until, graced=graced)
            await self._barrier.join(calls)
        self._spawn_until = math.inf
        if self._aborting is not None:
            await self._barrier.join((self._aborting,))

    def _in_background(self) -> list[Call]:
        return [call for call in self._background if call.outcome is None]

    # What goes wrong

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


@lru_cache(maxsize=1024)
def _source(stage: str) -> Mapping[str, Any]:
    """Return the detail of a move: there are as many as stages, and every run shares them."""
    return {"source": stage}


def _outcome(resolution: Resolution) -> Mapping[str, Any]:
    reason = resolution.reason.value if resolution.reason is not None else None
    return {"state": resolution.state, "reason": reason, "cause": resolution.cause, "final": True}


def _abandonment(call: Call) -> str:
    """Return what the worker's operator has to know of a call that did not end; nothing for others."""
    if call.outcome is not Outcome.ABANDONED:
        return ""
    left = ", its thread is left behind" if call.job is not None and call.job.started else ""
    return f" and did not end: abandoned{left}"


def _is_foreign(error: BaseException) -> bool:
    return not isinstance(error, (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
