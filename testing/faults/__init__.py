"""Fault matrix: every hook and engine call, every fault, every place of the faulty plugin, each case under an id.

The id of a case says it all: `stopped/raise-fatal/2` is a run of three plugins of which the second raises a
FatalInternalError in `stopped`. Each case is judged by every rule and promise, and by what the table of errors says
that the run becomes.

| to | use |
|---|---|
| have your plugin stand among the three, in a test for each case | `parametrize`, `check_fault` |
| choose cases | `fault_cases`, `FaultCase.parse` |
| see what happens in one | `replay`, or `python -m stagecall.testing.faults stopped/raise-fatal/2` |

>>> report = check_fault("stopped/raise-fatal/2")
>>> report.expected.reason, report.expected.stops_worker
('internal-error', True)
"""

from .cases import FAULTS, FaultCase, fault_cases, parametrize
from .check import FaultFailedError, FaultReport, check_fault, replay
from .oracle import Expected, expect

__all__ = [
    "FAULTS",
    "Expected",
    "FaultCase",
    "FaultFailedError",
    "FaultReport",
    "check_fault",
    "expect",
    "fault_cases",
    "parametrize",
    "replay",
]
