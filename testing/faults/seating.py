"""Three plugins and an engine, one of them faulty, as a fault schedule."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ...plugins.base import CREATION
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ..chaos import AbortAt, Act, Behaviour, FaultSchedule, PluginFaults
from .cases import AFTER, SLOW_SECONDS, FaultCase

TRIGGER = Behaviour(Act.INTERMITTENT)
"""What goes wrong first, where a call comes only if something has."""

ABORT = AbortAt("waiting", 1.0)
"""The same, where it comes only if the run was aborted."""


def faulty_plugin(case: FaultCase) -> str | None:
    """Return the name of the faulty plugin, None where it is the engine."""
    return None if case.seat is None else f"fault-{case.seat}"


def schedule(case: FaultCase, lifecycle: Lifecycle = TASK_RUN, *, guest: str | None = None) -> FaultSchedule:
    """Return what happens in the run of a case; the plugin called `guest` takes the seat of one that is sound.

    >>> [plugin.name for plugin in schedule(FaultCase.parse("started/hang/1")).plugins]
    ['fault-1', 'sound-2', 'sound-3']
    """
    triggers = _triggers(case, lifecycle)
    engine = {**triggers, case.call: case.behaviour} if case.of_engine else triggers
    seats = _seats(case, lifecycle, guest)
    ahead = seats.index(None) if None in seats else 0
    plugins = tuple(plugin for plugin in seats if plugin is not None)
    return FaultSchedule(plugins, engine, aborts=aborts(case), ahead=ahead)


def sound_schedule(
    case: FaultCase, lifecycle: Lifecycle = TASK_RUN, *, guest: str | None = None
) -> FaultSchedule:
    """Return the same without the fault, and without what else went wrong to make the call come."""
    seats = _seats(attrs.evolve(case, fault="slow"), lifecycle, guest)
    ahead = seats.index(None) if None in seats else 0
    return FaultSchedule(tuple(plugin for plugin in seats if plugin is not None), ahead=ahead)


def aborts(case: FaultCase) -> tuple[AbortAt, ...]:
    """Return the aborts without which the call would not come."""
    return (ABORT,) if case.call == "abort_sandbox" else ()


def trigger_of(case: FaultCase, lifecycle: Lifecycle = TASK_RUN) -> str | None:
    """Return the engine's call that fails first, so that the call comes at all; None if nothing needs to."""
    stage = lifecycle.hooks.get(case.call)
    if case.call == "dispose:builder":
        return "start_sandbox"
    return "wait_for_result" if stage is not None and stage.name in lifecycle.exception_stages else None


def _triggers(case: FaultCase, lifecycle: Lifecycle) -> Mapping[str, Behaviour]:
    if case.call == "abort_sandbox":
        return {"wait_for_result": Behaviour(Act.SLOW, 2 * SLOW_SECONDS)}  # else there is nothing to abort
    trigger = trigger_of(case, lifecycle)
    return {} if trigger is None else {trigger: TRIGGER}


def _seats(case: FaultCase, lifecycle: Lifecycle, guest: str | None) -> list[PluginFaults | None]:
    """Return the three plugins in the order of declaration, None in the guest's seat."""
    seats: list[PluginFaults | None] = []
    before: list[str] = []
    for seat in (1, 2, 3):
        after = frozenset(before) if case.place.endswith(AFTER) else frozenset()
        if guest is not None and seat == (1 if case.seat == 2 else 2):
            seats.append(None)
            before.append(guest)
            continue
        plugin = _plugin(case, seat, lifecycle, after)
        seats.append(plugin)
        before.append(plugin.name)
    return seats


def _plugin(case: FaultCase, seat: int, lifecycle: Lifecycle, after: frozenset[str]) -> PluginFaults:
    """Return a plugin that has every hook, and lets others run once in each where it is not faulty."""
    hooks = {hook: Behaviour(Act.YIELDS) for hook in lifecycle.hooks if hook != CREATION}
    if seat != case.seat:
        return PluginFaults(f"sound-{seat}", hooks, after=after)
    if case.call == CREATION:
        return PluginFaults(f"fault-{seat}", hooks, case.behaviour, after)
    return PluginFaults(f"fault-{seat}", {**hooks, case.call: case.behaviour}, after=after)
