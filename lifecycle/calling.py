"""The part of a run that has calls under way: it makes them, side by side and in the background, and records."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..specs.lifecycle import Lifecycle
from ..specs.trace import Kind, Trace
from .background import contained, free_name
from .barrier import Barrier
from .calls import NOBODY, Call
from .decision import Standing, astray
from .duties import Duties
from .errors import LifecycleError
from .leasing import LeasingRun
from .limits import Limits
from .recorder import Observer, Recorder

if TYPE_CHECKING:
    from .journal.run import RunJournal

T = TypeVar("T")


class CallingRun(Standing, LeasingRun, Duties):
    """Makes the calls of a run and records what happens; what goes wrong in them is the subclass's to bear."""

    __slots__ = (
        "_aborting",
        "_background",
        "_barrier",
        "_begun",
        "_journal",
        "_limits",
        "_recorder",
        "_spawn_until",
        "lifecycle",
        "loop",
        "stage",
    )

    call_failed: Callable[[Call], None]
    interrupted: Callable[[asyncio.CancelledError], None]
    tell_worker: Callable[[BaseException, str], str | None]

    def __init__(
        self,
        lifecycle: Lifecycle,
        limits: Limits,
        observers: tuple[Observer, ...],
        journal: RunJournal | None,
    ) -> None:
        super().__init__()
        self.lifecycle = lifecycle
        self.stage = lifecycle.initial.name
        self._limits = limits
        self._journal = journal
        self._recorder = Recorder(self, observers if journal is None else (journal, *observers))
        if journal is not None:
            journal.attach(lifecycle, self._recorder.trace.started)
        self._begun = False
        self._aborting: Call | None = None
        self._background: Sequence[Call] = ()
        self._spawn_until = math.inf

    def _begin(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._barrier = Barrier(self, self._recorder, self._limits)
        self.record(Kind.RUN, detail=self.describe_run())
        self._begun = True

    @property
    def trace(self) -> Trace:
        """What has happened so far."""
        return self._recorder.trace

    def observe(self, observer: Observer) -> None:
        """Call `observer` with every event from now on, before any hook that follows it; it must only append to
        memory.
        """
        self._recorder.observe(observer)

    def record(
        self,
        kind: Kind,
        plugin: str | None = None,
        call: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event to the trace, in the stage the run is in."""
        self._recorder.record(kind, plugin, call, detail)

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
        if not self._begun or self.stage == self.lifecycle.final or running_loop() is not self.loop:
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


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
