"""Strategies for hypothesis: what a property test of a plugin, an engine or a lifecycle draws from.

| strategy | gives |
|---|---|
| `lifecycles()`, `unsound_lifecycles()` | tables that the lint lets pass; tables with what it must find in them |
| `payloads(schema)`, `invalid_payloads(schema)` | what a merged schema lets pass, and what it never does |
| `behaviours()` | what one hook or call does, from returning at once to the worst |
| `fault_schedules()` | what all calls of a run do, and when it is aborted |
| `limits()` | bounds for a run in virtual time |

They need hypothesis (`pip install 'stagecall[testing]'`).
"""

from .faults import aborts, behaviours, fault_schedules, limits
from .lifecycles import lifecycles
from .payloads import invalid_payloads, payloads
from .unsound import MISTAKES, Unsound, unsound_lifecycles

__all__ = [
    "MISTAKES",
    "Unsound",
    "aborts",
    "behaviours",
    "fault_schedules",
    "invalid_payloads",
    "lifecycles",
    "limits",
    "payloads",
    "unsound_lifecycles",
]
