"""Schedules hold what they were asked for, and every fault there is comes up."""

import pytest
from hypothesis import Phase, find, given, settings

from stagecall.lifecycle.limits import Limits
from stagecall.specs.lifecycle import TASK_RUN, Stage
from stagecall.testing.chaos import CALM, ENGINE_CALLS, ENGINE_FEATURES, WILD, Act, FaultSchedule
from stagecall.testing.strategies import aborts, behaviours, fault_schedules, limits

ANY = settings(phases=[Phase.generate], max_examples=5000, report_multiple_bugs=False)
OWN = TASK_RUN.insert(Stage("scan", action="scan", hook="scanned"), after="build")


@pytest.mark.parametrize("act", Act)
def test_every_act_is_drawn(act):
    """Nothing that a hook may do is left out."""
    found = find(behaviours(), lambda one: one.act is act, settings=ANY)

    assert found.act is act
    assert not found.threaded


def test_acts_are_calm_or_wild():
    """The two lists have all, and nothing in common."""
    assert sorted((*CALM, *WILD)) == sorted(Act)


@given(behaviours(["hangs", Act.FATAL]))
def test_only_the_acts_that_were_asked_for(behaviour):
    """A list of acts leaves no other in."""
    assert behaviour.act in (Act.HANGS, Act.FATAL)


def test_misspelt_act_is_refused():
    """An act that there is not would never be drawn."""
    with pytest.raises(ValueError, match="'explodes' is not a valid Act"):
        behaviours(["explodes"])


def test_threads_are_drawn_where_asked_for():
    """Plain `def` hooks, whose timing is the host's, come only on demand."""
    assert find(behaviours(threaded=True), lambda one: one.threaded, settings=ANY)
    assert find(
        fault_schedules(threaded=True),
        lambda one: any(b.threaded for plugin in one.plugins for b in plugin.hooks.values()),
        settings=ANY,
    )


@given(fault_schedules(OWN, names=("a", "b"), beside=("own",), max_aborts=2))
def test_schedule_keeps_to_its_bounds(schedule):
    """Plugins, hooks, engine calls, actions, aborts and places are those of the lifecycle and of the question."""
    names = [plugin.name for plugin in schedule.plugins]

    assert len(set(names)) == len(names)
    assert set(names) <= {"a", "b"}
    assert 0 <= schedule.ahead <= len(names)
    assert len(schedule.aborts) <= 2
    assert schedule.engine.keys() <= set(ENGINE_CALLS + ENGINE_FEATURES)
    assert schedule.actions.keys() == {"scan"}
    for plugin in schedule.plugins:
        assert plugin.hooks.keys() <= OWN.hooks.keys() - {"new_task_plugin"}
        assert plugin.after <= {"a", "b", "own", "absent"}
        assert not any(behaviour.threaded for behaviour in plugin.hooks.values())


@given(fault_schedules(calls=["kill"]))
def test_only_the_engine_calls_that_were_asked_for(schedule):
    """A list of calls leaves no other in."""
    assert schedule.engine.keys() <= {"kill"}


@pytest.mark.parametrize(
    "kind",
    [
        lambda one: len(one.plugins) == 3,
        lambda one: any("own" in plugin.after for plugin in one.plugins),
        lambda one: any(plugin.after & {"red", "green", "blue"} for plugin in one.plugins),
        lambda one: any("scanned" in plugin.hooks for plugin in one.plugins),
        lambda one: any(plugin.accepts_invalid_payload for plugin in one.plugins),
        lambda one: len(one.engine) == 2,
        lambda one: one.report is not None,
        lambda one: one.broken_observer,
        lambda one: 0 < one.ahead < len(one.plugins),
        lambda one: len(one.aborts) == 1 and one.aborts[0].seconds > 0,
    ],
)
def test_every_part_of_a_schedule_is_drawn(kind):
    """Nothing that a schedule may say is left out."""
    assert kind(find(fault_schedules(OWN, beside=["own"]), kind, settings=ANY))


def test_the_simplest_schedule_lets_all_go_well():
    """A failure that needs no fault is shown without any."""
    assert find(fault_schedules(), lambda _: True) == FaultSchedule()


@pytest.mark.parametrize("stage", [stage.name for stage in OWN.stages if stage.next is not None])
def test_aborts_are_drawn_in_every_stage_but_the_last(stage):
    """There is no time that an abort does not come at."""
    assert find(aborts(OWN), lambda one: one.stage == stage, settings=ANY)


@pytest.mark.parametrize(
    "name", ["cancel_grace", "abandon_grace", "hook_timeout", "dispose_budget", "dispose_total"]
)
def test_each_limit_is_sometimes_nothing(name):
    """Who has no time at all is treated by the rules, too; the simplest is to have some."""
    assert find(limits(), lambda one: getattr(one, name) == 0, settings=ANY)
    assert find(limits(), lambda one: True) == Limits(
        cancel_grace=5,
        abandon_grace=1,
        hook_timeout=100,
        dispose_budget=20,
        dispose_total=50,
        report_budget=10,
    )
