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
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..lifecycle.leaks import LeakKind
from ._sweep_attempt import Sweeper
from ._sweep_report import Ended, Interruption, Moment, Point, PointOutcome, SweepFailedError, SweepReport
from ._watching import Scenario
from .virtual_time import VirtualLoop

__all__ = [
    "Ended",
    "Interruption",
    "Moment",
    "Point",
    "PointOutcome",
    "Scenario",
    "SweepFailedError",
    "SweepReport",
    "sweep",
]

VIRTUAL_BOUND, REAL_BOUND = 100_000.0, 60.0
"""How long, in seconds by the loop's clock, one run of the scenario may take."""

VIRTUAL_KINDS = (LeakKind.DESCRIPTOR, LeakKind.SOCKET, LeakKind.FILE, LeakKind.THREAD)
REAL_KINDS = (*VIRTUAL_KINDS, LeakKind.PROCESS, LeakKind.MOUNT)
"""What is audited; tasks are looked at in any case."""


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
    roots: Iterable[Path] = (),
    kinds: Iterable[LeakKind] | None = None,
    check: bool = True,
) -> SweepReport:
    """Interrupt `scenario` at each of its suspension points, and report what came of it.

    With `every_task` the points are those of every task that the scenario starts, hooks included, else of its own
    task only. `limit` tries that many points, drawn with `seed`. `bound` is how long one run of the scenario may take,
    in seconds by the loop's clock. Errors that are `allowed` to leave the interrupted scenario are no fault.

    After each run of it nothing may be left that was not there before: no task, and none of the `kinds` of things that
    the leak audit knows, files below `roots` among them; by default all of them, but on the virtual clock, where there
    are none, no processes and mounts. The program must not begin such things beside the sweep.

    Raises: SweepFailedError where a run broke a rule (lost its dispose, for one), something was left behind, the
    scenario did not end, swallowed its cancellation or raised something else, unless `check` is False; what the
    undisturbed scenario raises.
    """
    virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
    bound = bound or (VIRTUAL_BOUND if virtual else REAL_BOUND)
    kinds = tuple(kinds) if kinds is not None else VIRTUAL_KINDS if virtual else REAL_KINDS
    sweeper = Sweeper(scenario, Interruption(interruption), every_task, bound, allowed, tuple(roots), kinds)
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
