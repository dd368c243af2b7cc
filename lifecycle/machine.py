"""The state machine that encodes the allowed order: one shared `transitions.Machine` for each lifecycle.

Theory. The table's edges become the machine's transitions: one trigger for each stage, named for it, with the
explicit list of its sources. A run is not registered with the machine (`model=None`); it is any object with a
`stage` attribute and an `entered(source)` method, handed to the trigger. So a move costs no memory, no await
lies inside it (it is atomic), and an illegal one raises in the caller and changes nothing. `entered` is
called from the machine's own state callback: what subscribes there sees every move before any hook runs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, cast

from transitions import EventData, Machine, MachineError, State

from ..specs.lifecycle import Lifecycle
from .errors import LifecycleError


class Movable(Protocol):
    """What the machine moves: `stage` names the stage it is in."""

    stage: str

    def entered(self, source: str) -> None:
        """Called within the move, when `stage` has changed."""


class IllegalMoveError(LifecycleError):
    """A move that the lifecycle's table does not have; nothing has changed."""


@lru_cache(maxsize=64)
def machine_for(lifecycle: Lifecycle) -> Machine:
    """Return the machine of a lifecycle, made once; its triggers are `machine.events[stage]`.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> sorted(machine_for(TASK_RUN).events["resolved"].transitions)
    ['exception', 'finished']
    """
    states = [State(stage.name, on_enter=[_entered]) for stage in lifecycle.stages]
    machine = Machine(
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
