"""Sound lifecycles pass the lint and keep every rule when a run is taken through them; unsound ones are found out."""

import re
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from stagecall.lifecycle.errors import LifecycleError
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order
from stagecall.specs.lifecycle_lint import lint
from stagecall.specs.lifecycle_yaml import lifecycle_document, load_lifecycle
from stagecall.testing.chaos import own_actions, play
from stagecall.testing.strategies import (
    MISTAKES,
    fault_schedules,
    lifecycles,
    limits,
    unsound_lifecycles,
)

ANY = settings(phases=[Phase.generate], max_examples=2000, report_multiple_bugs=False)
"""The first example will do, and need not be the simplest."""


@given(lifecycles())
def test_sound_lifecycles_pass_the_lint(lifecycle):
    """Whatever is left out, added and renamed: the lint has nothing to say, and YAML can say the same table."""
    assert lint(lifecycle) == []
    assert load_lifecycle(lifecycle_document(lifecycle)).stages == lifecycle.stages


@settings(max_examples=max(60, settings().max_examples // 2))
@given(st.data())
def test_run_keeps_its_promises_in_any_sound_lifecycle(data):
    """An embedder's own table comes with the same guarantees, whatever goes wrong along it."""
    lifecycle = data.draw(lifecycles())
    schedule = data.draw(fault_schedules(lifecycle))

    run = play(schedule, payload={"function": "true"}, lifecycle=lifecycle, limits=data.draw(limits()))

    assert run.stage == lifecycle.final


def left_out(lifecycle: Lifecycle) -> bool:
    return "started" not in lifecycle.hooks


def has_more(lifecycle: Lifecycle) -> bool:
    return len(lifecycle.stages) > len(TASK_RUN.stages) + 2


def renamed(lifecycle: Lifecycle) -> bool:
    return lifecycle.initial.name != "pending"


def in_the_tail(lifecycle: Lifecycle) -> bool:
    before_dispose = lifecycle[lifecycle.main_path[-2]]
    return before_dispose.hook is not None


def beside_the_main_path(lifecycle: Lifecycle) -> bool:
    (exception,) = lifecycle.exception_stages
    return lifecycle[exception].next not in lifecycle.main_path


def judging_in_reverse(lifecycle: Lifecycle) -> bool:
    return any(stage.combine is Combine.ALL and stage.order is Order.REVERSE for stage in lifecycle.stages)


@pytest.mark.parametrize(
    "kind", [left_out, has_more, renamed, in_the_tail, beside_the_main_path, judging_in_reverse, own_actions]
)
def test_each_kind_of_sound_lifecycle_is_drawn(kind):
    """Every way in which a table may differ does come up."""
    assert find(lifecycles(), kind, settings=ANY)


def test_the_base_is_the_simplest():
    """A failure that any lifecycle shows is shown with the one that is known."""
    assert find(lifecycles(), lambda _: True) is TASK_RUN


def test_nothing_more_is_drawn_than_asked_for():
    """Without more stages and other names there are only those of the base."""
    with pytest.raises(NoSuchExample):
        find(
            lifecycles(max_more=0, rename=False),
            lambda one: not one.by_name.keys() <= TASK_RUN.by_name.keys(),
        )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_by_the_lint(mistake, make_run):
    """Whatever sound table a mistake is made in: the lint has the finding, and no runtime takes the table."""

    @settings(max_examples=max(20, settings().max_examples // 10))
    @given(unsound_lifecycles(mistakes={mistake: MISTAKES[mistake]}))
    def found(unsound: Any) -> None:
        findings = lint(unsound.lifecycle)

        assert (unsound.check, unsound.stage) in {(one.check, one.stage) for one in findings}
        with pytest.raises(LifecycleError, match="is not sound"):
            make_run.runtime(lifecycle=unsound.lifecycle)

    found()


def test_every_check_of_the_lint_has_its_mistake(root):
    """A check that the lint gets is a kind of table to draw, or nobody would know that it finds anything."""
    source = (root / "specs" / "lifecycle_lint.py").read_text(encoding="utf-8")
    checks = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))

    drawn = {
        find(unsound_lifecycles(mistakes={name: mistake}), lambda _: True, settings=ANY).check
        for name, mistake in MISTAKES.items()
    }

    assert drawn == checks
