"""One run under a fault schedule on a virtual clock, moved from outside, and judged when it is over."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ...engines.base import Engine, EngineOptions
from ...engines.mock import provider as mock
from ...lifecycle.barrier import _LEFT_BEHIND
from ...lifecycle.errors import ExceptionReason
from ...lifecycle.limits import Limits
from ...lifecycle.machine import IllegalMoveError, move
from ...lifecycle.recorder import Observer
from ...lifecycle.resolution import Resolution
from ...plugins.base import Plugin
from ...plugins.manager import PluginManager
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Event, Kind
from ...worker.runtime import Action, Runtime
from ...worker.task_run import TaskRun
from ..doubles.runs import LIMITS
from ..doubles.surroundings import RecordingEnvironment, RecordingMonitor, RecordingWebHooks
from ..doubles.traces import assert_sound
from ..virtual_time import LivelockError, NothingWillHappenError, VirtualLoop, expecting_threads
from .behaviour import CALMLY
from .engine import ChaosEngine
from .scene import Scene
from .schedule import AbortAt, FaultSchedule, own_actions

EVER = 100_000.0
"""Seconds of virtual time after which a run has ended, or waits for its sandbox."""

EngineMaker = Callable[[RecordingEnvironment], Engine | Awaitable[Engine]]
PluginsMaker = Callable[[RecordingEnvironment], Iterable[Plugin]]


def mock_engine(environment: RecordingEnvironment) -> Engine:
    """Return a mock engine, the one that trials use where none is given."""
    return mock.new_engine(EngineOptions(environment, environment.monitor))


class AttentiveMonitor(RecordingMonitor):
    """A monitor that keeps the errors themselves too, in `reported`, each with where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[BaseException, str]] = []

    def report_error(self, error: BaseException, **fields: Any) -> str:
        self.reported.append((error, str(fields.get("where"))))
        return super().report_error(error, **fields)


class Trial:
    """One run of the plugins and the engine under test, with what the schedule puts around them.

    Use it as a context manager. Its methods let the run go on, abort it and cancel those who wait for it, in any order
    and from outside of its loop, whose clock is virtual; `finish` takes it to its end, and `defects` says what became
    of the promises. `run`, `scene`, `environment`, `loop` are there to look at.

    >>> from stagecall.testing.chaos import Behaviour
    >>> schedule = FaultSchedule(engine={"start_sandbox": Behaviour("hangs")})
    >>> with Trial(schedule) as trial:
    ...     trial.wait()
    ...     trial.advance(60.0)
    ...     trial.run.stage, trial.abort(ExceptionReason.CANCELED)
    ...     trial.finish()
    ...     trial.run.resolution.reason.value
    ('start', True)
    'canceled'
    """

    def __init__(
        self,
        schedule: FaultSchedule | None = None,
        plugins: PluginsMaker = lambda environment: (),
        engine: EngineMaker = mock_engine,
        *,
        payload: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        lifecycle: Lifecycle = TASK_RUN,
        actions: Mapping[str, Action] | None = None,
    ) -> None:
        self.schedule = schedule or FaultSchedule()
        self.payload = payload or {}
        self.limits = limits
        self.lifecycle = lifecycle
        self.scene = Scene()
        self.seen: list[Event] = []
        self.reports: list[Resolution] = []
        self.owner: asyncio.Task[Resolution] | None = None
        self.joined: list[asyncio.Task[Resolution]] = []
        self.dropped: list[asyncio.Task[Resolution]] = []
        self.cancelled = False
        self.swept = False
        self._actions = actions or {}
        self._make_plugins = plugins
        self._make_engine = engine

    def __enter__(self) -> Trial:
        with ExitStack() as entered:
            entered.enter_context(expecting_threads())
            self.folder = Path(entered.enter_context(tempfile.TemporaryDirectory()))
            self.monitor = AttentiveMonitor()
            self.environment = RecordingEnvironment(self.folder, self.monitor, webhooks=RecordingWebHooks())
            self.loop = VirtualLoop()
            entered.callback(self._close)
            self._set_up()
            self._entered = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def _close(self) -> None:
        """Let go of what has not ended, as far as it lets itself, so that a trial that failed disturbs no later one."""
        self.scene.release()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        with suppress(LivelockError, NothingWillHappenError):
            self.loop.advance(EVER)
        self.loop.close()

    def _set_up(self) -> None:
        made = self._make_engine(self.environment)
        engine = self.loop.run_until_complete(_awaited(made)) if inspect.isawaitable(made) else made
        self.engine = ChaosEngine(self.scene, engine, self.schedule.engine)
        self.own = list(self._make_plugins(self.environment))
        self.neighbours = [faults.plugin(self.scene, self.lifecycle) for faults in self.schedule.plugins]
        ahead = self.schedule.ahead
        self.manager = PluginManager.of([*self.neighbours[:ahead], *self.own, *self.neighbours[ahead:]])
        runtime = Runtime(
            self.engine,
            self.manager,
            self.environment,
            limits=self.limits,
            lifecycle=self.lifecycle,
            actions={**{name: self._action(name) for name in own_actions(self.lifecycle)}, **self._actions},
        )
        self.run = runtime.new_run(
            {"payload": self.payload},
            observers=self._observers(),
            report=self._report if self.schedule.report is not None else None,
        )
        self.scene.run = self.run
        for at in self._aborts_in(self.lifecycle.initial.name):
            if not at.seconds:
                self.run.abort(at.reason)

    def _action(self, name: str) -> Action:
        behaviour = self.schedule.actions.get(name, CALMLY)

        async def act(run: TaskRun) -> None:
            await self.scene.act(behaviour, run.context)

        return act

    def _observers(self) -> list[Observer]:
        broken = [_BrokenObserver()] if self.schedule.broken_observer else []
        return [*broken, self.seen.append, self._abort_in_time]

    def _abort_in_time(self, event: Event) -> None:
        if event.kind in (Kind.RUN, Kind.MOVE):
            for at in self._aborts_in(event.stage):
                self.loop.call_later(at.seconds, self.run.abort, at.reason)

    def _aborts_in(self, stage: str) -> list[AbortAt]:
        return [at for at in self.schedule.aborts if at.stage == stage]

    async def _report(self, resolution: Resolution) -> None:
        self.reports.append(resolution)
        assert self.schedule.report is not None
        await self.scene.act(self.schedule.report)

    # What may happen, in any order

    def wait(self) -> None:
        """Let somebody wait for the run; the first to do so owns it."""
        waiter = self.loop.create_task(self.run.wait())
        self.loop.turn()  # the first to begin is the owner
        if self.owner is None:
            self.owner = waiter
        else:
            self.joined.append(waiter)

    def turn(self, times: int = 1) -> None:
        """Let the loop turn, without any time passing."""
        self.loop.turn(times)

    def advance(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        self.loop.advance(seconds)

    def abort(self, reason: ExceptionReason) -> bool:
        """Abort from outside of the loop, as any thread may; return whether that decided.

        Raises: AssertionError if it did although the outcome was clear, or did not although it was not.
        """
        decided = self.run.resolution is not None or self.run.aborted is not None
        accepted = self.run.abort(reason)
        if accepted is decided:
            raise AssertionError(
                f"abort returned {accepted}, after {self.run.aborted or self.run.resolution}"
            )
        return accepted

    def abort_on_loop(self, reason: ExceptionReason) -> None:
        """Abort from within the loop."""
        self.loop.call_soon(self.run.abort, reason)
        self.loop.turn()

    def hurry(self) -> None:
        """Cut the graces of the run short."""
        self.loop.call_soon(self.run.hurry)
        self.loop.turn()

    def cancel_owner(self) -> None:
        """Cancel the task that owns the run, if there is one."""
        self.cancelled |= self.owner is not None and self.owner.cancel()

    def cancel_joined(self) -> None:
        """Cancel the last that has joined the owner, if any has; that must not concern the run."""
        if self.joined:
            self.joined[-1].cancel()
            self.dropped.append(self.joined.pop())

    def cancel_everything(self) -> None:
        """Cancel all tasks of the loop, as a program does that ends."""
        self.cancelled |= self.owner is not None and not self.owner.done()
        self.swept = True
        self.dropped += self.joined
        self.joined.clear()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    def move_illegally(self) -> None:
        """Try every move that the table does not have from here.

        Raises: AssertionError if one is let through, or leaves anything behind.
        """
        here, events = self.run.stage, len(self.run.trace)
        for stage in self.lifecycle.stages:
            if (here, stage.name) not in set(self.lifecycle.edges()):
                try:
                    move(self.run, self.lifecycle, stage.name)
                except IllegalMoveError:
                    pass
                else:
                    raise AssertionError(f"{here} -> {stage.name} was let through")
        if (self.run.stage, len(self.run.trace)) != (here, events):
            raise AssertionError(
                f"an illegal move from {here} was refused, and left the run in {self.run.stage}"
            )

    # The end

    def finish(self) -> None:
        """Take the run to its end, wherever it is, and then let all return that refused to.

        A run that only waits for its sandbox by then is aborted. Raises: AssertionError if it does not end, or if its
        trace breaks a rule when it has.
        """
        if self.owner is None:
            self.wait()
        assert self.owner is not None
        self.loop.advance(EVER)
        if not self.owner.done() and self.lifecycle[self.run.stage].action == "wait_for_result":
            self.run.abort(ExceptionReason.WORKER_SHUTDOWN)
            self.loop.advance(EVER)
        for waiter in (self.owner, *self.joined):
            if not waiter.done():
                raise AssertionError(
                    f"the run does not end; it is in {self.run.stage!r}, problems: {self.loop.problems}"
                )
        assert_sound(self.run.trace, self.lifecycle)  # before anything comes late
        self.scene.release()
        self.loop.expect_again()
        self.drain()

    def drain(self) -> list[str]:
        """Let every task of the loop end; return the names of those that do not."""
        while tasks := asyncio.all_tasks(self.loop) | {t for t in _LEFT_BEHIND if t.get_loop() is self.loop}:
            done, left = self.loop.run_until_complete(asyncio.wait(tasks, timeout=EVER))
            if not done:
                return sorted(str(task.get_coro()) for task in left)
        return []

    def dispose(self) -> None:
        """Dispose plugins and engine, as their worker does after the last run."""
        self.loop.run_until_complete(self.manager.dispose())
        self.loop.run_until_complete(self.engine.dispose())


async def _awaited(engine: Awaitable[Engine]) -> Engine:
    return await engine


class _BrokenObserver:
    """An observer that fails at the third event."""

    def __init__(self) -> None:
        self.left = 2

    def __call__(self, event: Event) -> None:
        if not self.left:
            raise asyncio.CancelledError
        self.left -= 1
