"""What a sweep does at a point, and what it reports."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from ..lifecycle.resolution import describe


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

    `value` is what it returned, `error` what it raised; `broken` names the rules that its runs break, `leaked` what it
    left behind and what the loop complained of. `reached` is false where it never came to the point.
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
