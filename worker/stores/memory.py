"""Artifacts in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.offload import offload
from ...lifecycle.surroundings import Artifact
from .content import CHUNK_BYTES, pieces
from .replacing import check_name, check_replacement

if TYPE_CHECKING:
    from ...specs.task import TaskInfo


@attrs.frozen
class Kept:
    """What a MemoryStore holds under a name; `content` is None for error, redirect and link artifacts."""

    artifact: Artifact
    content: bytes | None


class MemoryStore:
    """Artifacts in memory, for tests and for embedders who want none on disk.

    `entries` maps (task id, run id, name) to what is kept: at most `limit` bytes, and a kilobyte is counted
    for each artifact besides. `forget` makes room.
    """

    def __init__(self, limit: int = 64 * 1_048_576) -> None:
        self.limit = limit
        self.entries: dict[tuple[str, int, str], Kept] = {}
        self._used = 0
        self._lock = threading.Lock()

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Keep `content` and return the artifact completed; see `ArtifactStore`.

        Raises: NonFatalInternalError, also when full.
        """
        check_name(artifact.name)
        kept = Kept(artifact, None)
        if content is not None:
            kept = await offload(partial(self._read, artifact, content))
        with self._lock:
            key = (task.task_id, task.run_id, artifact.name)
            before = self.entries.get(key)
            check_replacement(None if before is None else before.artifact, kept.artifact)
            used = self._used + _weight(kept) - (_weight(before) if before is not None else 0)
            if used > self.limit:
                raise self._full(artifact)
            self.entries[key] = kept
            self._used = used
        return kept.artifact

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the content of a stored object; see `ReadableStore`.

        Raises: FileNotFoundError where nothing of that name has content.
        """
        with self._lock:
            kept = self.entries.get((task.task_id, task.run_id, name))
        if kept is None or kept.content is None:
            raise FileNotFoundError(f"the run has stored no object {name!r}")
        for start in range(offset, len(kept.content), CHUNK_BYTES):
            yield kept.content[start : start + CHUNK_BYTES]

    def url(self, task: TaskInfo, name: str) -> str | None:
        """Return None: what is in memory has no address."""
        return None

    def forget(self, task_id: str, run_id: int) -> None:
        """Drop what a run has stored."""
        with self._lock:
            for key in [key for key in self.entries if key[:2] == (task_id, run_id)]:
                self._used -= _weight(self.entries.pop(key))

    def _read(self, artifact: Artifact, content: BinaryIO | bytes, stop: threading.Event) -> Kept:
        data = bytearray()
        for piece in pieces(artifact.name, content, stop):
            data += piece
            if len(data) > self.limit:
                raise self._full(artifact)
        sha256 = hashlib.sha256(data).hexdigest()
        return Kept(attrs.evolve(artifact, bytes=len(data), sha256=sha256), bytes(data))

    def _full(self, artifact: Artifact) -> NonFatalInternalError:
        return NonFatalInternalError(
            f"the artifact {artifact.name!r} does not fit into the MemoryStore, it holds {self.limit} bytes"
        )


def _weight(kept: Kept) -> int:
    return 1024 + len(kept.content or b"")
