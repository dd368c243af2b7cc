"""What an engine sees of the world while it is checked: a real environment, and runs with a real log and folder."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from unittest import mock

import attrs

from ...engines.base import (
    Engine,
    EngineOptions,
    ResultSet,
    Sandbox,
    SandboxBuilder,
    SandboxOptions,
    Volume,
    VolumeOptions,
)
from ...engines.errors import SandboxTerminatedError
from ...lifecycle.context import TaskContext
from ...lifecycle.folders import remove_folder
from ...lifecycle.leaks import audit
from ...lifecycle.leasing import Unleased
from ...lifecycle.log import TaskLog
from ...lifecycle.surroundings import Artifact
from ...specs.schemas import MergedSchema
from ...specs.task import TaskDefinition, TaskInfo
from ...worker.environment import LocalEnvironment

if TYPE_CHECKING:
    from .recipes import EngineRecipes

T = TypeVar("T")

Prepare = Callable[[SandboxBuilder], Awaitable[object]]
"""What is done to a sandbox builder before its sandbox is started."""

MARK = "[stagecall"
"""What a line of the log begins with that is not the task's own."""

CLOSING_SECONDS = 10.0
"""How long to wait for the end of what has failed already."""


class _Owner(Unleased):
    """The run that a context belongs to."""

    def __init__(self, environment: LocalEnvironment, info: TaskInfo) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = TaskLog(lambda: self.run_folder() / "task.log")
        self.folder: Path | None = None
        self.work: list[asyncio.Task[Any]] = []
        self._stored: dict[str, Artifact] = {}
        self._environment = environment
        self._info = info

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = self.loop.create_task(coro, name=name)
        self.work.append(task)
        return task

    def late_message(self, text: str) -> None:
        self._environment.monitor.log("message after the task log was closed", text=text)

    def run_folder(self) -> Path:
        if self.folder is None:
            self.folder = self._environment.temporary_folder("run-")
        return self.folder

    def stored_artifacts(self) -> list[Artifact]:
        return list(self._stored.values())

    async def store_artifact(self, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        stored = await self._environment.store.put(self._info, artifact, content)
        self._stored[stored.name] = stored
        return stored


@attrs.define(eq=False)
class SandboxRun:
    """One run: its context and builder, and from `start` on its sandbox."""

    context: TaskContext
    builder: SandboxBuilder
    _owner: _Owner
    _sandbox: Sandbox | None = attrs.field(default=None, init=False)
    _over: bool = attrs.field(default=False, init=False)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox, once it was started."""
        assert self._sandbox is not None
        return self._sandbox

    async def start(self) -> SandboxRun:
        """Start the sandbox; return the run."""
        self._sandbox = await self.builder.start_sandbox()
        return self

    async def discard(self) -> None:
        """Discard the builder instead."""
        self._over = True
        await self.builder.discard()

    async def wait(self) -> ResultSet:
        """Return the result set."""
        return await self.sandbox.wait_for_result()

    def log(self) -> str:
        """Return what the task log holds so far."""
        if not self._owner.log.size:
            return ""
        assert self._owner.folder is not None
        return (self._owner.folder / "task.log").read_text(errors="backslashreplace")

    def output(self) -> str:
        """Return what the log holds so far of the task itself, without the library's and the engine's messages."""
        return "".join(line for line in self.log().splitlines(keepends=True) if not line.startswith(MARK))

    async def logged(self, text: str) -> None:
        """Wait until the log holds a text."""
        async with contextlib.aclosing(self.context.new_log_reader()) as reader:
            seen = b""
            async for piece in reader:
                seen += piece
                if text.encode() in seen:
                    return
        raise AssertionError(f"{text!r} never came to the task log")

    async def end(self) -> None:
        """End the run as the lifecycle does: abort what runs, close the log, dispose result set and sandbox."""
        if self._over:
            return
        self._over = True
        result = None
        if self._sandbox is None:
            await self.builder.discard()
        else:
            with contextlib.suppress(SandboxTerminatedError):
                await self._sandbox.abort()
            with contextlib.suppress(Exception):  # who waited for it has seen the error
                result = await self._sandbox.wait_for_result()
        self._owner.log.close()
        if result is not None:
            await result.dispose()
        if self._sandbox is not None:
            await self._sandbox.dispose()
        await asyncio.gather(*self._owner.work, return_exceptions=True)

    async def forget(self) -> None:
        """Abort and dispose the sandbox without ever asking for its result, and let go of it."""
        self._over = True
        await self.sandbox.abort()
        self._owner.log.close()
        await self.sandbox.dispose()
        self._sandbox = None

    async def leave(self) -> None:
        """Remove what the run itself holds, as it does in dispose: its log and its folder."""
        self._owner.log.close()
        self._owner.log.dispose()
        if self._owner.folder is not None:
            await remove_folder(self._owner.folder)


@attrs.define(eq=False)
class Rig:
    """An engine and what a check made with it; all is ended with the rig, the last first."""

    environment: LocalEnvironment
    engine: Engine
    schema: MergedSchema
    runs: list[SandboxRun] = attrs.field(factory=list)
    volumes: list[Volume] = attrs.field(factory=list)

    @classmethod
    async def make(cls, recipes: EngineRecipes, environment: LocalEnvironment) -> Rig:
        """Return a rig with a fresh engine."""
        options = EngineOptions(environment, environment.monitor, recipes.config)
        engine = recipes.engine_factory(options)
        if inspect.isawaitable(engine):
            engine = await engine
        return cls(environment, engine, MergedSchema.merge({"engine": engine.payload_schema()}))

    async def build(self, payload: Mapping[str, Any]) -> SandboxRun:
        """Return a run whose sandbox is not started yet.

        Raises: ValueError if the payload breaks the engine's own schema: then the recipe is wrong.
        """
        if violations := self.schema.violations(payload):
            raise ValueError(
                f"a recipe's payload breaks the engine's schema: {'; '.join(map(str, violations))}"
            )
        info = TaskInfo.from_definition(TaskDefinition.parse({"payload": dict(payload)}))
        owner = _Owner(self.environment, info)
        context = TaskContext(owner, info)
        options = SandboxOptions(context, payload, self.environment.monitor)
        self.runs.append(SandboxRun(context, await self.engine.new_sandbox_builder(options), owner))
        return self.runs[-1]

    async def start(self, payload: Mapping[str, Any], prepare: Prepare | None = None) -> SandboxRun:
        """Return a run whose sandbox was started, after `prepare` was given its builder."""
        run = await self.build(payload)
        if prepare is not None:
            await prepare(run.builder)
        return await run.start()

    async def finish(
        self, payload: Mapping[str, Any], prepare: Prepare | None = None
    ) -> tuple[ResultSet, SandboxRun]:
        """Return the result set of a task, and its run."""
        run = await self.start(payload, prepare)
        return await run.wait(), run

    async def new_volume(self) -> Volume:
        """Return an empty volume, disposed with the rig."""
        return self.keep(await self.engine.new_volume(VolumeOptions()))

    def keep(self, volume: Volume) -> Volume:
        """Have a volume disposed with the rig; return it."""
        self.volumes.append(volume)
        return volume

    async def close(self) -> None:
        """End runs, volumes and engine, as the lifecycle does; what fails keeps nothing else from being ended."""
        async with contextlib.AsyncExitStack() as stack:
            for run in self.runs:
                stack.push_async_callback(run.leave)
            stack.push_async_callback(self.engine.dispose)
            for volume in self.volumes:
                stack.push_async_callback(volume.dispose)
            for run in self.runs:
                stack.push_async_callback(run.end)

    def room(self, sandboxes: int) -> bool:
        """Return whether the engine runs so many sandboxes at once."""
        most = self.engine.capabilities().max_concurrency
        return most is None or most >= sandboxes


@contextlib.asynccontextmanager
async def rig_of(recipes: EngineRecipes) -> AsyncIterator[Rig]:
    """A rig with a fresh engine; temporary files go to a folder of its own, and nothing may be left in the end.

    Raises: AssertionError if the engine hangs, LeakError if it leaves something behind.
    """
    top = Path(tempfile.mkdtemp(prefix="stagecall-conformance-"))
    try:
        with mock.patch.object(tempfile, "tempdir", str(top)):
            async with LocalEnvironment(root=top) as environment:
                environment.temporary_folder(
                    "first-"
                ).rmdir()  # its own folder is there before the audit begins
                async with audit([top], settle=recipes.settling), _made(recipes, environment) as rig:
                    yield rig
    finally:
        await remove_folder(top)


@contextlib.asynccontextmanager
async def _made(recipes: EngineRecipes, environment: LocalEnvironment) -> AsyncIterator[Rig]:
    rig = await Rig.make(recipes, environment)
    try:
        async with _bounded(recipes.bound, "a check"):
            yield rig
    except BaseException:
        with contextlib.suppress(Exception):  # the first error counts
            async with _bounded(min(recipes.bound, CLOSING_SECONDS), "ending what failed"):
                await rig.close()
        raise
    async with _bounded(recipes.bound, "ending a sandbox or the engine"):
        await rig.close()


@contextlib.asynccontextmanager
async def _bounded(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise AssertionError(f"the engine hangs: {what} took longer than {seconds:g} s") from error
