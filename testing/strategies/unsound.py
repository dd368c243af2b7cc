"""Strategies for lifecycles with one mistake, and what the lint must find in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from hypothesis import reject
from hypothesis import strategies as st

from ...specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from ...specs.lifecycle_lint import CALLERS, ONCE
from .lifecycles import lifecycles

NOWHERE = "nowhere"
"""What no stage is called."""


@attrs.frozen
class Unsound:
    """A lifecycle with a mistake: the lint must have a finding of this `check` at this `stage`.

    `mistake` is the key of `MISTAKES`; `stage` is None where the lint names none.
    """

    mistake: str
    lifecycle: Lifecycle
    check: str
    stage: str | None


@attrs.frozen
class Table:
    """A sound lifecycle that a mistake is made in."""

    lifecycle: Lifecycle
    draw: st.DrawFn

    def one(self, *, having: Callable[[Stage], bool] = lambda stage: True) -> Stage:
        """Draw a stage, not the first, of those that have something; without any there is no such example."""
        found = [stage for stage in self.lifecycle.stages[1:] if having(stage)]
        return self.draw(st.sampled_from(found)) if found else reject()

    def acting(self, action: str) -> Stage:
        """Return the stage with an action."""
        return next(stage for stage in self.lifecycle.stages if stage.action == action)

    def exception(self) -> Stage:
        """Return the stage that exceptions lead to."""
        (name,) = self.lifecycle.exception_stages
        return self.lifecycle[name]

    def changed(self, stage: Stage, **changes: Any) -> Lifecycle:
        """Return the table with fields of one stage changed."""
        stages = (attrs.evolve(one, **changes) if one is stage else one for one in self.lifecycle.stages)
        return Lifecycle("unsound", tuple(stages))

    def more(self, *stages: Stage, of: Lifecycle | None = None) -> Lifecycle:
        """Return the table, or a changed one, with more stages behind."""
        return Lifecycle("unsound", (*(of or self.lifecycle).stages, *stages))


Found = tuple[Lifecycle, str, str | None]


def _provisional(stage: Stage) -> bool:
    return stage.provisional


def _hookless(stage: Stage) -> bool:
    return stage.hook is None


def _plain_hook(stage: Stage) -> bool:
    return stage.hook is not None and not stage.action_calls_hook


def _no_stage(table: Table) -> Found:
    return Lifecycle("unsound", ()), "empty", None


def _two_of_one_name(table: Table) -> Found:
    stage = table.one()
    return table.more(stage), "name-clash", stage.name


def _hook_twice(table: Table) -> Found:
    hook = table.one(having=_plain_hook).hook
    other = table.one(having=lambda stage: stage.hook != hook and not stage.action_calls_hook)
    return table.changed(other, hook=hook), "name-clash", None


def _action_twice(table: Table) -> Found:
    stage = table.one(having=lambda stage: stage.action is None)
    return table.changed(stage, action=table.draw(st.sampled_from(sorted(ONCE)))), "name-clash", None


def _no_identifier(table: Table) -> Found:
    name = table.draw(st.sampled_from(["virus-scan", "", "2nd", "a b", "a\n"]))
    place = table.one(having=lambda stage: stage.next is not None)
    return table.lifecycle.insert(Stage(name), after=place.name), "name", name


def _leads_nowhere(table: Table) -> Found:
    edge = table.draw(st.sampled_from(["next", "on_exception"]))
    stage = table.one()
    return table.changed(stage, **{edge: NOWHERE}), "unknown-target", stage.name


def _back_to_the_beginning(table: Table) -> Found:
    edge = table.draw(st.sampled_from(["next", "on_exception"]))
    stage = table.one()
    return table.changed(stage, **{edge: table.lifecycle.initial.name}), "initial", stage.name


def _begins_with_something(table: Table) -> Found:
    first = table.lifecycle.initial
    begins: dict[str, Any] = table.draw(st.sampled_from([{"hook": "begun"}, {"action": "claim"}]))
    return table.changed(first, **begins), "initial", first.name


def _nothing_to_give_to(table: Table) -> Found:
    given: dict[str, Any] = table.draw(
        st.sampled_from([{"arguments": ("reason",)}, {"combine": Combine.ALL}, {"action_calls_hook": True}])
    )
    stage = table.one(having=_hookless)
    return table.changed(stage, **given), "hook", stage.name


def _no_public_hook(table: Table) -> Found:
    stage = table.one(having=lambda stage: not stage.action_calls_hook)
    hook = table.draw(st.sampled_from(["_secret", "two words", ""]))
    return table.changed(stage, hook=hook), "hook", stage.name


def _caller_of_another_hook(table: Table) -> Found:
    action, (_, order) = table.draw(st.sampled_from(sorted(CALLERS.items(), key=lambda item: item[0])))
    stage = table.acting(action)
    other = next(one for one in Order if one is not order)
    wrong: dict[str, Any] = table.draw(
        st.sampled_from([{"hook": "prepared"}, {"order": other}, {"action_calls_hook": False}])
    )
    return table.changed(stage, **wrong), "caller", stage.name


def _no_caller(table: Table) -> Found:
    stage = table.one(having=_plain_hook)
    return table.changed(stage, action_calls_hook=True), "caller", stage.name


def _island(table: Table) -> Found:
    target = table.draw(st.sampled_from(table.lifecycle.stages[1:])).name
    return table.more(Stage("island", next=target)), "unreachable", "island"


def _hole(table: Table) -> Found:
    changed = table.changed(table.one(having=_provisional), on_exception="hole")
    return table.more(Stage("hole", next="hole"), of=changed), "trap", "hole"


def _cycle(table: Table) -> Found:
    path = [name for name in table.lifecycle.main_path[1:] if table.lifecycle[name].provisional]
    later = table.draw(st.integers(0, len(path) - 1))
    earlier = table.draw(st.integers(0, later))
    stage = table.lifecycle[path[later]]
    return table.changed(stage, on_exception=path[earlier]), "trap", path[earlier]


def _two_ends(table: Table) -> Found:
    changed = table.changed(table.one(having=_provisional), on_exception="grave")
    return table.more(Stage("grave"), of=changed), "final", None


def _end_without_dispose(table: Table) -> Found:
    end = table.acting("dispose")
    changed = table.changed(end, action=None, hook=None, order=Order.SIDE_BY_SIDE, action_calls_hook=False)
    return changed, "final", end.name


def _something_after_dispose(table: Table) -> Found:
    end = table.acting("dispose")
    return table.more(Stage("afterlife"), of=table.changed(end, next="afterlife")), "final", end.name


def _no_exception(table: Table) -> Found:
    lost = set(table.lifecycle.following(table.exception().name)) - set(table.lifecycle.main_path)
    stages = (
        attrs.evolve(stage, on_exception=None) for stage in table.lifecycle.stages if stage.name not in lost
    )
    return Lifecycle("unsound", tuple(stages)), "exception", None


def _two_exceptions(table: Table) -> Found:
    changed = table.changed(table.one(having=_provisional), on_exception="other")
    return table.more(Stage("other", next=table.lifecycle.final), of=changed), "exception", None


def _exception_on_the_main_path(table: Table) -> Found:
    *_, last = (name for name in table.lifecycle.main_path if table.lifecycle[name].provisional)
    exception = table.exception().name
    return table.changed(table.lifecycle[last], next=exception), "exception", exception


def _exception_that_goes_on(table: Table) -> Found:
    exception = table.exception()
    return table.changed(exception, action=None), "exception", exception.name


def _no_way_out(table: Table) -> Found:
    stage = table.one(having=_provisional)
    return table.changed(stage, on_exception=None), "no-exception-edge", stage.name


def _no_report(table: Table) -> Found:
    return table.changed(table.acting("report"), action=None), "report", None


def _open_log(table: Table) -> Found:
    return table.changed(table.acting("close_log"), action=None), "log", None


def _late_verdict(table: Table) -> Found:
    stage = table.one(having=lambda stage: stage.hook is not None and not stage.provisional)
    return table.changed(stage, combine=Combine.ALL), "verdict", stage.name


def _early_hook(table: Table) -> Found:
    first = table.lifecycle.initial.name
    return table.lifecycle.insert(Stage("early", hook="hurried"), after=first), "early-hook", "early"


MISTAKES: Mapping[str, Callable[[Table], Found]] = {
    mistake.__name__.strip("_").replace("_", " "): mistake
    for mistake in (
        _no_stage,
        _two_of_one_name,
        _hook_twice,
        _action_twice,
        _no_identifier,
        _leads_nowhere,
        _back_to_the_beginning,
        _begins_with_something,
        _nothing_to_give_to,
        _no_public_hook,
        _caller_of_another_hook,
        _no_caller,
        _island,
        _hole,
        _cycle,
        _two_ends,
        _end_without_dispose,
        _something_after_dispose,
        _no_exception,
        _two_exceptions,
        _exception_on_the_main_path,
        _exception_that_goes_on,
        _no_way_out,
        _no_report,
        _open_log,
        _late_verdict,
        _early_hook,
    )
}
"""The mistakes that can be made in a sound table, by what they are called."""


@st.composite
def unsound_lifecycles(
    draw: st.DrawFn,
    base: Lifecycle = TASK_RUN,
    *,
    mistakes: Mapping[str, Callable[[Table], Found]] = MISTAKES,
) -> Unsound:
    """Return a strategy of lifecycles with one mistake of these, made in a sound one.

    >>> from hypothesis import find
    >>> from stagecall.specs.lifecycle_lint import lint
    >>> unsound = find(unsound_lifecycles(), lambda one: one.mistake == "no report")
    >>> print(*lint(unsound.lifecycle))
    a stage after the exception stage must have the action 'report' [report]
    """
    mistake = draw(st.sampled_from(sorted(mistakes)))
    table = Table(draw(lifecycles(base)), draw)
    lifecycle, check, stage = mistakes[mistake](table)
    return Unsound(mistake, lifecycle, check, stage)
