"""A case, in a sentence."""

from __future__ import annotations

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
