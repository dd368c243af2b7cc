"""Cancellation sweep: a scenario is cancelled at every point where it can be, once in each run of it.

`await sweep(scenario)` runs the scenario undisturbed and counts how often its task is suspended. Then it runs it anew
for each of these points and cancels it there, in two moments: as soon as it is suspended, and when what it waited for
has come but it has not yet gone on, where results get lost. After each the runs that it made are judged by every rule.

It works on the loop it is awaited on: on the virtual clock with `run_virtually(sweep(scenario))` or in a test under
`@virtual_time`, in real time otherwise, as scenarios with processes need.

>>> import asyncio
>>> from stagecall import run_task
>>> from stagecall.testing.virtual_time import run_virtually
>>> async def scenario():
...     return await run_task({"payload": {"function": "true"}}, engine="mock", plugins={"success": {}})
>>> report = run_virtually(sweep(scenario))
>>> report.points > 3, {outcome.ended.value for outcome in report.outcomes}
(True, {'cancelled'})
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import attrs

from ..lifecycle.driver import Run
from ..lifecycle.errors import ExceptionReason
from ..lifecycle.resolution import describe
from ._stepping import Stepped, place
from ._watching import Scenario, broken_rules, clear_away, label, tasks_left, watched_loop, watched_runs
from .virtual_time import VirtualLoop

VIRTUAL_BOUND, REAL_BOUND = 100_000.0, 60.0
"""How long, in seconds by the loop's clock, one run of the scenario may take."""


class Interruption(enum.Enum):
    """What happens to a scenario at a point."""

    CANCEL = "cancel"
    """The task that is suspended there is cancelled."""
    CANCEL_ALL = "cancel-all"
    """Every task of the scenario is, as by a program that ends."""
    ABORT = "abort"
    """Every run that the scenario has made is aborted, as canceled."""


class Moment(enum.Enum):
    """When it happens."""

    SUSPENDED = "suspended"
    """As soon as the task is suspended."""
    WOKEN = "woken"
    """When what the task waits for has come, and the task has not yet gone on."""


class Ended(enum.Enum):
    """How the scenario ended."""

    RETURNED = "returned"
    CANCELLED = "cancelled"
    RAISED = "raised"
    HUNG = "hung"


@attrs.frozen
class Point:
    """A suspension: `number` counts from 1, `task` is what was suspended, `where` its frames, innermost first.

    `waits` is false where the task waits for nothing but its next turn, as one that has not begun does.
    """

    number: int
    task: str
    stage: str | None
    where: str
    waits: bool = True

    def __str__(self) -> str:
        stage = f" in {self.stage}" if self.stage else ""
        return f"point {self.number}{stage}, {self.task} at {self.where}"


@attrs.frozen
class PointOutcome:
    """What came of one run of the scenario.

    `value` is what it returned, `error` what it raised; `broken` names the rules that its runs break, `leaked` the
    tasks that it left behind and what the loop complained of. `reached` is false where it never came to the point.
    """

    point: Point
    moment: Moment
    ended: Ended
    reached: bool = True
    value: Any = None
    error: BaseException | None = None
    broken: tuple[str, ...] = ()
    leaked: tuple[str, ...] = ()
    swallowed: bool = False
    allowed: bool = True

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, one sentence each."""
        found = [*self.broken, *self.leaked]
        if self.ended is Ended.HUNG:
            found.append("the scenario did not end")
        if self.swallowed:
            found.append(f"the cancellation was swallowed: the scenario returned {self.value!r}")
        if self.error is not None and not self.allowed:
            found.append(f"the scenario raised {describe(self.error)}")
        return found

    def __str__(self) -> str:
        return f"{self.point}, {self.moment.value}: {self.ended.value}"


@attrs.frozen
class SweepReport:
    """What came of a sweep: how many points the scenario has, and one outcome for each point and moment tried."""

    interruption: Interruption
    points: int
    outcomes: tuple[PointOutcome, ...] = attrs.field(repr=False)

    @property
    def bad(self) -> list[PointOutcome]:
        """The outcomes with which something is wrong."""
        return [outcome for outcome in self.outcomes if outcome.faults]

    @property
    def missed(self) -> list[PointOutcome]:
        """The outcomes of runs that never came to their point: the scenario is not the same each time."""
        return [outcome for outcome in self.outcomes if not outcome.reached]

    def __str__(self) -> str:
        tried, bad = len(self.outcomes), self.bad
        missed = f", {len(self.missed)} of them not reached again" if self.missed else ""
        lines = [
            f"{self.interruption.value} at {self.points} points, {tried} tried{missed}: {len(bad)} went wrong"
        ]
        for outcome in bad:
            lines += [f"  {outcome}", *(f"    {fault}" for fault in outcome.faults)]
        return "\n".join(lines)


class SweepFailedError(AssertionError):
    """Something went wrong at one point at least; `report` has all of them."""

    def __init__(self, report: SweepReport) -> None:
        self.report = report
        super().__init__(str(report))


async def sweep(
    scenario: Scenario,
    *,
    interruption: Interruption | str = Interruption.CANCEL,
    every_task: bool = False,
    moments: Sequence[Moment] = tuple(Moment),
    limit: int | None = None,
    seed: int = 0,
    bound: float | None = None,
    allowed: tuple[type[BaseException], ...] = (),
    check: bool = True,
) -> SweepReport:
    """Interrupt `scenario` at each of its suspension points, and report what came of it.

    With `every_task` the points are those of every task that the scenario starts, hooks included, else of its own
    task only. `limit` tries that many points, drawn with `seed`. `bound` is how long one run of the scenario may take,
    in seconds by the loop's clock. Errors that are `allowed` to leave the interrupted scenario are no fault.

    Raises: SweepFailedError where a run broke a rule (lost its dispose, for one), a task was left behind, the
    scenario did not end, swallowed its cancellation or raised something else, unless `check` is False; what the
    undisturbed scenario raises.
    """
    loop = asyncio.get_running_loop()
    bound = bound or (VIRTUAL_BOUND if isinstance(loop, VirtualLoop) else REAL_BOUND)
    sweeper = _Sweeper(scenario, Interruption(interruption), every_task, bound, allowed)
    points, outcomes = await sweeper.count()
    tried: Iterable[Point] = points
    if limit is not None and limit < len(points):
        tried = sorted(random.Random(seed).sample(points, limit), key=lambda point: point.number)
    for point in tried:
        for moment in moments if point.waits else moments[:1]:
            outcomes.append(await sweeper.run(point, moment))
    report = SweepReport(sweeper.interruption, len(points), tuple(outcomes))
    if check and report.bad:
        raise SweepFailedError(report)
    return report


@attrs.frozen
class _Sweeper:
    """Runs the scenario, undisturbed or interrupted."""

    scenario: Scenario
    interruption: Interruption
    every_task: bool
    bound: float
    allowed: tuple[type[BaseException], ...]

    async def count(self) -> tuple[list[Point], list[PointOutcome]]:
        """Return the points of the scenario, and the outcome of the undisturbed run if that is bad already."""
        undisturbed = Point(0, "the undisturbed scenario", None, "no point")
        attempt = _Attempt(self, undisturbed, Moment.SUSPENDED)
        outcome = await attempt.run()
        if outcome.error is not None:
            raise outcome.error
        return attempt.seen, [outcome] if outcome.faults else []

    async def run(self, point: Point, moment: Moment) -> PointOutcome:
        """Return what comes of the scenario when it is interrupted at a point."""
        return await _Attempt(self, point, moment).run()


@attrs.define(eq=False)
class _Attempt:
    """One run of the scenario; `seen` collects the points of one that is not to be interrupted."""

    sweeper: _Sweeper
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
        with ExitStack() as stack:
            self.runs = stack.enter_context(watched_runs())
            problems = stack.enter_context(watched_loop(loop))
            if self.sweeper.every_task:
                stack.callback(loop.set_task_factory, loop.get_task_factory())
                loop.set_task_factory(self._step_task)
            self.main = asyncio.Task(
                Stepped(self.sweeper.scenario(), self._suspended), loop=loop, name="scenario"
            )
            await asyncio.wait([self.main], timeout=self.sweeper.bound)
            left = await tasks_left(self.known)
            names = sorted(label(task, self.runs) for task in left if task is not self.main)
            outcome = self._outcome([f"task left behind: {name}" for name in names], problems)
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
