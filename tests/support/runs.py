"""Runs for tests: a real `TaskRun` in surroundings that remember everything, judged by every rule when the test
is over.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from stagecall.engines.base import Engine
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.surroundings import Artifact
from stagecall.plugins.base import Plugin
from stagecall.plugins.manager import PluginManager
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle
from stagecall.specs.rules import judge
from stagecall.specs.task import TaskInfo
from stagecall.specs.trace import Kind, Trace
from stagecall.worker.runtime import Runtime
from stagecall.worker.task_run import TaskRun

from .engine import ScriptedEngine

LIMITS = Limits(
    cancel_grace=5, abandon_grace=1, hook_timeout=100, dispose_budget=20, dispose_total=50, report_budget=10
)
"""Seconds of virtual time; all differ, so that the trace tells which one was it."""


@attrs.define(eq=False)
class RecordingMonitor:
    """A monitor that keeps what it is told; `error` makes it fail instead."""

    logs: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    errors: list[tuple[str, str]] = attrs.field(factory=list)
    error: Exception | None = None

    def bind(self, **tags: Any) -> "RecordingMonitor":
        return self

    def log(self, message: str, **fields: Any) -> None:
        self.logs.append((message, fields))

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def measure(self, name: str, value: float) -> None:
        raise AssertionError("a run measures nothing")

    def report_error(self, error: BaseException, **fields: Any) -> str:
        """Keep the type of the error and where it was; the id counts from 1."""
        if self.error is not None:
            raise self.error
        self.errors.append((type(error).__name__, fields["where"]))
        return f"incident-{len(self.errors)}"


class Store:
    """Keeps artifacts as they are handed in."""

    def __init__(self) -> None:
        self.artifacts: list[Artifact] = []

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        self.artifacts.append(artifact)
        return artifact


@attrs.define(eq=False)
class Surroundings:
    """An environment below one folder."""

    folder: Path
    monitor: RecordingMonitor = attrs.field(factory=RecordingMonitor)
    store: Store = attrs.field(factory=Store)
    worker_group: str = "tests"
    worker_id: str = "1"

    def temporary_folder(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))


@attrs.define(eq=False)
class Bench:
    """Makes runs, and judges all of them at the end of the test."""

    folder: Path
    surroundings: Surroundings = attrs.field(init=False)
    runs: list[TaskRun] = attrs.field(factory=list)
    broken_on_purpose: bool = False

    def __attrs_post_init__(self) -> None:
        self.surroundings = Surroundings(self.folder)

    @property
    def monitor(self) -> RecordingMonitor:
        return self.surroundings.monitor

    def runtime(
        self, *plugins: Plugin, engine: Engine | None = None, limits: Limits = LIMITS, **options: Any
    ) -> Runtime:
        """Return a runtime on a scripted engine."""
        manager = PluginManager.of(plugins)
        return Runtime(engine or ScriptedEngine(), manager, self.surroundings, limits=limits, **options)

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
        """Return a run of these plugins on a scripted engine, or the one that is given."""
        of_run = {name: options.pop(name) for name in ("observers", "report") if name in options}
        engine = engine or ScriptedEngine(success=exit_code == 0)
        runtime = self.runtime(*plugins, engine=engine, limits=limits, lifecycle=lifecycle, **options)
        run = runtime.new_run({"payload": payload or {}}, **of_run)
        self.runs.append(run)
        return run

    def judge(self) -> None:
        """Assert what holds for every run: its trace keeps all rules and survives run.json, and no folder stays."""
        for run in self.runs:
            if run.trace.of(Kind.END) and not self.broken_on_purpose:
                assert_sound(run.trace, run.lifecycle)
        assert self.broken_on_purpose or list(self.folder.iterdir()) == []


def assert_sound(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> None:
    """Assert that a trace keeps all rules, as it is and read back from run.json."""
    document = json.loads(json.dumps(trace.to_document()))
    read = Trace.from_document(document)

    assert list(map(str, judge(trace, lifecycle))) == []
    assert list(map(str, judge(read, lifecycle))) == []
    assert read.to_document() == document


def path(trace: Trace) -> list[str]:
    """The stages that were entered, in order."""
    return [event.stage for event in trace.of(Kind.MOVE)]


def hooks(trace: Trace) -> list[tuple[str, ...]]:
    """Every call as `(plugin or "-", call, outcome)`, in the order they ended."""
    return [(e.plugin or "-", str(e.call), e.get("outcome")) for e in trace.of(Kind.RETURN)]


def outcomes(trace: Trace, call: str) -> dict[str, str]:
    """How a call ended, for each plugin; the run's own under "-"."""
    return {plugin: outcome for plugin, name, outcome in hooks(trace) if name == call}


def errors(trace: Trace) -> list[tuple[str, str, bool]]:
    """Every error as `(severity, message, counted)`."""
    return [(e.get("severity"), e.get("message"), e.get("counted")) for e in trace.of(Kind.ERROR)]
