"""Stores that give back something else than what they took."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ....lifecycle.errors import NonFatalInternalError
from ....lifecycle.surroundings import Artifact
from ....specs.task import TaskInfo
from ....worker.stores import MemoryStore
from .putting import Content


class RefusesTheEnd(MemoryStore):
    """Takes it for an error when somebody asks for what comes after the end."""

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        kept = self.entries.get((task.task_id, task.run_id, name))
        if offset and kept is not None and offset >= len(kept.content or b""):
            raise NonFatalInternalError("416 Range Not Satisfiable")
        async for piece in super().read(task, name, offset):
            yield piece


class GivesAllAtOnce(MemoryStore):
    """Gives an object in one piece."""

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        yield b"".join([piece async for piece in super().read(task, name, offset)])


class FindsFolders(MemoryStore):
    """Takes what artifacts lie below for an artifact that is empty."""

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        if any(kept.startswith(f"{name}/") for *_, kept in self.entries):
            return
        async for piece in super().read(task, name, offset):
            yield piece


class RemembersRedirects(MemoryStore):
    """Does not look again where a redirect was."""

    def __init__(self) -> None:
        super().__init__()
        self._redirects: set[tuple[str, str]] = set()

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if artifact.storage == "redirect":
            self._redirects.add((task.task_id, artifact.name))
        return await super().put(task, artifact, content)

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        if (task.task_id, name) in self._redirects:
            raise FileNotFoundError(name)
        async for piece in super().read(task, name, offset):
            yield piece
