"""A fault schedule: what each call of a run does, and when the run is aborted, as a value that replays it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ...lifecycle.errors import ExceptionReason
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...worker.task_run import TaskRun
from .behaviour import CALMLY, Behaviour, Brief
from .engine import ENGINE_CALLS, ENGINE_FEATURES
from .plugin import ChaosPlugin
from .scene import Scene


@attrs.frozen(repr=False)
class PluginFaults(Brief):
    """How one plugin behaves: `hooks` by their names, `creation` while its task plugin is made.

    `after` and `accepts_invalid_payload` are what the plugin declares.
    """

    name: str
    hooks: Mapping[str, Behaviour] = attrs.field(factory=dict)
    creation: Behaviour = CALMLY
    after: frozenset[str] = frozenset()
    accepts_invalid_payload: bool = False

    def plugin(self, scene: Scene, lifecycle: Lifecycle = TASK_RUN) -> ChaosPlugin:
        """Return a plugin that behaves so."""
        return ChaosPlugin(
            scene,
            self.name,
            self.hooks,
            self.creation,
            self.after,
            self.accepts_invalid_payload,
            lifecycle,
        )


@attrs.frozen(repr=False)
class AbortAt(Brief):
    """An abort `seconds` after the run has entered `stage`; where it never does, there is none.

    At once in the stage where a run begins is before anybody waits for it.
    """

    stage: str
    seconds: float = 0.0
    reason: ExceptionReason = attrs.field(default=ExceptionReason.CANCELED, converter=ExceptionReason)


def _engine_calls(_: object, __: object, engine: Mapping[str, Behaviour]) -> None:
    known = (*ENGINE_CALLS, *ENGINE_FEATURES)
    if unknown := sorted(engine.keys() - set(known)):
        raise ValueError(f"an engine has no call {', '.join(unknown)}; calls are {', '.join(known)}")


@attrs.frozen(repr=False)
class FaultSchedule(Brief):
    """What goes wrong in one run, and when; the empty one lets everything go well.

    `plugins` stand in the order of declaration, the first `ahead` of them before the plugins under test. `engine` maps
    names of `ENGINE_CALLS` and `ENGINE_FEATURES` to what these do first, `actions` the names of a lifecycle's own
    actions. `report` is what reporting the resolution does, None if nobody is reported to. Of several `aborts` the
    first that comes decides. With `broken_observer` one of the run's observers fails.

    The `repr` of a schedule is the Python that makes it again.

    Raises: ValueError for an engine call that there is not.

    >>> FaultSchedule(engine={"start_sandbox": Behaviour("hangs")}, aborts=(AbortAt("start", 2.0, "superseded"),))
    FaultSchedule(engine={'start_sandbox': Behaviour(act='hangs')}, aborts=(AbortAt(stage='start', ...),))
    """

    plugins: tuple[PluginFaults, ...] = ()
    engine: Mapping[str, Behaviour] = attrs.field(factory=dict, validator=_engine_calls)
    actions: Mapping[str, Behaviour] = attrs.field(factory=dict)
    report: Behaviour | None = None
    aborts: tuple[AbortAt, ...] = ()
    broken_observer: bool = False
    ahead: int = 0


def own_actions(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return the names of a lifecycle's actions that a run of a task has not, so that an embedder must bring them.

    >>> from stagecall.specs.lifecycle import Stage
    >>> own_actions(TASK_RUN.insert(Stage("scan", action="scan"), after="build"))
    ('scan',)
    """
    actions = dict.fromkeys(stage.action for stage in lifecycle.stages if stage.action is not None)
    return tuple(action for action in actions if not hasattr(TaskRun, action))
