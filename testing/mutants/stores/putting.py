"""Stores that take what they are given for something else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from typing import BinaryIO

import attrs

from ....lifecycle.errors import NonFatalInternalError
from ....lifecycle.surroundings import Artifact
from ....specs.task import TaskInfo
from ....worker.stores import MemoryStore

Content = BinaryIO | bytes | None
SMALL = 100_000


class ForgetsTheEncoding(MemoryStore):
    """Returns what is packed as if it were not."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        return attrs.evolve(await super().put(task, artifact, content), content_encoding=None)


class DigestsTheBeginning(MemoryStore):
    """Returns the digest of the first megabyte, whatever comes after it."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        stored = await super().put(task, artifact, content)
        kept = self.entries[task.task_id, task.run_id, artifact.name].content
        if kept is None:
            return stored
        return attrs.evolve(stored, sha256=hashlib.sha256(kept[:1_000_000]).hexdigest())


class BeginsAtTheBeginning(MemoryStore):
    """Stores also what was read before."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if isinstance(content, io.BytesIO):
            content.seek(0)
        return await super().put(task, artifact, content)


class ExplainsRedirects(MemoryStore):
    """Adds words of its own to a redirect."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        stored = await super().put(task, artifact, content)
        return attrs.evolve(stored, message="moved") if stored.storage == "redirect" else stored


class TakesOneAtATime(MemoryStore):
    """Refuses what comes while something else is under way."""

    busy = False

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if self.busy:
            raise NonFatalInternalError("one at a time")
        self.busy = True
        try:
            return await super().put(task, artifact, content)
        finally:
            self.busy = False


class ReadsOnTheLoop(MemoryStore):
    """Takes what is in memory for something that can be read in no time."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if isinstance(content, io.BytesIO) and 0 < content.getbuffer().nbytes < SMALL:
            try:
                content = b"".join(iter(content.read, b""))
            except OSError as error:
                raise NonFatalInternalError(f"the content cannot be read: {error}") from error
        return await super().put(task, artifact, content)


class IgnoresCase(MemoryStore):
    """Takes names for one that differ in the case of their letters only."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        stored = await super().put(task, attrs.evolve(artifact, name=artifact.name.lower()), content)
        return attrs.evolve(stored, name=artifact.name)

    def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        return super().read(task, name.lower(), offset)


class IgnoresTheRun(MemoryStore):
    """Keeps the artifacts of all runs of a task in one place."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        return await super().put(attrs.evolve(task, run_id=0), artifact, content)

    def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        return super().read(attrs.evolve(task, run_id=0), name, offset)


class HasOneAddress(MemoryStore):
    """Tells where the store is, not where the artifact is."""

    def url(self, task: TaskInfo, name: str) -> str | None:
        return "https://store.example.com/"
