"""Stores that take too much, or keep what they refused."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import AsyncIterator
from typing import BinaryIO, cast

import attrs

from ....lifecycle.errors import NonFatalInternalError
from ....lifecycle.surroundings import Artifact
from ....plugins.artifacts.names import name_problem
from ....specs.task import TaskInfo
from ....worker.stores import MemoryStore
from ....worker.stores.content import pieces
from .putting import SMALL, Content

MOST_READS = 500
"""After so many even a thread that nobody stops has had enough."""


class TrustsNames(MemoryStore):
    """Finds a place for every name."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        name = artifact.name
        if name_problem(name):
            name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        stored = await super().put(task, attrs.evolve(artifact, name=name), content)
        return attrs.evolve(stored, name=artifact.name)


class MendsErrors(MemoryStore):
    """Lets an object take the place of an error, as if it were never too late."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        key = (task.task_id, task.run_id, artifact.name)
        if (
            artifact.storage == "object"
            and key in self.entries
            and self.entries[key].artifact.storage == "error"
        ):
            del self.entries[key]
        return await super().put(task, artifact, content)


class TakesHalves(MemoryStore):
    """Takes what could be read of small content for the whole."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if isinstance(content, io.BytesIO) and 0 < content.getbuffer().nbytes < SMALL:
            content = await asyncio.to_thread(_readable, content)
        return await super().put(task, artifact, content)


def _readable(content: io.BytesIO) -> bytes:
    data = b""
    try:
        while piece := content.read():
            data += piece
    except OSError:
        pass
    return data


class BearsAGrudge(MemoryStore):
    """Takes nothing under a name any more once something under it broke off."""

    def __init__(self) -> None:
        super().__init__()
        self._broken: set[tuple[str, str]] = set()

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if (task.task_id, artifact.name) in self._broken:
            raise NonFatalInternalError(f"{artifact.name!r} has failed before")
        try:
            return await super().put(task, artifact, content)
        except NonFatalInternalError:
            self._broken.add((task.task_id, artifact.name))
            raise


class _Opaque:
    """Content of which nobody can see whether it is a file."""

    def __init__(self, content: BinaryIO) -> None:
        self.read = content.read


class LooksAway(MemoryStore):
    """Does not look whether a file stays as it is."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if content is not None and not isinstance(content, bytes):
            content = cast("BinaryIO", _Opaque(content))
        return await super().put(task, artifact, content)


class KeepsHalves(MemoryStore):
    """Gives back something under names whose content broke off."""

    def __init__(self) -> None:
        super().__init__()
        self._halves: set[tuple[str, str]] = set()

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        try:
            return await super().put(task, artifact, content)
        except NonFatalInternalError:
            self._halves.add((task.task_id, artifact.name))
            raise

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        if (task.task_id, name) in self._halves and (task.task_id, task.run_id, name) not in self.entries:
            yield b"half"
            return
        async for piece in super().read(task, name, offset):
            yield piece


class SwallowsCancellation(MemoryStore):
    """Says that what was cancelled is stored."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        try:
            return await super().put(task, artifact, content)
        except asyncio.CancelledError:
            return artifact


class LetsTheThreadGoOn(MemoryStore):
    """Reads in a thread that nobody stops."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: Content) -> Artifact:
        if content is not None and not isinstance(content, bytes):
            content = await asyncio.to_thread(_all_of, artifact.name, content)
        return await super().put(task, artifact, content)


def _all_of(name: str, content: BinaryIO) -> bytes:
    data = b""
    for number, piece in enumerate(pieces(name, content, threading.Event())):
        data += piece
        time.sleep(0.001)
        if number == MOST_READS:
            break
    return data
