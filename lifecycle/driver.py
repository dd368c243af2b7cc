"""The driver: takes one run from stage to stage along its lifecycle's table, and to dispose, whatever happens.

A `Run` is made of parts, each in a module of its own: what it decides (`decision.py`), its calls (`calling.py`), what
goes wrong (`failing.py`), its leases (`leasing.py`) and, here, the way along the table. What a stage's action does is a
method of the subclass with the action's name (`worker/task_run.py`). So there are three places to read: the table says
what comes when, the subclass what it does, this package why it cannot come otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..specs.lifecycle import Combine, Lifecycle, Order, Stage
from ..specs.rules import judge
from ..specs.trace import Kind, Outcome
from .calls import Call
from .decision import Work, astray, calls_on, leave, work_of
from .errors import ExceptionReason, LeakError, LifecycleError, RuleBrokenError
from .failing import DECIDING, FailingRun
from .limits import Limits
from .machine import move
from .recorder import Observer
from .resolution import Resolution
from .strict import FLIGHT, Watch

if TYPE_CHECKING:
    from .journal.run import RunJournal

# Asked for at every turn, and an enum's member takes a while to find.
_ACTION = Work.ACTION
_HOOKS = Work.HOOKS


class Run(FailingRun):
    """One run of a lifecycle. A run that is never waited for has acquired nothing.

    Subclasses bring the actions, `arguments` and what surrounds a run (`duties.py`); `wait` drives it.
    """

    __slots__ = ("__weakref__", "_joined", "_over", "_watch")

    def __init__(
        self,
        lifecycle: Lifecycle,
        limits: Limits,
        observers: tuple[Observer, ...] = (),
        strict: bool = False,
        journal: RunJournal | None = None,
    ) -> None:
        super().__init__(lifecycle, limits, observers, journal)
        self._watch = Watch() if strict else None
        self._over = False
        self._joined: asyncio.Future[None] | None = None

    # What the embedder calls

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
        super()._begin()
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
        with DECIDING:
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


@lru_cache(maxsize=1024)
def _source(stage: str) -> Mapping[str, Any]:
    """Return the detail of a move: there are as many as stages, and every run shares them."""
    return {"source": stage}


def _outcome(resolution: Resolution) -> Mapping[str, Any]:
    reason = resolution.reason.value if resolution.reason is not None else None
    return {"state": resolution.state, "reason": reason, "cause": resolution.cause, "final": True}
