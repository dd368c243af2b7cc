"""Interleaving explorer: a scenario is run in every order that its tasks may go on in, and fails if one fails.

Where several tasks are ready, as the hooks of one stage are, asyncio takes the one that became ready first. Nothing
promises that: the next release of a library, another machine, a slower disk may turn it round. `explore(scenario)`
runs a scenario on a virtual loop where such choices are made on purpose: in the usual order first, then in all orders
with one departure from it, with two, up to `bound`; then in `samples` drawn at random. An order that fails is shrunk to
the departures it needs, and named by a short seed with which `replay` runs it again.

>>> import asyncio
>>> async def scenario():
...     said = []
...     async def say(name):
...         said.append(name)
...     await asyncio.gather(say("a"), say("b"), say("c"))
...     return "".join(said)
>>> report = explore(scenario, bound=None)
>>> report.orders, report.complete, sorted(report.results)
(6, True, ["'abc'", "'acb'", "'bac'", "'bca'", "'cab'", "'cba'"])
>>> replay(scenario, report.results["'cba'"])
'cba'
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..lifecycle.errors import LifecycleError
from ..lifecycle.resolution import describe
from ._ordering import Choice, Order, departures_of, seed_of
from ._shrinking import shrink
from ._trying import Tried, UnsoundError, try_order
from ._watching import Scenario

__all__ = [
    "Choice",
    "DivergedError",
    "Exploration",
    "OrderFailedError",
    "OrderFailure",
    "Scenario",
    "UnsoundError",
    "explore",
    "replay",
]

RATES = (0.1, 0.3, 1.0)
"""How often a sampled order departs from the usual one, at most: few bugs need many departures."""

MOST_RESULTS = 100
"""So many different results of a scenario are kept."""


class DivergedError(Exception):
    """A seed does not fit the scenario: it has other choices than when the seed was found."""


@attrs.frozen
class OrderFailure:
    """An order in which the scenario fails: its `seed`, the `error`, and the `choices` that depart from the usual one.

    The choices are as few as could be found: if one is left out, the scenario does not fail with such an error.
    """

    seed: str
    error: BaseException
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        lines = [f"order {self.seed} fails: {describe(self.error)}"]
        lines += [f"  {choice}" for choice in self.choices] or ["  it is the usual order"]
        return "\n".join([*lines, f"  to run it again: explorer.replay(scenario, {self.seed!r})"])


@attrs.frozen
class Exploration:
    """What came of exploring: `orders` counts those enumerated, `sampled` those drawn at random.

    `complete` says that there are no other orders. `choices` is the greatest number of choices in one order. `results`
    has each different result of the scenario, as text, with the seed of the first order that gave it.
    """

    orders: int
    sampled: int
    complete: bool
    choices: int
    results: Mapping[str, str] = attrs.field(repr=False)
    failure: OrderFailure | None = None

    def __str__(self) -> str:
        all_of_them = "all orders that there are" if self.complete else "there are more"
        return (
            f"{self.orders} orders enumerated, {self.sampled} sampled, {all_of_them}; "
            f"at most {self.choices} choices in one"
        )


class OrderFailedError(AssertionError):
    """A scenario fails in one order at least; `report` has it, and the error is this one's cause."""

    def __init__(self, report: Exploration) -> None:
        self.report = report
        super().__init__(f"{report.failure}\n{report}")


def explore(
    scenario: Scenario,
    *,
    bound: int | None = 2,
    samples: int = 100,
    seed: int = 0,
    most: int = 5000,
    check: bool = True,
) -> Exploration:
    """Run a scenario in every order with at most `bound` departures from the usual one, then in random ones.

    `bound` None means every order that there is. `most` bounds how many are enumerated; where there are more, or
    beyond the bound, `samples` orders are drawn with `seed`. The first order that fails ends it.

    Raises: OrderFailedError where the scenario raises in an order, deadlocks, leaves a task behind or makes a run that
    breaks a rule, unless `check` is False; DivergedError for a scenario that is not the same each time; LifecycleError
    inside a running loop, as each order gets a loop of its own.
    """
    _refuse_a_loop("explore")
    explorer = _Explorer(scenario, random.Random(seed))
    failed = explorer.enumerate(bound, most)
    if failed is None and not explorer.complete:
        failed = explorer.sample(samples)
    failure = explorer.minimal(failed) if failed is not None else None
    report = Exploration(
        explorer.enumerated,
        explorer.sampled,
        explorer.complete,
        explorer.choices,
        explorer.results,
        failure,
    )
    if failure is not None and check:
        raise OrderFailedError(report) from failure.error
    return report


def replay(scenario: Scenario, seed: str) -> Any:
    """Run a scenario in the order that a seed stands for; return what it returns.

    Raises: what the scenario raises; UnsoundError; DivergedError if the seed does not fit the scenario; ValueError if
    it is none; LifecycleError inside a running loop.
    """
    _refuse_a_loop("replay")
    departures = departures_of(seed)
    tried = try_order(scenario, Order(departures))
    if tried.order.made != departures:
        raise DivergedError(
            f"order {seed} cannot be taken: at its choices the scenario now has {tried.order.options} tasks"
        ) from tried.error
    if tried.error is not None:
        raise tried.error
    return tried.value


def _refuse_a_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LifecycleError(f"{name} runs loops of its own: call it from plain code, not inside a running loop")


@attrs.define(eq=False)
class _Explorer:
    """Tries orders, and counts them; `complete` once no other is left."""

    scenario: Scenario
    random: random.Random
    enumerated: int = 0
    sampled: int = 0
    complete: bool = False
    choices: int = 0
    results: dict[str, str] = attrs.field(factory=dict)

    def enumerate(self, bound: int | None, most: int) -> Tried | None:
        """Try orders with ever more departures; return the first that fails."""
        level: list[dict[int, int]] = [{}]  # the usual order
        while level:
            orders = []
            for departures in level:
                if self.enumerated == most:
                    return None
                self.enumerated += 1
                tried = self._take(Order(departures))
                if tried.error is not None:
                    return tried
                orders.append(tried.order)
            further = itertools.chain.from_iterable(map(_one_more, orders))
            level = list(itertools.islice(further, most - self.enumerated + 1))
            if level and len(level[0]) - 1 == bound:
                return None
        self.complete = True
        return None

    def sample(self, samples: int) -> Tried | None:
        """Try orders drawn at random; return the first that fails."""
        for _ in range(samples):
            self.sampled += 1
            tried = self._take(Order({}, random.Random(self.random.random()), self.random.choice(RATES)))
            if tried.error is not None:
                return tried
        return None

    def minimal(self, failed: Tried) -> OrderFailure:
        """Shrink an order that fails."""
        kind = type(failed.error)

        def fails(departures: Mapping[int, int]) -> Mapping[int, int] | None:
            tried = try_order(self.scenario, Order(departures))
            return tried.order.made if type(tried.error) is kind else None

        departures = shrink(failed.order.made, fails)
        last = try_order(self.scenario, Order(departures), tell=True)
        if last.error is None:
            raise DivergedError(
                f"the scenario is not the same each time: order {seed_of(departures)} failed, and then did not"
            ) from failed.error
        return OrderFailure(seed_of(departures), last.error, tuple(last.order.told))

    def _take(self, order: Order) -> Tried:
        tried = try_order(self.scenario, order)
        if order.random is None and order.made != order.departures:
            raise DivergedError(
                f"the scenario is not the same each time: order {seed_of(order.departures)} was there before, and "
                f"now it is {seed_of(order.made)}"
            ) from tried.error
        self.choices = max(self.choices, len(order.options))
        if tried.error is None and len(self.results) < MOST_RESULTS:
            self.results.setdefault(repr(tried.value), seed_of(order.made))
        return tried


def _one_more(order: Order) -> Iterator[dict[int, int]]:
    """Yield the orders with one more departure, behind those there are: so each order comes up once."""
    for number in range(max(order.departures, default=0) + 1, len(order.options) + 1):
        for taken in range(1, order.options[number - 1]):
            yield {**order.departures, number: taken}
