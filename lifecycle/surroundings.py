"""What surrounds a run, as Protocols: worker/ implements them, an embedder may bring others."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from ..specs.task import TaskInfo
    from .journal.lease import Leasing

Storage = Literal["object", "error", "redirect", "link"]


@attrs.frozen
class Artifact:
    """One artifact as it was stored.

    `storage` says which of `path` (object, where the store has one), `url` (redirect), `target` (link) or
    `reason` (error) is set. `bytes` and `sha256` describe the content as stored, None where there is none.
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
    """What all runs of one worker share."""

    @property
    def monitor(self) -> Monitor:
        """Where the worker's own messages go."""

    @property
    def store(self) -> ArtifactStore:
        """Where artifacts go."""

    def temporary_folder(self, prefix: str) -> Path:
        """Create and return a fresh private folder; the caller removes it."""

    def reserve_folder(self, prefix: str) -> Path:
        """Return where a fresh private folder may be created, under a name that nobody can guess.

        The caller creates it with the mode 0700, its parent is there then, and removes it. Only runs with a journal ask
        for this.
        """
