"""Engines whose volumes do not keep what they are given, or keep it too well."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from typing import Any

from ....engines.base import Volume, VolumeOptions
from ....engines.errors import NamingConflictError
from ....engines.mock import MockVolume
from ....lifecycle.errors import NonFatalInternalError
from .layers import BuilderLayer, EngineLayer, VolumeBuilderLayer


class ForgetsWhatTasksWrote(BuilderLayer):
    """Mounts a volume for writing as it was when that was done for the first time."""

    async def attach_volume(self, mountpoint: str, volume: Any, read_only: bool) -> None:
        if not read_only:
            volume.entries = dict(self.notes.setdefault(volume, dict(volume.entries)))
        await self.inner.attach_volume(mountpoint, volume, read_only)


class HasOneVolume(EngineLayer):
    """Gives the same volume to all."""

    async def new_volume(self, options: VolumeOptions) -> Volume:
        if "volume" not in self.notes:
            self.notes["volume"] = await self.inner.new_volume(options)
        volume: Volume = self.notes["volume"]
        return volume


class MountsForWriting(BuilderLayer):
    """Does not look at how a volume is to be mounted."""

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        await self.inner.attach_volume(mountpoint, volume, False)


class HidesWhatIsReadOnly(BuilderLayer):
    """Mounts an empty volume in place of one that may only be read."""

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        await self.inner.attach_volume(mountpoint, MockVolume() if read_only else volume, read_only)


class ForgetsMissingFolders(VolumeBuilderLayer):
    """Writes files at the top of a volume only."""

    async def write_file(self, name: str, stream: Any) -> None:
        if "/" not in name:
            await self.inner.write_file(name, stream)


class ReadsOnePiece(VolumeBuilderLayer):
    """Does not read a stream to its end."""

    async def write_file(self, name: str, stream: Any) -> None:
        await self.inner.write_file(name, _Once(stream))


class LeavesAFile(VolumeBuilderLayer):
    """Collects files in a folder that it forgets when it is discarded."""

    _folder: str | None = None

    async def write_file(self, name: str, stream: Any) -> None:
        self._folder = self._folder or tempfile.mkdtemp()
        os.close(os.open(f"{self._folder}/{name.replace('/', '-')}", os.O_CREAT | os.O_WRONLY))
        await self.inner.write_file(name, stream)

    async def build_volume(self) -> Volume:
        if self._folder is not None:
            shutil.rmtree(self._folder)
        return await super().build_volume()


class LeavesAFolder(VolumeBuilderLayer):
    """Collects files in a folder that it forgets when it has made the volume."""

    _folder: str | None = None

    async def write_file(self, name: str, stream: Any) -> None:
        self._folder = self._folder or tempfile.mkdtemp()
        await self.inner.write_file(name, stream)

    async def discard(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
        await self.inner.discard()


class MountsOverAVolume(BuilderLayer):
    """Says nothing when a mount point is used again."""

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        with suppress(NamingConflictError):
            await self.inner.attach_volume(mountpoint, volume, read_only)


class DisposesVolumesOnce(EngineLayer):
    """Has volumes that cannot be disposed again."""

    async def new_volume(self, options: VolumeOptions) -> Volume:
        return _DisposedOnce()


class _DisposedOnce(MockVolume):
    """A volume that fails when it is disposed a second time."""

    async def dispose(self) -> None:
        if "disposed" in self.entries:
            raise NonFatalInternalError("there is no such volume")
        await super().dispose()
        self.entries["disposed"] = None


class _Once:
    """A stream of which only the first piece is read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self, limit: int = 65536) -> bytes:
        stream, self._stream = self._stream, None
        return b"" if stream is None else await stream.read(limit)
