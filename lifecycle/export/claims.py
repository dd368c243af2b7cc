"""What Spin is asked to verify: the ordering rules as formulas of linear temporal logic over the exported model.

`broken_...` are flags that the model raises at the moment a rule is broken; it asserts each of them too. The formulas
speak of the rules, not of the table: the stages that they name are found by what they do (`at_dispose` is the
one whose action is `dispose`), so that a broken table cannot redefine what it breaks.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Claim:
    """One claim: `name` is that of the formula in the model; `rule` the number of the ordering rule it belongs to."""

    name: str
    rule: int
    sentence: str
    formula: str

    def __str__(self) -> str:
        return f"/* Rule {self.rule}: {self.sentence} */\nltl {self.name} {{ {self.formula} }}"


CLAIMS = (
    Claim("declared_order", 1, "no stage is entered twice, and none skipped without cause", "[] !broken_1"),
    Claim(
        "exception_once", 2, "the exception comes at most once, and only its own tail follows", "[] !broken_2"
    ),
    Claim("dispose_always", 3, "every run is disposed, if whoever can go on does", "<> disposed"),
    Claim("dispose_last", 3, "nothing comes after dispose", "[] (disposing -> [] disposing)"),
    Claim("one_hook_at_a_time", 4, "no plugin has two hooks running", "[] !broken_4"),
    Claim("stage_barrier", 5, "no stage is entered while a hook is running", "[] !broken_5"),
    Claim(
        "resolution_final",
        6,
        "a resolution never changes",
        "[] ((resolution == completed -> [] (resolution == completed)) && (resolution == failed -> "
        "[] (resolution == failed)) && (resolution == excepted -> [] (resolution == excepted)))",
    ),
    Claim(
        "trouble_means_exception",
        6,
        "an error or an abort before the log is closed and judged leads to the exception",
        "[] (trouble -> <> (exceptions > 0))",
    ),
    Claim("exception_means_trouble", 6, "nothing else does", "[] (exceptions > 0 -> trouble)"),
    Claim(
        "disposed_once",
        7,
        "each task plugin is disposed exactly once, the last declared first",
        "[] !broken_7",
    ),
    Claim(
        "log_closed_first",
        8,
        "the log is closed before finished and exception, and the report",
        "[] !broken_8",
    ),
    Claim(
        "created_only",
        9,
        "hooks are called on what was created, and an exception is told to all",
        "[] !broken_9",
    ),
)
"""Every rule has at least one; they are verified with weak fairness, `pan -a -f -N <name>`."""
