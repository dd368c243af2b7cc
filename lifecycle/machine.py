"""The state machine that encodes the allowed order: one shared `transitions.Machine` for each lifecycle.

Theory. The table's edges become the machine's transitions: one trigger for each stage, named for it, with the
explicit list of its sources. A run is not registered with the machine (`model=None`); it is any object with a
`stage` attribute and an `entered(source)` method, handed to the trigger. So a move costs no memory, no await
lies inside it (it is atomic), and an illegal one raises in the caller and changes nothing. `entered` is
called from the machine's own state callback: what subscribes there sees every move before any hook runs.

Most of what a trigger costs are the places where transitions would call something: nine moves a run, a dozen places
each. Where nothing is subscribed but to the entering of states, `_Trigger` goes there directly; else it leaves the
move to transitions. Nobody can tell the difference but by the clock.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any, Protocol, cast

from transitions import Event, EventData, Machine, MachineError, State, Transition

from ..specs.lifecycle import Lifecycle
from .errors import LifecycleError


class Movable(Protocol):
    """What the machine moves: `stage` names the stage it is in."""

    stage: str

    def entered(self, source: str) -> None:
        """Called within the move, when `stage` has changed."""


class IllegalMoveError(LifecycleError):
    """A move that the lifecycle's table does not have; nothing has changed."""


class _Trigger(Event):
    """The trigger of a stage: the short way where nothing lies on the long one."""

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        machine = self.machine
        source = machine.get_model_state(model)
        edges = self.transitions.get(source.name)
        if not edges or not _is_bare(machine, source, edges[0]):
            return bool(super().trigger(model, *args, **kwargs))
        edge = edges[0]
        destination = machine.get_state(cast(str, edge.dest))
        event_data = EventData(destination, self, machine, model, args, kwargs)
        event_data.transition = edge
        setattr(model, machine.model_attribute, destination.value)
        machine.callbacks(destination.on_enter, event_data)
        return True


class _Machine(Machine):
    event_cls = _Trigger


def _is_bare(machine: Machine, source: State, edge: Transition) -> bool:
    """Whether a move along `edge` would call nothing, and log nothing, before the state that it enters is told."""
    return not (
        edge.dest is None
        or edge.conditions
        or edge.prepare
        or edge.before
        or edge.after
        or source.on_exit
        or machine.get_state(edge.dest).final
        or machine.prepare_event
        or machine.before_state_change
        or machine.after_state_change
        or machine.finalize_event
        or machine.on_exception
        or machine.has_queue
        or _LOGGER.isEnabledFor(logging.INFO)
    )


_LOGGER = logging.getLogger("transitions.core")


@lru_cache(maxsize=64)
def machine_for(lifecycle: Lifecycle) -> Machine:
    """Return the machine of a lifecycle, made once; its triggers are `machine.events[stage]`.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> sorted(machine_for(TASK_RUN).events["resolved"].transitions)
    ['exception', 'finished']
    """
    states = [State(stage.name, on_enter=[_entered]) for stage in lifecycle.stages]
    machine = _Machine(
        model=None,
        states=states,
        initial=lifecycle.initial.name,
        auto_transitions=False,
        send_event=True,
        model_attribute="stage",
    )
    for stage in lifecycle.stages:
        sources = lifecycle.sources(stage.name)
        if sources:
            machine.add_transition(stage.name, list(sources), stage.name)
    return machine


def move(run: Movable, lifecycle: Lifecycle, destination: str) -> None:
    """Move a run to the stage `destination`. Raises: IllegalMoveError, and the run is where it was."""
    try:
        trigger = machine_for(lifecycle).events[destination].trigger
    except KeyError:
        raise _illegal(run, lifecycle, destination) from None
    try:
        trigger(run)
    except (
        MachineError,
        ValueError,
    ) as error:  # ValueError: the run is in a stage that the table does not have
        raise _illegal(run, lifecycle, destination) from error


def _illegal(run: Movable, lifecycle: Lifecycle, destination: str) -> IllegalMoveError:
    allowed = [target for source, target in lifecycle.edges() if source == run.stage]
    return IllegalMoveError(
        f"no move from {run.stage!r} to {destination!r} in lifecycle {lifecycle.name!r}; "
        f"allowed: {', '.join(allowed) or 'nothing'}"
    )


def _entered(event: EventData) -> None:
    run = cast(Movable, event.model)
    assert event.transition is not None
    run.entered(event.transition.source)
