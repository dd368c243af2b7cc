"""A case and what happened in it, in lines to read."""

from __future__ import annotations

from collections.abc import Iterator

from ...specs.trace import Event, Kind, Trace
from .cases import AFTER, FaultCase
from .seating import aborts, trigger_of


def told(case: FaultCase) -> str:
    """Return what a case is, in a sentence.

    >>> told(FaultCase.parse("stopped/raise-fatal/2"))
    'of three plugins the second has the fault raise-fatal in stopped'
    >>> told(FaultCase.parse("dispose:builder/hang/engine"))
    'the engine has the fault hang in dispose:builder; for it to come at all, start_sandbox fails first'
    """
    who = "the engine has"
    if case.seat is not None:
        who = f"of three plugins the {('first', 'second', 'third')[case.seat - 1]} has"
    order = ", each being after those before" if case.place.endswith(AFTER) else ""
    before = trigger_of(case)
    first = f"{before} fails" if before else "the run is aborted" if aborts(case) else ""
    trigger = f"; for it to come at all, {first} first" if first else ""
    return f"{who} the fault {case.fault} in {case.call}{order}{trigger}"


def events_told(trace: Trace) -> Iterator[str]:
    """Yield a line for each event that tells how a run went."""
    for event in trace:
        if event.kind is Kind.MOVE:
            yield f"{event.stage}:"
        elif (line := _line(event)) is not None:
            yield f"  {line}"


def _line(event: Event) -> str | None:
    call = f"{event.call} of {event.plugin}" if event.plugin else str(event.call)
    match event.kind:
        case Kind.RETURN:
            error = event.get("error")
            return f"{call} ends {event.get('outcome')}" + (f": {error}" if error else "")
        case Kind.ERROR:
            counted = "counts" if event.get("counted") else "comes too late to decide"
            return f"an error, {event.get('severity')}, that {counted}: {event.get('message')}"
        case Kind.ABORT:
            return f"aborted, {event.get('reason')}: " + ("taken" if event.get("accepted") else "too late")
        case Kind.OUTCOME:
            reason = event.get("reason")
            return f"the outcome is {event.get('state')}" + (f", {reason}" if reason else "")
        case Kind.NOT_CREATED:
            return f"no task plugin of {event.plugin}: {event.get('why')}"
        case Kind.LATE:
            return f"{call} returns after it was abandoned"
        case Kind.LOG_CLOSED:
            return "the log is closed"
    return None
