"""What an engine sees of a run: a context with a real log, and an environment that can be told to stop."""

import asyncio
import itertools
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import attrs

from stagecall.engines.base import EngineOptions, SandboxOptions
from stagecall.engines.mock import MockEngine, MockResultSet, MockSandbox, MockSandboxBuilder, provider
from stagecall.lifecycle.context import TaskContext
from stagecall.lifecycle.leasing import Unleased
from stagecall.lifecycle.log import TaskLog
from stagecall.lifecycle.surroundings import Artifact, Monitor
from stagecall.specs.task import TaskDefinition, TaskInfo

T = TypeVar("T")

NUMBERS = itertools.count()

BOUND = 30.0
"""Seconds after which a test gives up on what it waits for."""


class SilentMonitor:
    """A monitor that keeps nothing."""

    def bind(self, **tags: Any) -> Monitor:
        return self

    def log(self, message: str, **fields: Any) -> None:
        pass

    def count(self, name: str, by: int = 1) -> None:
        pass

    def measure(self, name: str, value: float) -> None:
        pass

    def report_error(self, error: BaseException, **fields: Any) -> str:
        return "incident"


class Environment:
    """An environment that counts how often it was told to stop now."""

    def __init__(self) -> None:
        self.monitor: Monitor = SilentMonitor()
        self.store: Any = None
        self.webhooks: Any = None
        self.worker_group = self.worker_id = "test"
        self.stops = 0

    def temporary_folder(self, prefix: str) -> Path:
        raise AssertionError("the mock engine needs no folder")

    def reserve_folder(self, prefix: str) -> Path:
        raise AssertionError("the mock engine needs no folder")

    def stop_now(self) -> None:
        self.stops += 1


class Owner(Unleased):
    """What a context needs of its run; made inside the loop it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = TaskLog(lambda: folder / f"{next(NUMBERS)}.log")

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        raise AssertionError("the mock engine spawns nothing in the run")

    def late_message(self, text: str) -> None:
        raise AssertionError(f"the log was closed: {text}")

    def run_folder(self) -> Path:
        raise AssertionError("the mock engine needs no folder")

    def stored_artifacts(self) -> list[Artifact]:
        return []

    async def store_artifact(self, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        raise AssertionError("the mock engine stores no artifact")


Prepare = Callable[[MockSandboxBuilder], Awaitable[None]]


@attrs.define(eq=False)
class House:
    """A mock engine and what it needs, all below one folder."""

    folder: Path
    config: Mapping[str, Any] = attrs.field(factory=dict)
    environment: Environment = attrs.field(factory=Environment)
    engine: MockEngine = attrs.field(init=False)
    logs: list[TaskLog] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        options = EngineOptions(self.environment, self.environment.monitor, self.config)
        self.engine = provider.new_engine(options)
        weakref.finalize(self, close_all, self.logs)

    async def builder(self, **payload: Any) -> MockSandboxBuilder:
        """Return a builder for a run of its own."""
        owner = Owner(self.folder)
        self.logs.append(owner.log)
        context = TaskContext(owner, TaskInfo.from_definition(TaskDefinition.parse({"payload": payload})))
        return await self.engine.new_sandbox_builder(
            SandboxOptions(context, payload, self.environment.monitor)
        )

    async def sandbox(self, prepare: Prepare | None = None, **payload: Any) -> MockSandbox:
        """Return a sandbox that was started."""
        builder = await self.builder(**payload)
        if prepare is not None:
            await prepare(builder)
        return await builder.start_sandbox()

    async def result(self, prepare: Prepare | None = None, **payload: Any) -> MockResultSet:
        """Return what a sandbox left behind."""
        sandbox = await self.sandbox(prepare, **payload)
        return await asyncio.wait_for(sandbox.wait_for_result(), BOUND)

    def log(self, run: int = -1) -> str:
        """Close the log of a run, the last by default, and return it."""
        self.logs[run].close()
        with self.logs[run].open() as file:
            return file.read().decode()


def close_all(logs: list[TaskLog]) -> None:
    """Close what logs are open, and their files."""
    for log in logs:
        log.close()
        log.dispose()


async def read_all(stream: Any) -> bytes:
    """Return what comes from a stream until its end."""
    data = b""
    while piece := await asyncio.wait_for(stream.read(), BOUND):
        data += piece
    return data


async def turn_loop(times: int = 5) -> None:
    """Let everything that is ready to run do so."""
    for _ in range(times):
        await asyncio.sleep(0)
