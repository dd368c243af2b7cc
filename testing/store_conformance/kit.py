"""What the checks of stores have in common: tasks and artifacts to store, and what a store may be able to do."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from ...lifecycle.surroundings import Artifact, ArtifactStore, ReadableStore
from ...specs.task import TaskDefinition, TaskInfo
from ..conformance import Conformance

EXPIRES = datetime(2031, 1, 1, tzinfo=UTC)
PATIENCE = 30.0
"""How many seconds a check waits at most for something that must happen."""


class StoreKit(Conformance):
    """The base of all groups of checks for stores."""

    flags: ClassVar[Mapping[str, str]] = {
        "readable": "it gives back what it holds, as a ReadableStore",
        "addressed": "it can say where its artifacts are, as an AddressedStore",
    }

    large: ClassVar[int] = 3 * 1_048_576 + 17
    """How many bytes of content do not go into the store in one piece."""


def new_task(run_id: int = 0) -> TaskInfo:
    """Return a run of a task of its own."""
    return TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}), run_id)


def an_object(name: str, **more: Any) -> Artifact:
    """Return an artifact with content, as it is before it is stored."""
    return Artifact(name, "object", "text/plain", EXPIRES, **more)


def content_of(size: int) -> bytes:
    """Return so many bytes that differ from place to place: what is lost, doubled or moved is seen.

    >>> content_of(4).hex()
    '7f9c2ba4'
    """
    return hashlib.shake_128().digest(size)


async def read_all(store: ArtifactStore, task: TaskInfo, name: str, offset: int = 0) -> bytes:
    """Return the content of a stored object. Raises: as `ReadableStore.read`."""
    assert isinstance(store, ReadableStore), f"{type(store).__name__} has no method read"
    return b"".join([piece async for piece in store.read(task, name, offset)])


async def is_kept(store: ArtifactStore, task: TaskInfo, name: str) -> bool:
    """Return whether the store gives back an object of that name."""
    try:
        await read_all(store, task, name)
    except FileNotFoundError:
        return False
    return True


class Broken(io.BytesIO):
    """Content that breaks off after its first half."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(len(self.getbuffer()) // 2)


class Watched(io.BytesIO):
    """Content that notes which threads read it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.readers: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)


class Held(io.BytesIO):
    """Content of which there is always more, given when `go` is set; `reading` tells that somebody asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.go = threading.Event()
        self.reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        self.reading.set()
        assert self.go.wait(PATIENCE), "nobody let the content go on"
        return b"x"
