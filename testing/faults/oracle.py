"""What each case must become: the table of errors, written down a second time and without looking at the driver."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ...lifecycle.errors import ExceptionReason
from ...lifecycle.resolution import Resolution
from ...plugins.base import CREATION
from ...specs.lifecycle import TASK_RUN, Combine, Lifecycle, Stage
from ...specs.trace import Outcome
from ..chaos import Act
from .cases import FaultCase
from .seating import aborts, trigger_of

INTERNAL, MALFORMED = "internal-error", "malformed-payload"


@attrs.frozen
class Verdict:
    """What an error makes of a run while the outcome is provisional, and of the worker at any time."""

    reason: str | None = None
    stops_worker: bool = False
    non_fatal: bool = False
    foreign: bool = False


HARMLESS = Verdict()
FATAL = Verdict(INTERNAL, stops_worker=True)

VERDICTS: Mapping[Act, Verdict] = MappingProxyType(
    {
        Act.MALFORMED: Verdict(MALFORMED),
        Act.UNSUPPORTED: Verdict(MALFORMED),
        Act.TASK_EXCEPTION: Verdict("resource-unavailable"),
        Act.INTERMITTENT: Verdict("intermittent-task"),
        Act.NON_FATAL: Verdict(INTERNAL, non_fatal=True),
        Act.GROUP: Verdict(INTERNAL, non_fatal=True),  # its worst leaf is
        Act.FATAL: FATAL,
        Act.DEFECT: FATAL,
        Act.UNPRINTABLE: FATAL,
        Act.SYSTEM_EXIT: FATAL,
        Act.KEYBOARD_INTERRUPT: FATAL,
        Act.STRAY_CANCELLED: FATAL,
        Act.CANCELS_ITSELF: FATAL,
        Act.FOREIGN: attrs.evolve(FATAL, foreign=True),
        Act.FOREIGN_GROUP: attrs.evolve(FATAL, foreign=True),
        Act.HANGS: FATAL,  # overruns its time
        Act.STUBBORN: FATAL,
        Act.RETURNS_WHEN_CANCELLED: FATAL,
        Act.RAISES_WHEN_CANCELLED: FATAL,
        Act.SLOW: HARMLESS,
        Act.ABORTS: HARMLESS,  # no error: see `_aborted`
    }
)
"""What each act is in the table of errors; `Act.WRONG_VALUE` depends on what is expected of the call."""

OUTCOMES: Mapping[Act, Outcome] = MappingProxyType(
    {
        Act.WRONG_VALUE: Outcome.OK,
        Act.SLOW: Outcome.OK,
        Act.ABORTS: Outcome.OK,
        Act.HANGS: Outcome.TIMEOUT,
        Act.RETURNS_WHEN_CANCELLED: Outcome.TIMEOUT,
        Act.RAISES_WHEN_CANCELLED: Outcome.TIMEOUT,
        Act.STUBBORN: Outcome.ABANDONED,
    }
)
"""How the faulty call itself ends; what is not here fails."""

STAGE_OF_ENGINE: Mapping[str, str] = MappingProxyType(
    {
        "new_sandbox_builder": "prepare",
        "start_sandbox": "start_sandbox",
        "wait_for_result": "wait_for_result",
        "abort_sandbox": "wait_for_result",
    }
)
"""The action in whose stage the run asks that of the engine; all else comes in dispose."""


@attrs.frozen
class Expected:
    """What a case must become: the resolution, what it means for the worker, and how the faulty call ends.

    `foreign` says that the error, which is no Exception, reaches whoever waits for the run.
    """

    state: str
    reason: str | None
    stops_worker: bool
    non_fatal: bool
    foreign: bool
    outcome: str

    def __str__(self) -> str:
        worker = (
            ["stops"]
            if self.stops_worker
            else ["counts a non-fatal error"]
            if self.non_fatal
            else ["goes on"]
        )
        reason = f" {self.reason}" if self.reason else ""
        raised = ", the error is raised after dispose" if self.foreign else ""
        return f"{self.state}{reason}; the call ends {self.outcome}, the worker {worker[0]}{raised}"


def expect(case: FaultCase, lifecycle: Lifecycle = TASK_RUN, *, sound: Resolution | None = None) -> Expected:
    """Return what a case must become; `sound` is the resolution without any fault, by default completed.

    >>> print(expect(FaultCase.parse("stopped/raise-non-fatal/1")))
    exception internal-error; the call ends failed, the worker counts a non-fatal error
    >>> print(expect(FaultCase.parse("dispose/raise-fatal/1")))
    completed; the call ends failed, the worker stops
    """
    stage, act = _stage(case, lifecycle), case.behaviour.act
    verdict = _verdict(case, stage)
    state, reason = _before(case, lifecycle, sound or Resolution("completed"))
    if stage.provisional and not aborts(case):
        if verdict.reason is not None:
            state, reason = "exception", verdict.reason
        elif act is Act.ABORTS:
            state, reason = "exception", ExceptionReason.SUPERSEDED.value
    outcome = OUTCOMES.get(act, Outcome.FAILED)
    if case.behaviour.threaded and act is Act.HANGS:
        outcome = Outcome.ABANDONED  # a thread cannot be interrupted
    return Expected(state, reason, verdict.stops_worker, verdict.non_fatal, verdict.foreign, outcome.value)


def _stage(case: FaultCase, lifecycle: Lifecycle) -> Stage:
    """Return the stage that the faulty call comes in."""
    if not case.of_engine:
        return lifecycle.hooks[case.call]
    action = STAGE_OF_ENGINE.get(case.call, "dispose")
    return next(stage for stage in lifecycle.stages if stage.action == action)


def _verdict(case: FaultCase, stage: Stage) -> Verdict:
    act = case.behaviour.act
    if act is not Act.WRONG_VALUE:
        return VERDICTS[act]
    if case.of_engine:
        promised = case.call in ("new_sandbox_builder", "start_sandbox", "wait_for_result")
    else:
        promised = case.call == CREATION or stage.combine is Combine.ALL
    return FATAL if promised else HARMLESS


def _before(case: FaultCase, lifecycle: Lifecycle, sound: Resolution) -> tuple[str, str | None]:
    """Return what the run becomes by what went wrong before, if anything had to."""
    for abort in aborts(case):
        return "exception", abort.reason.value
    if trigger_of(case, lifecycle) is not None:
        return "exception", "intermittent-task"
    return sound.state, sound.reason.value if sound.reason else None
