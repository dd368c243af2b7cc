"""Volumes that live in memory."""

from __future__ import annotations

import attrs

from ...lifecycle.errors import LifecycleError, MalformedPayloadError
from ..base import ByteReader, Volume, VolumeBuilder
from ._paths import normal


@attrs.define(eq=False)
class MockVolume(Volume):
    """A volume in memory: `entries` maps paths without a leading slash to content, None for a folder.

    >>> volume = MockVolume()
    >>> volume.write("/folder/a.txt", b"Hello World")
    >>> volume.read("folder/a.txt"), volume.read("folder"), volume.read("b.txt")
    (b'Hello World', None, None)
    """

    entries: dict[str, bytes | None] = attrs.field(factory=dict)

    def write(self, path: str, content: bytes) -> None:
        """Create the file, or replace its content. Raises: MalformedPayloadError for an ill-formed path."""
        self.entries[_inside(path)] = content

    def read(self, path: str) -> bytes | None:
        """Return the file's content, None if there is no such file."""
        return self.entries.get(normal(path))

    async def dispose(self) -> None:
        """Forget what the volume holds."""
        self.entries.clear()


@attrs.define(eq=False)
class MockVolumeBuilder(VolumeBuilder):
    """Fills a volume in memory. Its methods raise LifecycleError once it is used up."""

    _volume: MockVolume | None = attrs.field(factory=MockVolume)

    async def write_folder(self, name: str) -> None:
        """Create an empty folder."""
        self._open().entries[_inside(name)] = None

    async def write_file(self, name: str, stream: ByteReader) -> None:
        """Create a file from `stream`, read to its end."""
        self._open()
        content = bytearray()
        while data := await stream.read():
            content += data
        self._open().write(name, bytes(content))

    async def build_volume(self) -> MockVolume:
        """Return the volume."""
        volume, self._volume = self._open(), None
        return volume

    async def discard(self) -> None:
        """Drop what was written."""
        self._volume = None

    def _open(self) -> MockVolume:
        if self._volume is None:
            raise LifecycleError("the volume builder is used up: its volume was built or discarded")
        return self._volume


def _inside(path: str) -> str:
    inside = normal(path)
    if not inside:
        raise MalformedPayloadError(f"the path {path!r} names nothing inside the volume")
    return inside
