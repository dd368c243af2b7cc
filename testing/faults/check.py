"""Runs one case, judges it by all promises and by the oracle, and tells its story."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from ...lifecycle.explain import explain
from ...lifecycle.resolution import Resolution
from ...plugins.base import Plugin
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Trace
from ...worker.runtime import Action
from ..chaos import FaultSchedule, Foreign, Trial, assert_kept
from ..chaos.trial import EngineMaker, mock_engine
from ..doubles import outcomes
from .cases import FaultCase
from .oracle import Expected, expect
from .seating import faulty_plugin, schedule, sound_schedule
from .story import told


@attrs.frozen
class FaultReport:
    """What came of one case: what it had to become, what it became, and what is wrong with that.

    `resolution` is None if the run did not get one.
    """

    case: FaultCase
    expected: Expected
    resolution: Resolution | None
    trace: Trace = attrs.field(repr=False)
    wrong: tuple[str, ...]
    lifecycle: Lifecycle = attrs.field(default=TASK_RUN, repr=False)

    @property
    def story(self) -> str:
        """The case in lines to read: what was to happen, what did as `stagecall explain` tells it, what is wrong."""
        lines = [f"{self.case}: {told(self.case)}", "", *explain(self.trace, self.lifecycle), ""]
        lines.append(f"expected: {self.expected}")
        lines += [f"wrong: {line}" for line in self.wrong] or ["as expected"]
        return "\n".join(lines)


class FaultFailedError(AssertionError):
    """A case did not become what it must; `report` has all that is known of it."""

    def __init__(self, report: FaultReport) -> None:
        self.report = report
        again = f"to run it again: faults.replay({str(report.case)!r}), with the same plugin if you gave one"
        super().__init__(f"{report.story}\n{again}")


def check_fault(
    case: FaultCase | str,
    *,
    plugin: Callable[[], Plugin] | None = None,
    engine: EngineMaker = mock_engine,
    payload: Mapping[str, Any] | None = None,
    lifecycle: Lifecycle = TASK_RUN,
    actions: Mapping[str, Action] | None = None,
) -> FaultReport:
    """Run a case on a virtual clock and return what came of it.

    `plugin` makes yours, which sits among the three beside the faulty one, and gets its part of `payload`; without one
    all three are made for the case. `engine` is called with the environment, and is a mock engine by default. `actions`
    are those of a `lifecycle` of your own.

    Raises: FaultFailedError where a rule or promise is broken, or the run becomes something else than the table of
    errors says; ValueError for an id there is not, or if the run is an exception without any fault.
    """
    parsed = FaultCase.parse(case, lifecycle) if isinstance(case, str) else case
    guest = plugin().name if plugin is not None else None

    def trial(faults: FaultSchedule) -> Trial:
        return Trial(
            faults,
            lambda environment: [plugin()] if plugin is not None else [],
            engine,
            payload=payload,
            lifecycle=lifecycle,
            actions=actions,
        )

    sound = _sound(trial(sound_schedule(parsed, lifecycle, guest=guest))) if guest is not None else None
    expected = expect(parsed, lifecycle, sound=sound)
    with trial(schedule(parsed, lifecycle, guest=guest)) as run:
        wrong = tuple(_judged(run, parsed, expected))
        report = FaultReport(parsed, expected, run.run.resolution, run.run.trace, wrong, lifecycle)
    if wrong:
        raise FaultFailedError(report)
    return report


def replay(case: FaultCase | str, **options: Any) -> FaultReport:
    """Run a case as `check_fault` does, with the same options, and print its story.

    Raises: as `check_fault`.
    """
    try:
        report = check_fault(case, **options)
    except FaultFailedError as error:
        print(error.report.story)
        raise
    print(report.story)
    return report


def _sound(trial: Trial) -> Resolution:
    """Return what the run becomes without any fault."""
    with trial:
        trial.finish()
        resolution = trial.run.resolution
    assert resolution is not None
    if resolution.state == "exception":
        raise ValueError(
            f"without any fault the run is an exception, {resolution.cause}; a fault would prove nothing"
        )
    return resolution


def _judged(trial: Trial, case: FaultCase, expected: Expected) -> Iterator[str]:
    """Take the run to its end; yield what is wrong with it."""
    try:
        trial.finish()
        assert_kept(trial)
    except AssertionError as error:
        yield from str(error).splitlines()
    run = trial.run
    if run.resolution is None:
        yield "the run has no resolution"
        return
    became = Expected(
        run.resolution.state,
        run.resolution.reason.value if run.resolution.reason else None,
        run.stop_worker,
        run.non_fatal_errors > 0,
        _raised(trial),
        outcomes(run.trace, case.call).get(faulty_plugin(case) or "-", "not called"),
    )
    if became != expected:
        yield f"it became: {became}"


def _raised(trial: Trial) -> bool:
    """Whether whoever waited was given the foreign error."""
    owner = trial.owner
    return (
        owner is not None
        and owner.done()
        and not owner.cancelled()
        and isinstance(owner.exception(), Foreign)
    )
