"""Runs a scenario once, in one order, on a loop of its own."""

from __future__ import annotations

from typing import Any

import attrs

from ..lifecycle.driver import Run
from ._ordering import Order, OrderedLoop
from ._watching import Scenario, broken_rules, clear_away, label, tasks_left, watched_runs
from .virtual_time import expecting_threads


class UnsoundError(AssertionError):
    """A scenario ended, but a run broke a rule, a task was left behind or the loop complained."""


@attrs.frozen
class Tried:
    """What came of it: the order as it was taken, and what the scenario returned or raised."""

    order: Order
    value: Any = None
    error: BaseException | None = None


def try_order(scenario: Scenario, order: Order, *, tell: bool = False) -> Tried:
    """Run the scenario in an order; with `tell` that describes its departures."""
    with watched_runs() as runs, expecting_threads():
        loop = OrderedLoop(order)
        order.runs = runs if tell else None
        try:
            return _run(loop, scenario, order, runs)
        finally:
            loop.close()


def _run(loop: OrderedLoop, scenario: Scenario, order: Order, runs: list[Run]) -> Tried:
    main, value, error = loop.create_task(scenario(), name="scenario"), None, None
    try:
        value = loop.run_until_complete(main)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as raised:
        error = raised
    order.over = True
    left = loop.run_until_complete(tasks_left(set()))
    found = [str(broken) for broken in broken_rules(runs)]
    found += sorted(f"task left behind: {label(task, runs)}" for task in left)
    found += [str(problem.get("exception") or problem["message"]) for problem in loop.problems]
    loop.run_until_complete(clear_away(left))
    loop.run_until_complete(loop.shutdown_asyncgens())
    if error is None and found:
        error = UnsoundError("\n".join(found))
    return Tried(order, value, error)
