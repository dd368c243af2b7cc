"""Plays a fault schedule from beginning to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engines.base import Engine
from ...lifecycle.limits import Limits
from ...plugins.base import Plugin
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...worker.runtime import Action
from ...worker.task_run import TaskRun
from ..doubles.runs import LIMITS
from .schedule import FaultSchedule
from .trial import Trial, mock_engine
from .verdict import assert_kept


def play(
    schedule: FaultSchedule,
    *plugins: Plugin,
    engine: Engine | None = None,
    payload: Mapping[str, Any] | None = None,
    limits: Limits = LIMITS,
    lifecycle: Lifecycle = TASK_RUN,
    actions: Mapping[str, Action] | None = None,
) -> TaskRun:
    """Run a task with these plugins on a virtual clock while things go wrong as the schedule says; return the run.

    `engine` is by default a mock engine, and does its work on the loop, as the clock jumps when nothing is ready.
    `limits` are seconds of virtual time. `actions` that are missing do as the schedule says, else nothing. Plugins and
    engine are not disposed.

    Raises: AssertionError for every promise that was not kept; see `assert_kept`.

    >>> from stagecall.testing.chaos import AbortAt, Behaviour, PluginFaults
    >>> faults = PluginFaults("cache", {"started": Behaviour("hangs"), "dispose": Behaviour("fatal")})
    >>> run = play(FaultSchedule((faults,), aborts=(AbortAt("started", 10.0),)))
    >>> run.resolution.reason.value
    'canceled'
    """
    trial = Trial(
        schedule,
        lambda environment: plugins,
        mock_engine if engine is None else lambda environment: engine,
        payload=payload,
        limits=limits,
        lifecycle=lifecycle,
        actions=actions,
    )
    with trial:
        trial.wait()
        trial.finish()
        assert_kept(trial)
    return trial.run
