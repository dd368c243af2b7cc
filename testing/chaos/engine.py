"""An engine around another one, whose calls do as they are told, and which counts what is not released."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, BinaryIO, TypeVar

import attrs

from ...engines.base import (
    ByteReader,
    ByteStream,
    Capabilities,
    Display,
    Engine,
    FileHandler,
    ProxyHandler,
    ResultSet,
    Sandbox,
    SandboxBuilder,
    SandboxOptions,
    Schema,
    Shell,
    Volume,
    VolumeBuilder,
    VolumeOptions,
)
from .behaviour import CALMLY, Behaviour
from .scene import WRONG, Scene

T = TypeVar("T")

ENGINE_CALLS = (
    "new_sandbox_builder",
    "start_sandbox",
    "wait_for_result",
    "abort_sandbox",
    "dispose:builder",
    "dispose:sandbox",
    "dispose:result_set",
)
"""What the run asks of an engine, by the names that the calls have in a trace."""

ENGINE_FEATURES = (
    "set_environment_variable",
    "attach_volume",
    "attach_proxy",
    "new_shell",
    "list_displays",
    "open_display",
    "kill",
    "extract_file",
    "extract_folder",
    "archive_sandbox",
)
"""What plugins ask of an engine."""


@attrs.define(eq=False)
class ChaosEngine(Engine):
    """Does what `inner` does, and behaves before as `behaviours` says, by the names of `ENGINE_CALLS` and
    `ENGINE_FEATURES`; what releases something is done first, so that nothing is left behind by a behaviour.

    What a behaviour returns is ignored, but the wrong value takes the place of a builder, sandbox or result set. The
    scene counts these three, and hears of a sandbox that is disposed before its time.
    """

    scene: Scene
    inner: Engine
    behaviours: Mapping[str, Behaviour] = attrs.field(factory=dict)

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        builder = await self.inner.new_sandbox_builder(options)
        self.scene.hold("builder", 1)
        kept = False
        try:
            told = await self.act("new_sandbox_builder")
            kept = told != WRONG
        finally:
            if not kept:
                self.scene.hold("builder", -1)
                await builder.discard()
        return _Builder(self, builder) if kept else told

    async def act(self, call: str) -> Any:
        """Behave as told for a call."""
        return await self.scene.act(self.behaviours.get(call, CALMLY))

    async def before(self, call: str, do: Callable[[], Awaitable[T]]) -> T:
        """Behave as told, and then do it."""
        await self.act(call)
        return await do()

    async def promised(self, call: str, do: Callable[[], Awaitable[T]]) -> T:
        """Behave as told, and then do it, unless the wrong value is to be returned."""
        told = await self.act(call)
        return told if told == WRONG else await do()

    async def release(self, what: str, release: Callable[[], Awaitable[None]]) -> None:
        """Count something released, release it, and behave as told for that."""
        self.scene.hold(what, -1)
        await release()
        await self.act(f"dispose:{what}")

    # What the engine around only passes on

    def payload_schema(self) -> Schema:
        return self.inner.payload_schema()

    def capabilities(self) -> Capabilities:
        return self.inner.capabilities()

    def volume_schema(self) -> Schema:
        return self.inner.volume_schema()

    async def new_volume(self, options: VolumeOptions) -> Volume:
        return await self.inner.new_volume(options)

    async def new_volume_builder(self, options: VolumeOptions) -> VolumeBuilder:
        return await self.inner.new_volume_builder(options)

    def documentation(self) -> str:
        return self.inner.documentation()

    async def dispose(self) -> None:
        await self.inner.dispose()


@attrs.define(eq=False)
class _Builder(SandboxBuilder):
    engine: ChaosEngine
    inner: SandboxBuilder

    async def start_sandbox(self) -> Sandbox:
        sandbox = await self.engine.promised("start_sandbox", self.inner.start_sandbox)
        if not isinstance(sandbox, Sandbox):
            return sandbox
        self.engine.scene.hold("builder", -1)
        self.engine.scene.hold("sandbox", 1)
        return _Sandbox(self.engine, sandbox)

    async def discard(self) -> None:
        await self.engine.release("builder", self.inner.discard)

    async def set_environment_variable(self, name: str, value: str) -> None:
        await self.engine.before(
            "set_environment_variable", lambda: self.inner.set_environment_variable(name, value)
        )

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        await self.engine.before(
            "attach_volume", lambda: self.inner.attach_volume(mountpoint, volume, read_only)
        )

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.engine.before("attach_proxy", lambda: self.inner.attach_proxy(hostname, handler))


@attrs.define(eq=False)
class _Sandbox(Sandbox):
    engine: ChaosEngine
    inner: Sandbox
    result_set: _ResultSet | None = None
    aborted: bool = False

    async def wait_for_result(self) -> ResultSet:
        result_set = await self.engine.promised("wait_for_result", self.inner.wait_for_result)
        if not isinstance(result_set, ResultSet):
            return result_set
        if self.result_set is None:
            self.engine.scene.hold("result_set", 1)
            self.result_set = _ResultSet(self.engine, result_set)
        return self.result_set

    async def abort(self) -> None:
        self.aborted = True
        await self.inner.abort()
        await self.engine.act("abort_sandbox")

    async def dispose(self) -> None:
        if self.result_set is None and not self.aborted:
            self.engine.scene.complaints.append(
                "the sandbox was disposed without a result and without an abort"
            )
        if self.result_set is not None and not self.result_set.disposed:
            self.engine.scene.complaints.append("the sandbox was disposed before its result set")
        await self.engine.release("sandbox", self.inner.dispose)

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        return await self.engine.before("new_shell", lambda: self.inner.new_shell(command, tty))

    async def list_displays(self) -> list[Display]:
        return await self.engine.before("list_displays", self.inner.list_displays)

    async def open_display(self, name: str) -> ByteStream:
        return await self.engine.before("open_display", lambda: self.inner.open_display(name))

    async def kill(self) -> None:
        await self.engine.before("kill", self.inner.kill)


@attrs.define(eq=False)
class _ResultSet(ResultSet):
    engine: ChaosEngine
    inner: ResultSet
    disposed: bool = False

    @property
    def success(self) -> bool:
        return self.inner.success

    async def dispose(self) -> None:
        self.disposed = True
        await self.engine.release("result_set", self.inner.dispose)

    async def extract_file(self, path: str) -> BinaryIO:
        return await self.engine.before("extract_file", lambda: self.inner.extract_file(path))

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        await self.engine.before("extract_folder", lambda: self.inner.extract_folder(path, handler))

    async def archive_sandbox(self) -> ByteReader:
        return await self.engine.before("archive_sandbox", self.inner.archive_sandbox)
