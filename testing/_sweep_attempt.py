"""Runs a scenario once, undisturbed or interrupted at one of its points."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from ..lifecycle.driver import Run
from ..lifecycle.errors import ExceptionReason
from ..lifecycle.leaks import LeakKind, take
from ._stepping import Stepped, place
from ._sweep_report import Ended, Interruption, Moment, Point, PointOutcome
from ._watching import (
    Scenario,
    broken_rules,
    clear_away,
    label,
    leaks_since,
    tasks_left,
    watched_loop,
    watched_runs,
)
from .virtual_time import VirtualLoop


@attrs.frozen
class Sweeper:
    """Runs the scenario, undisturbed or interrupted."""

    scenario: Scenario
    interruption: Interruption
    every_task: bool
    bound: float
    allowed: tuple[type[BaseException], ...]
    roots: tuple[Path, ...]
    kinds: tuple[LeakKind, ...]

    async def count(self) -> tuple[list[Point], list[PointOutcome]]:
        """Return the points of the scenario, and the outcome of the undisturbed run if that is bad already."""
        undisturbed = Point(0, "the undisturbed scenario", None, "no point")
        attempt = Attempt(self, undisturbed, Moment.SUSPENDED)
        outcome = await attempt.run()
        if outcome.error is not None:
            raise outcome.error
        return attempt.seen, [outcome] if outcome.faults else []

    async def run(self, point: Point, moment: Moment) -> PointOutcome:
        """Return what comes of the scenario when it is interrupted at a point."""
        return await Attempt(self, point, moment).run()


@attrs.define(eq=False)
class Attempt:
    """One run of the scenario; `seen` collects the points of one that is not to be interrupted."""

    sweeper: Sweeper
    point: Point
    moment: Moment
    seen: list[Point] = attrs.field(factory=list)
    runs: list[Run] = attrs.field(factory=list)
    count: int = 0
    reached: bool = False
    main: asyncio.Task[Any] | None = None
    main_cancelled: bool = False
    known: set[asyncio.Task[Any]] = attrs.field(factory=set)

    async def run(self) -> PointOutcome:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.turns = 0  # each run of the scenario has its own bound of them
        self.known = asyncio.all_tasks(loop)
        before = take(self.sweeper.roots, kinds=self.sweeper.kinds)
        with ExitStack() as stack:
            self.runs = stack.enter_context(watched_runs())
            problems = stack.enter_context(watched_loop(loop))
            stack.callback(loop.set_task_factory, loop.get_task_factory())
            if self.sweeper.every_task:
                loop.set_task_factory(self._step_task)
            self.main = asyncio.Task(
                Stepped(self.sweeper.scenario(), self._suspended), loop=loop, name="scenario"
            )
            await asyncio.wait([self.main], timeout=self.sweeper.bound)
            left = await tasks_left(self.known)
            leaked = sorted(f"task {label(task, self.runs)}" for task in left if task is not self.main)
            leaked += [] if left else await leaks_since(before)  # a task holds things that are not lost yet
            outcome = self._outcome([f"left behind: {leak}" for leak in leaked], problems)
            await clear_away(left)
        return outcome

    def _step_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(Stepped(coro, self._suspended), loop=loop, **options)
        if self._passes(task, coro, waits=False):
            if self.sweeper.interruption is Interruption.ABORT:  # nobody could while another makes this task
                loop.call_soon(self._interrupt, task)
            else:
                self._interrupt(task)
        return task

    def _suspended(self, coro: Any, awaited: Any) -> None:
        task, waits = asyncio.current_task(), asyncio.isfuture(awaited)
        assert task is not None
        if not self._passes(task, coro, waits):
            return
        if waits and self.moment is Moment.WOKEN:
            awaited.add_done_callback(lambda _: self._interrupt(task))
        else:
            self._interrupt(task)

    def _passes(self, task: asyncio.Task[Any], coro: Any, waits: bool) -> bool:
        """Count a point; return whether it is the one to interrupt at."""
        self.count += 1
        if self.point.number == 0:
            stage = next((run.stage for run in reversed(self.runs) if run.trace.events), None)
            self.seen.append(Point(self.count, label(task, self.runs), stage, place(coro), waits))
        self.reached |= self.count == self.point.number
        return self.count == self.point.number

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        if self.sweeper.interruption is Interruption.ABORT:
            for run in self.runs:
                run.abort(ExceptionReason.CANCELED)
            return
        every = self.sweeper.interruption is Interruption.CANCEL_ALL
        hit = sorted(asyncio.all_tasks() - self.known, key=asyncio.Task.get_name) if every else [task]
        for one in hit:
            self.main_cancelled |= one.cancel() and one is self.main

    def _outcome(self, left: list[str], problems: list[str]) -> PointOutcome:
        main, value, error = self.main, None, None
        assert main is not None
        if not main.done():
            ended = Ended.HUNG
        elif main.cancelled():
            ended = Ended.CANCELLED
        elif (error := main.exception()) is not None:
            ended = Ended.RAISED
        else:
            ended, value = Ended.RETURNED, main.result()
        return PointOutcome(
            self.point,
            self.moment,
            ended,
            self.reached or self.point.number == 0,
            value,
            error,
            tuple(map(str, broken_rules(self.runs))),
            (*left, *problems),
            swallowed=ended is Ended.RETURNED and self.main_cancelled,
            allowed=isinstance(error, self.sweeper.allowed),
        )
