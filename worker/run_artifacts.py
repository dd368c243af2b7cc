"""The artifacts of one run: stored one by one, counted while they are, listed once they are."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import attrs

from ..lifecycle.surroundings import Artifact, LeasingStore

if TYPE_CHECKING:
    from ..lifecycle.journal.lease import Leasing
    from ..lifecycle.surroundings import ArtifactStore
    from ..specs.task import TaskInfo

_FIELDS = tuple(attrs.fields_dict(Artifact))


@attrs.frozen
class Upload:
    """One upload under way: `bytes_done` of `bytes_total` are read, which is None where nobody can know."""

    name: str
    bytes_done: int
    bytes_total: int | None


@attrs.frozen
class Progress:
    """How far the uploads of a run are: `files_done` are stored, `bytes_done` as stored; the others `under_way`.

    Only artifacts with content count, not redirects, links and errors.
    """

    files_done: int = 0
    bytes_done: int = 0
    under_way: tuple[Upload, ...] = ()

    @property
    def bytes_read(self) -> int:
        """The bytes of all that is stored and of what is under way."""
        return self.bytes_done + sum(one.bytes_done for one in self.under_way)


class ArtifactDetail(Mapping[str, Any]):
    """What the trace says of an artifact: its fields that are set, as JSON can say them.

    It is a view: a run may have fifty thousand artifacts, and a dict of each would take three times the room.

    >>> from datetime import UTC, datetime
    >>> artifact = Artifact("a", "link", "text/plain", datetime(2030, 1, 1, tzinfo=UTC), target="b")
    >>> dict(ArtifactDetail(artifact))["expires"]
    '2030-01-01T00:00:00+00:00'
    """

    __slots__ = ("_artifact",)

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def __getitem__(self, field: str) -> Any:
        value = getattr(self._artifact, field) if field in _FIELDS else None
        if value is None:
            raise KeyError(field)
        return value.isoformat() if field == "expires" else value

    def __iter__(self) -> Iterator[str]:
        return (field for field in _FIELDS if getattr(self._artifact, field) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class RunArtifacts:
    """Stores what hooks hand over, and remembers it: each artifact under its name, as it is now.

    `store` and `stored` belong to the run's loop; `progress` may be read from any thread.
    """

    __slots__ = ("_bytes_done", "_files_done", "_info", "_store", "_stored", "_under_way")

    def __init__(self, store: ArtifactStore, info: TaskInfo) -> None:
        self._store = store
        self._info = info
        self._stored: dict[str, Artifact] | None = None  # a run in flight has none: two dicts less for each
        self._under_way: dict[int, tuple[str, _Counted]] | None = None
        self._files_done = 0
        self._bytes_done = 0

    @property
    def stored(self) -> list[Artifact]:
        """What is stored, in the order in which the names were first used."""
        return list((self._stored or {}).values())

    def get(self, name: str) -> Artifact | None:
        """Return the artifact of that name as it is now, however many there are."""
        return (self._stored or {}).get(name)

    @property
    def progress(self) -> Progress:
        """How far the uploads are, from any thread."""
        under_way = (self._under_way or {}).copy().values()  # a copy is made in one step, which a loop is not
        return Progress(
            self._files_done,
            self._bytes_done,
            tuple(Upload(name, counted.done, counted.total) for name, counted in under_way),
        )

    async def store(
        self, artifact: Artifact, content: BinaryIO | bytes | None, leasing: Leasing | None
    ) -> Artifact:
        """Store an artifact; with `leasing` what is made on the way is leased. Raises: NonFatalInternalError."""
        if content is None:
            stored = await self._put(artifact, None, leasing)
        else:
            stored = await self._put_counted(artifact, content, leasing)
        if self._stored is None:
            self._stored = {}
        self._stored[stored.name] = stored
        return stored

    async def _put_counted(
        self, artifact: Artifact, content: BinaryIO | bytes, leasing: Leasing | None
    ) -> Artifact:
        if self._under_way is None:
            self._under_way = {}
        counted = _Counted(content)
        self._under_way[id(counted)] = artifact.name, counted
        try:
            stored = await self._put(artifact, counted.content, leasing)
            self._files_done += 1
            self._bytes_done += counted.done if stored.bytes is None else stored.bytes
        finally:
            del self._under_way[id(counted)]
        return stored

    async def _put(
        self, artifact: Artifact, content: BinaryIO | bytes | None, leasing: Leasing | None
    ) -> Artifact:
        if leasing is not None and isinstance(self._store, LeasingStore):
            return await self._store.put_leased(self._info, artifact, content, leasing)
        return await self._store.put(self._info, artifact, content)


class _Counted:
    """Content that says how far it was read: `done` bytes of `total`.

    A store may read it from a thread, or read parts of it again.
    """

    def __init__(self, content: BinaryIO | bytes) -> None:
        self.done = 0
        self.content: BinaryIO | bytes
        if isinstance(content, bytes):
            self.total: int | None = len(content)
            self.content = content
        else:
            self._file = content
            self._start, self.total = _extent(content)
            self.content = cast(BinaryIO, self)

    def read(self, size: int = -1) -> bytes:
        """Read the file that is counted."""
        piece = self._file.read(size)
        self.done += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move in the file that is counted: what is read again does not count twice."""
        place = self._file.seek(offset, whence)
        self.done = max(0, place - self._start)
        return place

    def __getattr__(self, name: str) -> object:
        """Return any other part of the file: its `fileno`, `tell`, `name`."""
        return getattr(self._file, name)


def _extent(file: BinaryIO) -> tuple[int, int | None]:
    """Return where a file stands, and how many bytes of it are left: None for one that cannot tell."""
    try:
        start = file.tell()
        if isinstance(file, io.BytesIO):
            return start, len(file.getbuffer()) - start
        status = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return 0, None
    return start, status.st_size - start if stat.S_ISREG(status.st_mode) else None
