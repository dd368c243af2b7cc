"""The stand: a plugin under test in surroundings that remember, and what its runs show to the outside."""

from __future__ import annotations

import asyncio
import copy
import inspect
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from ...engines.base import Engine, Schema
from ...lifecycle.errors import ExceptionReason
from ...lifecycle.limits import Limits
from ...plugins.base import Plugin, PluginOptions, PluginProvider
from ...plugins.manager import PluginManager
from ...specs.schemas import MergedSchema
from ...specs.trace import Event, Kind, Outcome, Trace
from ...worker.environment import LocalEnvironment
from ...worker.runtime import Runtime
from ...worker.stores import MemoryStore
from ...worker.task_run import TaskRun, owner_of
from ..doubles.surroundings import RecordingMonitor, RecordingWebHooks
from .engines import KitEngine

Subject: TypeAlias = Plugin | tuple[PluginProvider, Mapping[str, Any]]
"""What is tested: a plugin, or the provider that makes it with a configuration."""

PluginFactory: TypeAlias = Callable[[], Subject]
"""Returns what is tested, made afresh."""

Moment: TypeAlias = Callable[[Event], bool]
"""Tells whether an event of the trace is the one that is waited for."""

DEFECTS = frozenset({"fatal", "non_fatal"})
"""The severities of errors that are the plugin's own fault."""


@attrs.frozen
class View:
    """What a run shows to the outside when it is over.

    `calls` are the plugin's own as `(call, outcome)`; `artifacts` maps names to what is stored, `late` are messages
    that came after the log was closed.
    """

    run: TaskRun
    plugin: str
    state: str
    reason: str | None
    calls: tuple[tuple[str, str], ...]
    log: str
    artifacts: Mapping[str, Any]
    late: tuple[str, ...]

    @property
    def trace(self) -> Trace:
        """The trace of the run."""
        return self.run.trace

    @property
    def defects(self) -> list[str]:
        """What went wrong in the plugin that is its own fault."""
        return defects(self.trace, self.plugin)


@attrs.define(eq=False)
class Stand:
    """A plugin under test, with an environment, a store, a monitor and web hooks of its own; use it in `async with`."""

    plugin_factory: PluginFactory
    task: Mapping[str, Any]
    limits: Limits
    folder: Path = attrs.field(init=False)
    store: MemoryStore = attrs.field(factory=MemoryStore)
    monitor: RecordingMonitor = attrs.field(factory=RecordingMonitor)
    webhooks: RecordingWebHooks = attrs.field(factory=RecordingWebHooks)
    environment: LocalEnvironment = attrs.field(init=False)
    plugin: Plugin = attrs.field(init=False)
    runs: list[TaskRun] = attrs.field(factory=list)
    _made: list[Plugin] = attrs.field(factory=list)
    _left: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)

    async def __aenter__(self) -> Stand:
        async with AsyncExitStack() as left:
            self.folder = Path(left.enter_context(tempfile.TemporaryDirectory(prefix="stagecall-kit-")))
            left.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
            tempfile.tempdir = str(self.folder)
            environment = LocalEnvironment(self.store, self.monitor, self.folder, webhooks=self.webhooks)
            self.environment = await left.enter_async_context(environment)
            left.push_async_callback(self.dispose)
            self.plugin = await self.make()
            self._left = left.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._left.aclose()

    async def make(self) -> Plugin:
        """Return a plugin made afresh. Raises: AssertionError for what is no plugin, or refuses its configuration."""
        subject = self.plugin_factory()
        if isinstance(subject, tuple):
            provider, config = subject
            schema = MergedSchema.merge({"the configuration": provider.config_schema()})
            violations = [str(one) for one in schema.violations(config, root="config")]
            assert not violations, f"plugin_factory gives a configuration that is refused: {violations}"
            made = provider.new_plugin(PluginOptions(self.environment, self.engine(), self.monitor, config))
            subject = await made if inspect.isawaitable(made) else made
        assert isinstance(subject, Plugin), f"plugin_factory must give a Plugin, not {subject!r}"
        self._made.append(subject)
        return subject

    async def dispose(self) -> None:
        """Dispose all plugins that were made, as a worker does after its last run; also when the stand is left."""
        while self._made:
            await PluginManager.of([self._made.pop()]).dispose()

    def engine(self, **task: Any) -> KitEngine:
        """Return an engine with all features, whose tasks do what the kit's `task` says, or what is given."""
        return KitEngine(self.environment, task=task or self.task)

    def runtime(
        self, *neighbours: Plugin, plugin: Plugin | None = None, engine: Engine | None = None
    ) -> Runtime:
        """Return a runtime of the plugin and its neighbours, which are declared behind it."""
        manager = PluginManager.of([plugin or self.plugin, *neighbours])
        return Runtime(engine or self.engine(), manager, self.environment, limits=self.limits)

    async def run(
        self,
        payload: Mapping[str, Any],
        *neighbours: Plugin,
        engine: Engine | None = None,
        plugin: Plugin | None = None,
        abort: tuple[Moment, ExceptionReason] | None = None,
        task_id: str | None = None,
    ) -> View:
        """Take a task to its end and return what was seen; abort it, for a reason, once a moment has come."""
        runtime = self.runtime(*neighbours, plugin=plugin, engine=engine)
        return await self.drive(runtime, payload, abort=abort, task_id=task_id)

    async def drive(
        self,
        runtime: Runtime,
        payload: Mapping[str, Any],
        *,
        abort: tuple[Moment, ExceptionReason] | None = None,
        task_id: str | None = None,
        valid: bool = True,
    ) -> View:
        """Take a task to its end in a runtime. Raises: AssertionError for a payload that breaks the schema."""
        violations = [str(one) for one in runtime.schema.violations(payload)] if valid else []
        assert not violations, f"payloads must satisfy the schema of the plugin: {violations}"
        run = runtime.new_run(
            {"payload": copy.deepcopy(payload), **({} if task_id is None else {"taskId": task_id})}
        )
        log: list[bytes] = []

        def observe(event: Event) -> None:
            if event.kind is Kind.LOG_CLOSED:
                with run.log.open() as file:
                    log.append(file.read())
            if abort is None or not abort[0](event):
                return
            if event.kind is Kind.CALL:  # the call begins first, and is aborted then
                asyncio.get_running_loop().call_soon(run.abort, abort[1])
            else:
                run.abort(abort[1])

        self.runs.append(run)
        run.observe(observe)
        await run.wait()
        return self._view(run, b"".join(log))

    def _view(self, run: TaskRun, log: bytes) -> View:
        name, resolution = self.plugin.name, run.resolution
        assert resolution is not None
        kept = {
            artifact: (one.artifact.storage, one.artifact.content_type, one.content)
            for (task_id, _, artifact), one in self.store.entries.items()
            if task_id == run.info.task_id
        }
        return View(
            run,
            name,
            resolution.state,
            resolution.reason and resolution.reason.value,
            tuple((str(e.call), e.get("outcome")) for e in run.trace.of(Kind.RETURN) if e.plugin == name),
            log.decode(errors="backslashreplace"),
            kept,
            tuple(str(e.get("text")) for e in run.trace.of(Kind.LATE_LOG)),
        )

    def owner(self, runtime: Runtime) -> str:
        """Return the name under which the plugin owns its part of the payload."""
        return owner_of(next(one for one in runtime.manager.members if one.plugin is self.plugin))


def defects(trace: Trace, plugin: str) -> list[str]:
    """Return what went wrong in a plugin that is neither the task author's fault nor nobody's.

    Background tasks count as the plugin's: in the runs of the kit nobody else has any.
    """
    mine = [event for event in trace if event.plugin == plugin or str(event.call).startswith("background:")]
    return [
        *(str(e.get("message")) for e in mine if e.kind is Kind.ERROR and e.get("severity") in DEFECTS),
        *(f"{e.call} was abandoned" for e in mine if e.get("outcome") == Outcome.ABANDONED),
    ]


def schema_of(plugin: Plugin) -> Schema:
    """Return the payload's schema of a plugin, with a message where that is not one."""
    schema = plugin.payload_schema()
    assert isinstance(schema, Mapping), (
        f"payload_schema must be a plain def and return a mapping, not {schema!r}"
    )
    return schema
