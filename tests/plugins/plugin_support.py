"""Runs of a task on an engine that does as a test says, with everything that a plugin can be seen by."""

import asyncio
import inspect
import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import attrs

from stagecall.engines.base import Engine, FileHandler, ResultSet, Sandbox, SandboxBuilder, SandboxOptions
from stagecall.engines.errors import NamingConflictError, ResourceNotFoundError, SandboxAbortedError
from stagecall.lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from stagecall.lifecycle.resolution import Resolution
from stagecall.lifecycle.surroundings import Artifact
from stagecall.plugins.base import Plugin, PluginOptions, PluginProvider, TaskPlugin
from stagecall.specs.schemas import MergedSchema
from stagecall.specs.trace import Kind
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import MemoryStore
from stagecall.worker.task_run import TaskRun

BOUND = 30.0
"""Seconds after which a test gives up on what it waits for."""


@attrs.define(eq=False)
class StubResultSet(ResultSet):
    """Files in memory; `errors` are raised for the paths they are under."""

    files: Mapping[str, bytes] = attrs.field(factory=dict)
    errors: Mapping[str, Exception] = attrs.field(factory=dict)
    passed: bool = True

    @property
    def success(self) -> bool:
        return self.passed

    async def extract_file(self, path: str) -> BinaryIO:
        if path in self.errors:
            raise self.errors[path]
        if path not in self.files:
            raise ResourceNotFoundError("nothing there")
        return io.BytesIO(self.files[path])

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        if path in self.errors:
            raise self.errors[path]
        found = {name: data for name, data in self.files.items() if name.startswith(f"{path}/")}
        if not found:
            raise ResourceNotFoundError("nothing there")
        async with asyncio.TaskGroup() as group:
            for name, data in found.items():
                group.create_task(handle(handler, name.removeprefix(f"{path}/"), data))


async def handle(handler: FileHandler, name: str, data: bytes) -> None:
    with io.BytesIO(data) as file:
        await handler(name, file)


@attrs.define(eq=False)
class StubEngine(Engine):
    """Gives the result set it has; with `endless` the sandbox runs until it is killed or aborted.

    `variables` takes what is set, None if the engine has no environment; `taken` are names that conflict.
    """

    result_set: ResultSet = attrs.field(factory=StubResultSet)
    variables: dict[str, str] | None = attrs.field(factory=dict)
    taken: frozenset[str] = frozenset()
    endless: bool = False
    can_kill: bool = True
    aborted: bool = False

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        return StubBuilder(self)


@attrs.define(eq=False)
class StubBuilder(SandboxBuilder):
    """Takes variables for its engine."""

    engine: StubEngine

    async def set_environment_variable(self, name: str, value: str) -> None:
        if self.engine.variables is None:
            raise FeatureNotSupportedError("no variables here")
        if name in self.engine.taken or name in self.engine.variables:
            raise NamingConflictError(f"{name} is taken")
        if " " in name:
            raise MalformedPayloadError("no spaces, please")
        self.engine.variables[name] = value

    async def start_sandbox(self) -> Sandbox:
        return StubSandbox(self.engine)


@attrs.define(eq=False)
class StubSandbox(Sandbox):
    """Ends at once, or when it is told to."""

    engine: StubEngine
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    killed: bool = False

    async def wait_for_result(self) -> ResultSet:
        if self.engine.endless:
            await self.ended.wait()
        if self.engine.aborted:
            raise SandboxAbortedError("aborted")
        return StubResultSet(passed=False) if self.killed else self.engine.result_set

    async def kill(self) -> None:
        if self.engine.aborted:
            raise SandboxAbortedError("aborted")
        if not self.engine.can_kill:
            await super().kill()
        self.killed = True
        self.ended.set()

    async def abort(self) -> None:
        self.engine.aborted = True
        self.ended.set()


class LogKeeper(Plugin):
    """Keeps the text of the log, which is gone with the run."""

    accepts_invalid_payload = True
    text = ""

    async def new_task_plugin(self, options):
        return LogReader(self, options.context)


class LogReader(TaskPlugin):
    """Reads the log once it is closed."""

    def __init__(self, keeper, context):
        self.keeper = keeper
        self.context = context

    async def finished(self, success):
        await self.exception(None)

    async def exception(self, reason):
        with self.context.extract_log() as log:
            self.keeper.text = log.read().decode(errors="backslashreplace")


@attrs.frozen
class Seen:
    """What a run shows to the outside when it is over."""

    resolution: Resolution
    artifacts: Mapping[str, Artifact]
    log: list[str]
    contents: Mapping[str, Any]
    task_id: str


async def run(
    engine: Engine | str, *plugins: Plugin, payload=None, store=None, abort_in=None, **task: Any
) -> Seen:
    """Take a task to its end, all rules of the lifecycle checked; abort it in a stage if asked to."""
    keeper = LogKeeper()
    store = MemoryStore() if store is None else store
    async with (
        LocalEnvironment(store) as environment,
        await Runtime.create(engine, [*plugins, keeper], environment=environment, strict=True) as runtime,
    ):
        one = runtime.new_run({"payload": payload or {}, **task})
        if abort_in is not None:
            entered = (Kind.MOVE, abort_in)
            one.observe(lambda event: abort(one) if (event.kind, event.stage) == entered else None)
        resolution = await asyncio.wait_for(one.wait(), BOUND)
    kept = getattr(store, "entries", {})
    return Seen(
        resolution,
        {artifact.name: artifact for artifact in one.artifacts},
        keeper.text.splitlines(),
        {name: entry.content for (_, _, name), entry in kept.items()},
        one.info.task_id,
    )


def abort(one: TaskRun) -> None:
    one.abort("canceled")


async def configured(provider: PluginProvider, **config: Any) -> Any:
    """Return the plugin with a configuration that its schema accepts."""
    schema = MergedSchema.merge({"plugin": provider.config_schema()})
    assert schema.violations(config) == ()
    async with LocalEnvironment() as environment:
        options = PluginOptions(environment, StubEngine(), environment.monitor, config)
        made = provider.new_plugin(options)
        return await made if inspect.isawaitable(made) else made
