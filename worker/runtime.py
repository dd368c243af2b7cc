"""Engine and plugins as a reusable pair that creates runs, and the two functions that wrap it for one task."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..engines.base import Engine, EngineOptions
from ..engines.registry import ENGINES
from ..lifecycle.errors import ConfigurationError, LifecycleError
from ..lifecycle.limits import Limits
from ..lifecycle.log import Masks
from ..lifecycle.recorder import Observer
from ..lifecycle.resolution import Resolution
from ..lifecycle.surroundings import Environment
from ..plugins.base import Plugin, PluginOptions, TaskPlugin
from ..plugins.manager import PluginManager
from ..specs.lifecycle import TASK_RUN, Lifecycle
from ..specs.lifecycle_lint import lint
from ..specs.schemas import MergedSchema
from ..specs.task import TaskDefinition, TaskInfo
from .environment import LocalEnvironment
from .task_run import ENGINE, Reporter, TaskRun, owner_of

if TYPE_CHECKING:
    from ..lifecycle.journal import Journal

Plugins = Mapping[str, Mapping[str, Any] | None] | Iterable[Plugin]
"""Plugins by name with their configuration, or plugin objects in order."""

Action = Callable[[TaskRun], Awaitable[None]]
"""What a stage of an embedder's own lifecycle does: `async (run) -> None`."""

DEFAULT_PLUGINS: Mapping[str, Mapping[str, Any]] = {
    "success": {},
    "env": {},
    "artifacts": {},
    "tasklog": {},
    "maxruntime": {"perTaskLimit": "allow"},
    "logprefix": {},
}
"""What is enabled where nothing else is said."""


class Runtime:
    """An engine and a set of plugins, validated together once, that create runs.

    `schema` is the merged schema of payloads. Use it as a context manager, or dispose it after the last run.

    >>> async def main():
    ...     async with await Runtime.create(engine="mock", plugins={"success": {}}) as runtime:
    ...         return await runtime.new_run({"payload": {"function": "true"}}).wait()
    >>> asyncio.run(main()).state
    'completed'
    """

    def __init__(
        self,
        engine: Engine,
        manager: PluginManager,
        environment: Environment,
        *,
        limits: Limits | None = None,
        lifecycle: Lifecycle = TASK_RUN,
        actions: Mapping[str, Action] | None = None,
        strict: bool = False,
        journal: Journal | None = None,
    ) -> None:
        """Put together what exists already; the caller disposes engine, manager and environment, unlike after `create`.

        Raises: LifecycleError for an unsound lifecycle or an unknown action; SchemaConflictError naming both owners
        of a property; ConfigurationError for a journal where the environment cannot name a folder before it is made.
        """
        self.engine = engine
        self.manager = manager
        self.environment = environment
        self.limits = limits or Limits()
        self.lifecycle = lifecycle
        self.actions = dict(actions or {})
        self.strict = strict
        self.journal = journal
        self.non_fatal_errors = 0
        self._masked: tuple[tuple[bytes, ...], Masks | None] = ((), None)
        self.new_masks()  # what cannot be masked is said here, not by the first run
        _check_lifecycle(lifecycle, self.actions)
        if journal is not None and not hasattr(environment, "reserve_folder"):
            raise ConfigurationError(
                f"runs with a journal need an environment with reserve_folder, {environment!r} has none"
            )
        schemas = {ENGINE: engine.payload_schema()}
        schemas |= {owner_of(member): member.plugin.payload_schema() for member in manager.members}
        self.schema = MergedSchema.merge(schemas)
        self.described_members = [{"name": one.name, "after": sorted(one.after)} for one in manager.members]
        self._created = AsyncExitStack()
        self._hooks: WeakKeyDictionary[type[TaskPlugin], tuple[frozenset[str], Mapping[str, Any]]]
        self._hooks = WeakKeyDictionary()  # a plugin may make a class for each run

    @classmethod
    async def create(
        cls,
        engine: str | Engine = "process",
        plugins: Plugins | None = None,
        *,
        engine_config: Mapping[str, Any] | None = None,
        environment: Environment | None = None,
        limits: Limits | None = None,
        lifecycle: Lifecycle = TASK_RUN,
        actions: Mapping[str, Action] | None = None,
        strict: bool = False,
        journal: Journal | Path | str | None = None,
    ) -> Runtime:
        """Create engine and plugins by name and put them together; `dispose` disposes what was created here.

        `journal` is an open one, or the path of one that is opened here, and makes the runs survive the death of the
        process: `stagecall.recover` ends them then.
        Raises: ConfigurationError for a name or configuration that cannot be used, JournalError, and what the
        constructor raises.
        """
        limits = limits or Limits()
        async with AsyncExitStack() as created:
            if isinstance(journal, (str, Path)):
                from ..lifecycle.journal import Journal as Opened

                opening = Opened.open(journal, patience=limits.journal_budget)
                journal = await created.enter_async_context(await opening)
            if environment is None:
                environment = await created.enter_async_context(LocalEnvironment(journal=journal))
            built = await _engine(engine, engine_config or {}, environment, journal)
            if isinstance(engine, str):
                created.push_async_callback(built.dispose)
            manager = await _manager(DEFAULT_PLUGINS if plugins is None else plugins, built, environment)
            created.push_async_callback(manager.dispose)
            runtime = cls(
                built,
                manager,
                environment,
                limits=limits,
                lifecycle=lifecycle,
                actions=actions,
                strict=strict,
                journal=journal,
            )
            runtime._created = created.pop_all()
        return runtime

    def new_run(
        self,
        task: TaskDefinition | Mapping[str, Any],
        *,
        run_id: int | None = None,
        observers: Sequence[Observer] = (),
        report: Reporter | None = None,
        home: Path | None = None,
    ) -> TaskRun:
        """Return a run of a task, which acquires nothing until it is waited for.

        `run_id` counts the attempts, by default as the definition says, else 0; `observers` see every event from
        the first on; `report` is told the resolution in `resolved`. `home` is a folder in which recovery keeps log and
        trace, should this process die. Raises: TaskDefinitionError.
        """
        definition = task if isinstance(task, TaskDefinition) else TaskDefinition.parse(task)
        info = TaskInfo.from_definition(definition, run_id=run_id)
        journal = None
        if self.journal is not None:
            journal = self.journal.new_run(info, home=home, reports=report is not None)
        return TaskRun(self, info, observers=tuple(observers), report=report, journal=journal)

    def new_masks(self) -> Masks | None:
        """Return what the environment wants no log of a new run to show, None if that is nothing.

        Raises: ConfigurationError for a secret that cannot be masked.
        """
        secrets = tuple(getattr(self.environment, "secrets", ()))
        if secrets != self._masked[0]:
            try:
                self._masked = secrets, Masks().adding(secrets) if secrets else None
            except ValueError as error:
                raise ConfigurationError(f"the secrets of the environment: {error}") from error
        return self._masked[1]

    def hooks_of(self, cls: type[TaskPlugin]) -> tuple[frozenset[str], Mapping[str, Any]]:
        """Return which hooks a class overrides, and the same for the trace; found out once for all runs."""
        if (known := self._hooks.get(cls)) is None:
            hooks = cls.hooks_in(self.lifecycle)
            known = self._hooks[cls] = hooks, {"hooks": sorted(hooks)}
        return known

    def count_errors(self, run: TaskRun) -> None:
        """Count the non-fatal errors of a run that has ended."""
        if run.non_fatal_errors:
            self.non_fatal_errors += run.non_fatal_errors
            self.environment.monitor.count("non-fatal-errors", run.non_fatal_errors)

    async def dispose(self) -> None:
        """Dispose what `create` created, the last first, each whatever became of the others."""
        await self._created.aclose()

    async def __aenter__(self) -> Runtime:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.dispose()


async def run_task(
    task: TaskDefinition | Mapping[str, Any],
    *,
    engine: str | Engine = "process",
    plugins: Plugins | None = None,
    engine_config: Mapping[str, Any] | None = None,
    environment: Environment | None = None,
    limits: Limits | None = None,
    journal: Journal | Path | str | None = None,
) -> Resolution:
    """Take one task through its whole lifecycle and return what it became.

    `journal` is as for `Runtime.create`; without one nothing survives the death of the process.
    Raises: TaskDefinitionError, ConfigurationError; a failed task is no error.

    >>> asyncio.run(run_task({"payload": {"function": "false"}}, engine="mock", plugins={"success": {}})).state
    'failed'
    """
    runtime = await Runtime.create(
        engine,
        plugins,
        engine_config=engine_config,
        environment=environment,
        limits=limits,
        journal=journal,
    )
    async with runtime:
        return await runtime.new_run(task).wait()


def run_task_sync(task: TaskDefinition | Mapping[str, Any], **options: Any) -> Resolution:
    """Do what `run_task` does, from a program without an event loop. Raises: LifecycleError inside one.

    >>> run_task_sync({"payload": {"function": "true"}}, engine="mock", plugins={"success": {}}).success
    True
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise LifecycleError(
            "run_task_sync would block the event loop it is called in; await run_task instead"
        )
    return asyncio.run(run_task(task, **options))


async def _engine(
    engine: str | Engine, config: Mapping[str, Any], environment: Environment, journal: Journal | None
) -> Engine:
    if isinstance(engine, Engine):
        if config:
            raise ConfigurationError("engine_config is for engines given by name; this one exists already")
        return engine
    provider = ENGINES[engine]
    violations = MergedSchema.merge({f"engine {engine}": provider.config_schema()}).violations(
        config, root=f"engines.{engine}"
    )
    if violations:
        raise ConfigurationError("; ".join(map(str, violations)))
    monitor = environment.monitor.bind(engine=engine)
    made = provider.new_engine(EngineOptions(environment, monitor, config, journal))
    return await made if inspect.isawaitable(made) else made


async def _manager(plugins: Plugins, engine: Engine, environment: Environment) -> PluginManager:
    if not isinstance(plugins, Mapping):
        return PluginManager.of(plugins)
    return await PluginManager.create(PluginOptions(environment, engine, environment.monitor, plugins))


def _check_lifecycle(lifecycle: Lifecycle, actions: Mapping[str, Action]) -> None:
    findings = [str(finding) for finding in lint(lifecycle)]
    for stage in lifecycle.stages:
        if stage.action is not None and stage.action not in actions and not hasattr(TaskRun, stage.action):
            findings.append(f"stage {stage.name!r}: no action is called {stage.action!r}; pass it in actions")
        for argument in stage.arguments:
            if stage.action != "prepare" and not hasattr(TaskRun, argument):
                findings.append(f"stage {stage.name!r}: a run has no {argument!r} to give to {stage.hook!r}")
    if findings:
        raise LifecycleError(f"lifecycle {lifecycle.name!r} is not sound: " + "; ".join(findings))
