"""An engine around an engine that changes nothing: a mutant is one of these layers that does something else.

A layer hands every call on to what it lies around. `layered(engine, SomeSandbox)` is an engine whose sandboxes are in
that layer, and whose other objects are in the plain ones.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import attrs

from ....engines.base import (
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

L = TypeVar("L", bound="Layer")


@attrs.define(eq=False)
class Layers:
    """What the layers of one engine share: their classes, and `notes`, where a mutant keeps what it remembers."""

    classes: tuple[type[Any], ...] = ()
    notes: dict[Any, Any] = attrs.field(factory=dict)

    def around(self, plain: type[L], inner: Any, **more: Any) -> L:
        """Return the layer around something: of the mutant's class for this kind of layer, or the plain one."""
        chosen = next((cls for cls in self.classes if issubclass(cls, plain)), plain)
        layer: L = chosen(inner, self)
        for name, value in more.items():
            setattr(layer, name, value)
        return layer


class Layer:
    """Around `inner`; `beside` are layers of other kinds that a mutant needs, too."""

    beside: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, inner: Any, layers: Layers) -> None:
        self.inner = inner
        self.layers = layers
        self.notes = layers.notes


class ShellLayer(Layer, Shell):
    """Around a shell that was started with `command`."""

    command: list[str]

    def __init__(self, inner: Shell, layers: Layers) -> None:
        super().__init__(inner, layers)
        self.stdin, self.stdout, self.stderr = inner.stdin, inner.stdout, inner.stderr

    async def set_size(self, columns: int, rows: int) -> None:
        await self.inner.set_size(columns, rows)

    async def abort(self) -> None:
        await self.inner.abort()

    async def wait(self) -> bool:
        success: bool = await self.inner.wait()
        return success


class ResultLayer(Layer, ResultSet):
    """Around a result set."""

    @property
    def success(self) -> bool:
        success: bool = self.inner.success
        return success

    async def extract_file(self, path: str) -> Any:
        return await self.inner.extract_file(path)

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        await self.inner.extract_folder(path, handler)

    async def archive_sandbox(self) -> Any:
        return await self.inner.archive_sandbox()

    async def dispose(self) -> None:
        await self.inner.dispose()


class SandboxLayer(Layer, Sandbox):
    """Around a sandbox, started with `payload` for the run of `context`; there is one layer around its result."""

    payload: dict[str, Any]
    context: Any
    result: ResultLayer | None = None

    async def wait_for_result(self) -> ResultSet:
        inner = await self.inner.wait_for_result()
        if self.result is None:
            self.result = self.layers.around(ResultLayer, inner)
        return self.result

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        return self.layers.around(ShellLayer, await self.inner.new_shell(command, tty), command=command)

    async def list_displays(self) -> list[Display]:
        displays: list[Display] = await self.inner.list_displays()
        return displays

    async def open_display(self, name: str) -> ByteStream:
        stream: ByteStream = await self.inner.open_display(name)
        return stream

    async def kill(self) -> None:
        await self.inner.kill()

    async def abort(self) -> None:
        await self.inner.abort()

    async def dispose(self) -> None:
        await self.inner.dispose()


class BuilderLayer(Layer, SandboxBuilder):
    """Around a builder for `payload` and the run of `context`."""

    payload: dict[str, Any]
    context: Any

    async def set_environment_variable(self, name: str, value: str) -> None:
        await self.inner.set_environment_variable(name, value)

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        await self.inner.attach_volume(mountpoint, volume, read_only)

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.inner.attach_proxy(hostname, handler)

    async def start_sandbox(self) -> Sandbox:
        inner = await self.inner.start_sandbox()
        return self.layers.around(SandboxLayer, inner, payload=self.payload, context=self.context)

    async def discard(self) -> None:
        await self.inner.discard()


class VolumeBuilderLayer(Layer, VolumeBuilder):
    """Around a builder of volumes."""

    async def write_folder(self, name: str) -> None:
        await self.inner.write_folder(name)

    async def write_file(self, name: str, stream: Any) -> None:
        await self.inner.write_file(name, stream)

    async def build_volume(self) -> Volume:
        volume: Volume = await self.inner.build_volume()
        return volume

    async def discard(self) -> None:
        await self.inner.discard()


class EngineLayer(Layer, Engine):
    """Around an engine."""

    def payload_schema(self) -> Schema:
        schema: Schema = self.inner.payload_schema()
        return schema

    def capabilities(self) -> Capabilities:
        capabilities: Capabilities = self.inner.capabilities()
        return capabilities

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        inner = await self.inner.new_sandbox_builder(options)
        return self.layers.around(BuilderLayer, inner, payload=dict(options.payload), context=options.context)

    def volume_schema(self) -> Schema:
        schema: Schema = self.inner.volume_schema()
        return schema

    async def new_volume(self, options: VolumeOptions) -> Volume:
        volume: Volume = await self.inner.new_volume(options)
        return volume

    async def new_volume_builder(self, options: VolumeOptions) -> VolumeBuilder:
        return self.layers.around(VolumeBuilderLayer, await self.inner.new_volume_builder(options))

    def documentation(self) -> str:
        documentation: str = self.inner.documentation()
        return documentation

    async def dispose(self) -> None:
        await self.inner.dispose()


def layered(engine: Engine, *classes: type[Layer]) -> Engine:
    """Return an engine around another; `classes` are the layers that differ from the plain ones."""
    beside = (one for cls in classes for one in cls.beside)
    return Layers((*classes, *beside)).around(EngineLayer, engine)
