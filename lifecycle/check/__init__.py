"""The exhaustive check of a lifecycle: every way a run can take through it, decided by the driver's own functions.

`specs/lifecycle_lint.py` says what is wrong with a table; `explore` shows what comes of it. It takes abstract runs
along the table, on the machine and by the decision functions that the driver uses (`lifecycle/machine.py`,
`lifecycle/decision.py`), puts every input to them, and has the rules judge each trace. Only the world is abstract: two
plugins with every hook, and actions, that do what an `Input` says.

Not covered is what lies below the decisions, that calls are bounded, fenced and joined as the barrier promises; the
property tests and the Promela model (`lifecycle/export`) look at that.
"""

from .exploration import Path, Report, explore, walkable
from .inputs import QUIET, Input, When
from .story import line_of, story, table_of_states
from .walk import State, Walk

__all__ = [
    "QUIET",
    "Input",
    "Path",
    "Report",
    "State",
    "Walk",
    "When",
    "explore",
    "line_of",
    "story",
    "table_of_states",
    "walkable",
]
