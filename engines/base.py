"""The interface of engines: Engine -> SandboxBuilder -> Sandbox -> ResultSet.

Beside them stand shells, displays and volumes. An engine runs tasks in sandboxes of one kind. Every class
here is a base class whose optional methods say by `FeatureNotSupportedError` that the engine does not offer
them, so that an engine implements only what it can do, and new optional methods break nobody. Every method
may raise MalformedPayloadError, NonFatalInternalError and FeatureNotSupportedError; what else it may raise
stands in its docstring.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import attrs

from ..lifecycle.errors import FeatureNotSupportedError

if TYPE_CHECKING:
    from ..lifecycle.context import TaskContext
    from ..lifecycle.journal.lease import Leasing
    from ..lifecycle.surroundings import Environment, Monitor

Schema = Mapping[str, Mapping[str, Any]]
"""A cerberus schema: property -> rules."""

ProxyHandler = Callable[[Any], Awaitable[Any]]
"""An aiohttp-style handler: `async (request) -> response`."""

FileHandler = Callable[[str, BinaryIO], Awaitable[None]]
"""Called with a path relative to the extracted folder and the open file, closed when the handler returns."""


class ByteReader(Protocol):
    """A stream of bytes to read."""

    async def read(self, limit: int = 65536) -> bytes:
        """Return at least one and at most `limit` bytes as soon as there are any, or `b""` at the end."""


class ByteWriter(Protocol):
    """A stream of bytes to write."""

    async def write(self, data: bytes) -> None:
        """Write all of `data`; returns once the receiver can take more."""

    async def close(self) -> None:
        """End the stream; the receiver then reads its end. Closing twice does nothing."""


class ByteStream(ByteReader, ByteWriter, Protocol):
    """A stream of bytes in both directions."""


@attrs.frozen
class EngineOptions:
    """What an engine is created with; wrapped, so that more can be added without breaking engines.

    `journal` leases what the engine itself holds outside of the process, None where there is none; what it holds for a
    run is leased through the run's context.
    """

    environment: Environment
    monitor: Monitor
    config: Mapping[str, Any] = attrs.field(factory=dict)
    journal: Leasing | None = None


@attrs.frozen
class SandboxOptions:
    """What a sandbox builder is created with; `payload` holds the engine's own properties only."""

    context: TaskContext
    payload: Mapping[str, Any]
    monitor: Monitor


@attrs.frozen
class VolumeOptions:
    """What a volume is created with; `options` satisfies the engine's `volume_schema()`."""

    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Capabilities:
    """What an engine can do.

    `max_concurrency` is the number of sandboxes it runs at once, None if it sets no bound.
    """

    max_concurrency: int | None = None


@attrs.frozen
class Display:
    """A display that a sandbox offers; sizes are in pixels, None where unknown."""

    name: str
    description: str = ""
    width: int | None = None
    height: int | None = None


class Volume(abc.ABC):
    """A folder or file system that outlives one sandbox and can be attached to another."""

    @abc.abstractmethod
    async def dispose(self) -> None:
        """Remove the volume and what it holds, when no run uses it any more. Disposing again does nothing."""


class VolumeBuilder(abc.ABC):
    """Fills a volume before it is first used; ends with either `build_volume` or `discard`."""

    @abc.abstractmethod
    async def write_folder(self, name: str) -> None:
        """Create an empty folder; `name` is a path with forward slashes."""

    @abc.abstractmethod
    async def write_file(self, name: str, stream: ByteReader) -> None:
        """Create a file from `stream`, read to its end; missing parent folders are created."""

    @abc.abstractmethod
    async def build_volume(self) -> Volume:
        """Return the volume; the builder is used up."""

    @abc.abstractmethod
    async def discard(self) -> None:
        """Drop what was written; the builder is used up."""


class Shell(abc.ABC):
    """A command running inside a sandbox beside the task."""

    stdin: ByteWriter
    stdout: ByteReader
    stderr: ByteReader

    async def set_size(self, columns: int, rows: int) -> None:
        """Resize the terminal, in characters.

        Raises: FeatureNotSupportedError without a tty, ShellTerminatedError.
        """
        raise FeatureNotSupportedError("this shell has no terminal to resize")

    @abc.abstractmethod
    async def abort(self) -> None:
        """Kill the shell; `wait` then raises ShellAbortedError, and its streams end.

        Raises: ShellTerminatedError if it had ended.
        """

    @abc.abstractmethod
    async def wait(self) -> bool:
        """Return whether the command succeeded, once it has ended. Raises: ShellAbortedError."""


class ResultSet(abc.ABC):
    """What a sandbox left behind."""

    @property
    @abc.abstractmethod
    def success(self) -> bool:
        """Whether the task's own command succeeded."""

    async def extract_file(self, path: str) -> BinaryIO:
        """Return the file at `path`, open for reading; the caller closes it.

        Raises: ResourceNotFoundError, of which InvalidResourceError says that what is there cannot be
        extracted.
        """
        raise FeatureNotSupportedError("this engine does not extract files")

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        """Call `handler` for every regular file below `path`, several side by side.

        What is neither file nor folder (a fifo, socket, device, symbolic link) is left out, never opened, and the task
        log says so. Raises: ResourceNotFoundError, InvalidResourceError; PartlyExtractedError, once all else was
        handled, for what cannot be read; HandlerInterruptError once a handler raised and all running ones have
        returned.
        """
        raise FeatureNotSupportedError("this engine does not extract folders")

    async def archive_sandbox(self) -> ByteReader:
        """Return the whole sandbox as a tar stream."""
        raise FeatureNotSupportedError("this engine does not archive sandboxes")

    async def dispose(self) -> None:
        """Remove what the result set holds. Disposing again does nothing."""


class Sandbox(abc.ABC):
    """A task's command under way. One of `wait_for_result`, `kill` and `abort` wins, and all three say so."""

    @abc.abstractmethod
    async def wait_for_result(self) -> ResultSet:
        """Return the result set once the sandbox has ended; waiting again gives the same one.

        Raises: SandboxAbortedError.
        """

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        """Start `command` (the engine's default shell if empty) inside the sandbox.

        Raises: SandboxTerminatedError, SandboxAbortedError.
        """
        raise FeatureNotSupportedError("this engine has no shells")

    async def list_displays(self) -> list[Display]:
        """Return the displays there are. Raises: SandboxTerminatedError, SandboxAbortedError."""
        raise FeatureNotSupportedError("this engine has no displays")

    async def open_display(self, name: str) -> ByteStream:
        """Return a stream that speaks RFB.

        Raises: NoSuchDisplayError, SandboxTerminatedError, SandboxAbortedError.
        """
        raise FeatureNotSupportedError("this engine has no displays")

    async def kill(self) -> None:
        """End the task as failed: `wait_for_result` then gives a result set whose `success` is False.

        Returns once nothing of it runs any more. Killing a sandbox that has ended does nothing.

        Raises: SandboxAbortedError.
        """
        raise FeatureNotSupportedError("this engine cannot kill a task and keep its result")

    @abc.abstractmethod
    async def abort(self) -> None:
        """End the task and drop its result: `wait_for_result` then raises SandboxAbortedError.

        Returns once nothing of it runs any more; everything it held is released. Aborting again does nothing. If
        this is cancelled somebody is in a hurry: the task gets no more time to end by itself.

        Raises: SandboxTerminatedError if it had ended.
        """

    async def dispose(self) -> None:
        """Release what outlives the result, after the result set was disposed or the sandbox aborted.

        Disposing again does nothing.
        """


class SandboxBuilder(abc.ABC):
    """Collects what a sandbox needs; used up by either `start_sandbox` or `discard`.

    Its methods may be called side by side.
    """

    async def set_environment_variable(self, name: str, value: str) -> None:
        """Set a variable of the task's environment, which has none of the worker's own that nobody asked for.

        Raises: NamingConflictError; MalformedPayloadError for a name that cannot be.
        """
        raise FeatureNotSupportedError("this engine has no environment variables")

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        """Mount `volume` at `mountpoint`. Raises: NamingConflictError."""
        raise FeatureNotSupportedError("this engine has no volumes")

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        """Make requests to `http://<hostname>/` reach `handler`; names matching `[a-z]{3,22}` always work.

        Raises: NamingConflictError.
        """
        raise FeatureNotSupportedError("this engine has no proxies")

    @abc.abstractmethod
    async def start_sandbox(self) -> Sandbox:
        """Start the task."""

    async def discard(self) -> None:
        """Release what was collected, instead of starting.

        Called at most once, never after `start_sandbox` returned a sandbox.
        """


class Engine(abc.ABC):
    """Runs tasks in sandboxes of one kind; one object serves many runs at once."""

    def payload_schema(self) -> Schema:
        """Return the schema of the payload properties that belong to the engine."""
        return {}

    def capabilities(self) -> Capabilities:
        """Return what the engine can do."""
        return Capabilities()

    @abc.abstractmethod
    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        """Return a builder for one run. Raises: MaxConcurrencyExceededError."""

    def volume_schema(self) -> Schema:
        """Return the schema of the options that `new_volume` and `new_volume_builder` take."""
        return {}

    async def new_volume(self, options: VolumeOptions) -> Volume:
        """Return an empty volume."""
        raise FeatureNotSupportedError("this engine has no volumes")

    async def new_volume_builder(self, options: VolumeOptions) -> VolumeBuilder:
        """Return a builder for a volume with content."""
        raise FeatureNotSupportedError("this engine has no volumes")

    def documentation(self) -> str:
        """Return a Markdown page about the payload and the configuration."""
        return inspect.getdoc(type(self)) or ""

    async def dispose(self) -> None:
        """Release what the engine holds; called once, after its last run."""


class EngineProvider(abc.ABC):
    """Creates one kind of engine from configuration.

    What an entry point of the group `stagecall.engines` leads to.
    """

    @abc.abstractmethod
    def new_engine(self, options: EngineOptions) -> Engine | Awaitable[Engine]:
        """Return the engine. Raises: ConfigurationError."""

    def config_schema(self) -> Schema:
        """Return the schema of `EngineOptions.config`."""
        return {}
