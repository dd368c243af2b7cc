"""What must hold once the run of a trial is over, whatever was done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ...lifecycle.errors import (
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from ...lifecycle.resolution import describe, leaves
from ...specs.trace import Kind, Outcome
from ..doubles.traces import assert_sound, outcomes
from .behaviour import Act
from .engine import ENGINE_CALLS
from .trial import Trial

DECLARED = (
    MalformedPayloadError,
    TaskExceptionError,
    NonFatalInternalError,
    FatalInternalError,
    FeatureNotSupportedError,
)
"""What engines and plugins may raise; anything else is a defect."""


def assert_kept(trial: Trial) -> None:
    """Assert that every promise was kept to all that took part in a run that has ended, and by those under test.

    Beside the ordering rules these are: task plugins are treated as their witnesses expect and disposed once, nothing
    of the engine and no folder is left, observers see all, the resolution is reported once, whoever waits gets it or
    what a hook raised, and nothing under test fails with anything but the declared errors or needs to be abandoned.

    Raises: AssertionError with a sentence for each that was not.
    """
    assert_sound(trial.run.trace, trial.lifecycle)
    found = [*_treatment(trial), *_leftovers(trial), *_told(trial), *_waiters(trial), *_under_test(trial)]
    if found:
        raise AssertionError("\n".join(found))


def _treatment(trial: Trial) -> Iterator[str]:
    yield from trial.scene.complaints
    for witness in trial.scene.made:
        if witness.disposed != 1:
            yield f"plugin {witness.name} was disposed {witness.disposed} times, not once"


def _leftovers(trial: Trial) -> Iterator[str]:
    for what, count in trial.scene.held.items():
        if count:
            yield f"{count} more of the engine's {what} acquired than released"
    in_time = outcomes(trial.run.trace, "dispose:temporary_folder") in ({}, {"-": "ok"})
    if in_time and (left := sorted(path.name for path in trial.folder.iterdir())):
        yield f"folders are left: {', '.join(left)}"


def _told(trial: Trial) -> Iterator[str]:
    trace, resolution = trial.run.trace, trial.run.resolution
    if trial.seen != trace.events:
        yield f"an observer saw {len(trial.seen)} events, and the trace has {len(trace)}, or others"
    if trial.reports not in ([], [resolution]):
        yield f"reported were {trial.reports}, not the resolution {resolution} once"
    for problem in trial.loop.problems:
        yield f"the loop met a problem that nobody took: {problem}"
    non_fatal = int(any(event.get("severity") == "non_fatal" for event in trace.of(Kind.ERROR)))
    for plugin in trial.neighbours:
        if plugin.told != non_fatal and not trial.swept:
            yield f"plugin {plugin.name} was told of non-fatal errors {plugin.told} times, not {non_fatal}"


def _waiters(trial: Trial) -> Iterator[str]:
    """The owner gets its cancellation, else everybody the foreign error there was, else the resolution."""
    assert trial.owner is not None
    foreign = next(
        (leaf for error, _ in trial.monitor.reported for leaf in leaves(error) if _foreign(leaf)), None
    )
    for waiter in trial.dropped:
        if not waiter.cancelled() and waiter.exception() not in (None, foreign):
            yield f"a waiter that was cancelled got {waiter.exception()!r}"
    for waiter in (trial.owner, *trial.joined):
        if waiter is trial.owner and trial.cancelled:
            if not waiter.cancelled():
                yield "the owner was cancelled, and was not told so"
        elif waiter.cancelled():
            yield "a waiter was told to be cancelled, and nobody had"
        elif waiter.exception() is not foreign:
            yield f"a waiter got {waiter.exception()!r}, where there was {foreign!r}"
        elif foreign is None and waiter.result() != trial.run.resolution:
            yield f"a waiter got {waiter.result()}, and the resolution is {trial.run.resolution}"


def _foreign(error: BaseException) -> bool:
    return not isinstance(error, Exception | SystemExit | KeyboardInterrupt | asyncio.CancelledError)


def _under_test(trial: Trial) -> Iterator[str]:
    """A cancellation is nobody's defect, and neither is what a behaviour of the schedule has raised."""
    own = {plugin.name for plugin in trial.own}
    neighbours = tuple(f" of plugin {plugin.name}" for plugin in trial.neighbours)
    wrong = [call for call, told in trial.schedule.engine.items() if told.act is Act.WRONG_VALUE]
    for error, where in trial.monitor.reported:
        for leaf in leaves(error):
            excused = isinstance(leaf, (*DECLARED, asyncio.CancelledError)) or trial.scene.caused(leaf)
            if not excused and where not in wrong and not where.endswith(neighbours):
                yield f"{where} failed with a defect: {describe(leaf)}"
    engine = set(ENGINE_CALLS) - trial.schedule.engine.keys()
    for event in trial.run.trace.of(Kind.RETURN):
        under_test = event.plugin in own if event.plugin is not None else event.call in engine
        if under_test and event.get("outcome") == Outcome.ABANDONED and trial.limits.abandon_grace:
            whose = f" of plugin {event.plugin}" if event.plugin is not None else ""
            yield f"{event.call}{whose} did not end when it was cancelled"
