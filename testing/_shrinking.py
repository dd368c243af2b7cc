"""Makes the departures of an order that fails as few as they can be, and each as small."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

Departures = Mapping[int, int]

MOST_TRIES = 500
"""Shrinking ends after so many orders, minimal or not."""


def shrink(departures: Departures, fails: Callable[[Departures], Departures | None]) -> Departures:
    """Return departures with which the scenario still fails and none of which can be left out or made smaller.

    `fails` tries some, and returns those really made, or None if the scenario does not fail with them.

    >>> def needs_two(departures):
    ...     return departures if {3, 8} <= departures.keys() else None
    >>> shrink({1: 1, 3: 2, 5: 1, 8: 1, 9: 4}, needs_two)
    {3: 1, 8: 1}
    """
    best, tries, going = dict(departures), 0, True
    while going:
        going = False
        for smaller in _smaller(best):
            tries += 1
            made = fails(smaller) if tries <= MOST_TRIES else None
            if made is not None and _weight(made) < _weight(best):
                best, going = dict(made), True
                break
    return best


def _smaller(departures: Departures) -> Iterator[Departures]:
    """Yield what is simpler: large parts left out before small ones, then smaller departures, then merged ones."""
    numbers = sorted(departures)
    size = len(numbers)
    while size:
        for start in range(0, len(numbers), size):
            left_out = set(numbers[start : start + size])
            yield {number: taken for number, taken in departures.items() if number not in left_out}
        size //= 2
    for number in numbers:
        for taken in range(1, departures[number]):
            yield {**departures, number: taken}
    for one, other in itertools.permutations(numbers, 2):  # two small departures are often one larger one
        merged = {number: taken for number, taken in departures.items() if number != one}
        yield {**merged, other: departures[one] + departures[other]}


def _weight(departures: Departures) -> tuple[int, int, list[int]]:
    return len(departures), sum(departures.values()), sorted(departures)
