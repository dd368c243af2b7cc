"""The ordering rules: each has a name and a sentence, and judges a trace.

The same judges are used by the property tests, by the exhaustive checker, at runtime in strict mode, and on stored
traces. They read only what the driver recorded, never the driver, so a driver that breaks a rule convicts itself.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from . import _rule_judges as judges
from ._rule_reading import Reading
from .lifecycle import TASK_RUN, Lifecycle
from .trace import Trace

Judge = Callable[[Reading], judges.Found]


@attrs.frozen
class Rule:
    """One rule: `judge` yields the place in the trace and a sentence for every way in which a trace breaks it."""

    number: int
    name: str
    sentence: str
    judge: Judge = attrs.field(repr=False)


@attrs.frozen
class Broken:
    """A rule that a trace breaks, at the event with this `seq`."""

    rule: Rule
    seq: int
    message: str

    def __str__(self) -> str:
        return f"rule {self.rule.number} ({self.rule.name}) broken at event {self.seq}: {self.message}"


def judge(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> list[Broken]:
    """Return every way in which the trace of an ended run breaks a rule, in the order of the rules.

    >>> from datetime import UTC, datetime
    >>> empty = Trace(datetime(2026, 1, 1, tzinfo=UTC))
    >>> [broken.rule.name for broken in judge(empty)]
    ['dispose-last', 'dispose-last', 'resolution-final', 'log-closed-first']
    """
    reading = Reading(trace, lifecycle)
    return [
        Broken(rule, seq, message)
        for rule in RULES
        for seq, message in sorted(rule.judge(reading), key=lambda found: found[0])
    ]


RULES = (
    Rule(
        1,
        "declared-order",
        "Stages are entered in declared order, each at most once, none skipped except by an exception.",
        judges.declared_order,
    ),
    Rule(
        2,
        "exception-once",
        "The exception comes at most once; only its own tail follows it.",
        judges.exception_once,
    ),
    Rule(
        3,
        "dispose-last",
        "Dispose comes exactly once, last, for every run; where the process died, recovery resumes and ends it.",
        judges.dispose_last,
    ),
    Rule(
        4,
        "one-hook-at-a-time",
        "One task plugin never has two hooks running, except dispose beside an abandoned hook.",
        judges.one_hook_at_a_time,
    ),
    Rule(
        5,
        "stage-barrier",
        "A stage ends when all its hooks have returned or been abandoned; none is cut off for another's sake, "
        "and `after` is respected.",
        judges.stage_barrier,
    ),
    Rule(
        6,
        "resolution-final",
        "A resolution follows from aborts, errors and verdicts; once final it never changes.",
        judges.resolution_final,
    ),
    Rule(
        7,
        "disposed-once",
        "Every task plugin that was created is disposed exactly once, in reverse order of declaration; where the "
        "process died, every lease is undone.",
        judges.disposed_once,
    ),
    Rule(
        8,
        "log-closed-first",
        "The log is closed before finished and exception; the resolution is reported after them, before dispose.",
        judges.log_closed_first,
    ),
    Rule(
        9,
        "created-only",
        "No hook is called on a plugin whose creation failed; the others get every hook of every stage entered.",
        judges.created_only,
    ),
)
"""The rules in the design's order."""
