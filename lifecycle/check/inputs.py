"""What may happen to a run while it does one piece of work: the alphabet of the exhaustive check."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import attrs

from ..resolution import Severity


class When(enum.StrEnum):
    """When an abort comes, seen from the work that a stage does."""

    NEVER = "never"
    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@attrs.frozen
class Input:
    """What happens while one piece of work is done.

    `errors` are those of the plugins, or of the action; with two, each of two plugins has one. `refused` means that a
    plugin says the task failed.

    >>> Input(errors=(Severity.FATAL,), abort=When.AFTER).weight
    2
    >>> str(Input(refused=True, abort=When.DURING))
    'failed, abort during'
    """

    refused: bool = False
    errors: tuple[Severity, ...] = ()
    abort: When = When.NEVER

    @property
    def weight(self) -> int:
        """How many things go wrong at once; the shortest counter-example has the least of them."""
        return int(self.refused) + len(self.errors) + (self.abort is not When.NEVER)

    def __str__(self) -> str:
        told = ["failed"] if self.refused else []
        told += [error.name.lower().replace("_", "-") for error in self.errors]
        if self.abort is not When.NEVER:
            told.append(f"abort {self.abort.value}")
        return ", ".join(told) or "ok"


QUIET = Input()
"""Nothing goes wrong."""

ABORT = Input(abort=When.BEFORE)


@lru_cache(maxsize=16)
def while_errors_count(plugins: int, judging: bool) -> Sequence[Input]:
    """Return what may happen to work in a stage in which errors count, `QUIET` first.

    `plugins` is how many plugins take part, 0 for an action; `judging` whether what they return is a verdict.

    >>> len(while_errors_count(0, False)), len(while_errors_count(2, False)), len(while_errors_count(2, True))
    (16, 32, 39)
    """
    return (QUIET, ABORT, *_outcomes(plugins, judging))


@lru_cache(maxsize=16)
def once_final(severities: tuple[Severity, ...]) -> Sequence[Input]:
    """Return what may happen to work when the resolution is final, `QUIET` first; an abort comes too late then.

    >>> [str(one) for one in once_final((Severity.FATAL,))]
    ['ok', 'abort during', 'fatal', 'fatal, abort during']
    """
    outcomes = ((), *((severity,) for severity in severities))
    return tuple(
        Input(errors=errors, abort=when) for errors in outcomes for when in (When.NEVER, When.DURING)
    )


def _outcomes(plugins: int, judging: bool) -> Iterator[Input]:
    single = [(severity,) for severity in Severity]
    for errors in ((), *single):
        for when in (When.NEVER, When.DURING, When.AFTER):
            if errors or when is not When.NEVER:
                yield Input(errors=errors, abort=when)
    if plugins > 1:
        yield from (Input(errors=pair) for pair in product(Severity, repeat=2))
    if judging and plugins:
        yield from (Input(True, (), when) for when in (When.NEVER, When.DURING, When.AFTER))
        if plugins > 1:
            yield from (Input(True, errors) for errors in single)
