"""Runs for tests: a real `TaskRun` in surroundings that remember everything, judged by every rule afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from ...engines.base import Engine
from ...lifecycle.limits import Limits
from ...plugins.base import Plugin
from ...plugins.manager import PluginManager
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Kind
from ...worker.runtime import Runtime
from ...worker.task_run import TaskRun
from .engine import ScriptedEngine
from .surroundings import RecordingEnvironment, RecordingMonitor
from .traces import assert_sound

LIMITS = Limits(
    cancel_grace=5, abandon_grace=1, hook_timeout=100, dispose_budget=20, dispose_total=50, report_budget=10
)
"""Seconds of virtual time; all differ, so that a trace tells which of them it was that ran out."""


@attrs.define(eq=False)
class Bench:
    """Makes runs of the plugins and the engine you test, and judges all of them when you are done.

    `folder` is an empty one, such as pytest's `tmp_path`. Calling the bench makes a run; leaving it as a context
    manager, or `judge`, asserts that each run that was begun has ended, keeps every rule and left no folder behind.
    A test that breaks something on purpose sets `broken_on_purpose`.

    >>> import asyncio, tempfile
    >>> from stagecall.testing.doubles import HookRecorder
    >>> with tempfile.TemporaryDirectory() as folder, Bench(Path(folder)) as make_run:
    ...     recorder = HookRecorder()
    ...     asyncio.run(make_run(recorder, exit_code=1).wait()).state
    'failed'
    >>> recorder.calls[-2:]
    [('finished', False), ('dispose',)]
    """

    folder: Path
    environment: RecordingEnvironment = attrs.field(init=False)
    runs: list[TaskRun] = attrs.field(factory=list)
    broken_on_purpose: bool = False

    def __attrs_post_init__(self) -> None:
        self.environment = RecordingEnvironment(self.folder)

    @property
    def monitor(self) -> RecordingMonitor:
        """Where all runs report to."""
        return self.environment.monitor

    def runtime(
        self, *plugins: Plugin, engine: Engine | None = None, limits: Limits = LIMITS, **options: Any
    ) -> Runtime:
        """Return a runtime of these plugins on a scripted engine, or the one that is given.

        `options` are those of `Runtime`; the caller disposes engine and plugins.
        """
        manager = PluginManager.of(plugins)
        return Runtime(engine or ScriptedEngine(), manager, self.environment, limits=limits, **options)

    def __call__(
        self,
        *plugins: Plugin,
        exit_code: int = 0,
        engine: Engine | None = None,
        payload: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        lifecycle: Lifecycle = TASK_RUN,
        **options: Any,
    ) -> TaskRun:
        """Return a run of these plugins, ready to be waited for.

        It runs on a scripted engine whose task ends with `exit_code`, or on the `engine` that is given. `observers` and
        `report` go to the run, other options to its `Runtime`.
        """
        of_run = {name: options.pop(name) for name in ("observers", "report") if name in options}
        engine = engine or ScriptedEngine(success=exit_code == 0)
        runtime = self.runtime(*plugins, engine=engine, limits=limits, lifecycle=lifecycle, **options)
        run = runtime.new_run({"payload": payload or {}}, **of_run)
        self.runs.append(run)
        return run

    def judge(self) -> None:
        """Assert what holds for every run: it has ended, its trace keeps all rules, no folder stays.

        Raises: AssertionError that says what does not hold.
        """
        if self.broken_on_purpose:
            return
        for run in self.runs:
            if run.trace.events and not run.trace.of(Kind.END):
                raise AssertionError(
                    f"run {run.info.task_id} was begun and never ended; it is in {run.stage!r}"
                )
            if run.trace.events:
                assert_sound(run.trace, run.lifecycle)
        if left := sorted(path.name for path in self.folder.iterdir()):
            raise AssertionError(f"folders are left in {self.folder}: {', '.join(left)}")

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.judge()
