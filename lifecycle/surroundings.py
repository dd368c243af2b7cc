"""What surrounds a run, as Protocols: worker/ implements them, an embedder may bring others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from aiohttp import web

    from ..specs.task import TaskInfo
    from .journal.lease import Leasing

Storage = Literal["object", "error", "redirect", "link"]


@attrs.frozen
class Artifact:
    """One artifact as it was stored.

    `storage` says which of `path` or `url` (object: the file, or the address where it is none), `url` (redirect),
    `target` (link) or `reason` (error) is set. `bytes` and `sha256` describe the content as stored, None where there
    is none.
    """

    name: str
    storage: Storage
    content_type: str
    expires: datetime
    path: str | None = None
    url: str | None = None
    target: str | None = None
    reason: str | None = None
    message: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    content_encoding: str | None = None


class ArtifactStore(Protocol):
    """Where artifacts go. Every method may raise NonFatalInternalError for good, after its own retries."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Store `content` under the run and the artifact's name; return the artifact completed.

        `content` is None for error, redirect and link. The content is read to its end from where it stands;
        the caller closes it. An artifact that exists already under the name is replaced only where the
        protocols allow it (a redirect by anything, anything by the same); NonFatalInternalError otherwise.
        """


@runtime_checkable
class LeasingStore(ArtifactStore, Protocol):
    """A store that leaves something behind when the process dies in the middle of a `put`, and so leases it."""

    async def put_leased(
        self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None, leasing: Leasing
    ) -> Artifact:
        """Do what `put` does, for a run with a journal: what is made on the way is leased of `leasing` first."""


@runtime_checkable
class ReadableStore(ArtifactStore, Protocol):
    """A store that gives back what it holds: the run page shows artifacts from it."""

    def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the content of a stored object as stored, from byte `offset` on, in pieces of at most 1 MiB.

        Raises: NonFatalInternalError, FileNotFoundError where nothing of that name has content.
        """


@runtime_checkable
class AddressedStore(ArtifactStore, Protocol):
    """A store whose objects have addresses that a redirect may lead to."""

    def url(self, task: TaskInfo, name: str) -> str | None:
        """Return where whoever is allowed to finds the artifact, None where there is no such address."""


Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]
"""Answers requests, in the way of aiohttp; websockets too."""


class WebHook(Protocol):
    """A handler that the world can reach, until it is detached."""

    @property
    def url(self) -> str:
        """The public address, with a slash at its end; whoever knows it may use it."""

    async def detach(self, grace: float = 0.0) -> None:
        """Answer 404 from now on; what is open has `grace` seconds to end, then its connection is closed.

        Detaching again does nothing.
        """


class WebHooks(Protocol):
    """Gives handlers addresses that nobody can guess."""

    async def attach(self, handler: Handler) -> WebHook:
        """Let `handler` answer below a new address: it sees paths without the prefix, from `/` on.

        Raises: LifecycleError once the hooks are closed.
        """


class Monitor(Protocol):
    """Where the worker's own messages, counts and measures go, with tags bound to them."""

    def bind(self, **tags: Any) -> Monitor:
        """Return a monitor that adds these tags to everything."""

    def log(self, message: str, **fields: Any) -> None:
        """Record a message for the operator."""

    def count(self, name: str, by: int = 1) -> None:
        """Count something that happened."""

    def measure(self, name: str, value: float) -> None:
        """Record a measured value; durations are in seconds."""

    def report_error(self, error: BaseException, **fields: Any) -> str:
        """Record an error with its traceback; return an incident id to give to whoever asks."""


class Environment(Protocol):
    """What all runs of one worker share.

    One that has `secrets` too, a sequence of bytes, keeps them out of the task logs.
    """

    @property
    def monitor(self) -> Monitor:
        """Where the worker's own messages go."""

    @property
    def store(self) -> ArtifactStore:
        """Where artifacts go."""

    @property
    def worker_group(self) -> str:
        """The group that the worker belongs to."""

    @property
    def worker_id(self) -> str:
        """The name of the worker in its group."""

    @property
    def webhooks(self) -> WebHooks | None:
        """How handlers get addresses; None where nobody serves any."""

    def temporary_folder(self, prefix: str) -> Path:
        """Create and return a fresh private folder; the caller removes it."""

    def reserve_folder(self, prefix: str) -> Path:
        """Return where a fresh private folder may be created, under a name that nobody can guess.

        The caller creates it with the mode 0700, its parent is there then, and removes it. Only runs with a journal ask
        for this.
        """
