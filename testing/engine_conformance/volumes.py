"""Checks of volumes: what outlives a sandbox."""

from __future__ import annotations

from ...engines.base import SandboxBuilder, Volume, VolumeOptions
from ...engines.errors import NamingConflictError
from ..conformance import needs
from .expect import expect_error
from .recipes import EngineRecipes
from .rig import Prepare, Rig

TEXT = "kept in a volume"


class VolumeChecks(EngineRecipes):
    """What `Volume`, `VolumeBuilder` and `SandboxBuilder.attach_volume` promise."""

    @needs("volumes")
    async def test_volume_write_read(self) -> None:
        """What one sandbox writes into a volume, the next one reads from it."""
        async with self.rig() as rig:
            volume = await rig.new_volume()

            written, _ = await rig.finish(self.writes_volume("a.txt", TEXT), self._mounted(volume))
            read, run = await rig.finish(self.reads_volume("a.txt"), self._mounted(volume))

            assert (written.success, read.success) == (True, True), "a volume can be written and read"
            assert TEXT in run.output(), "what was written into a volume is in it"

    @needs("volumes")
    async def test_volume_read_empty(self) -> None:
        """A new volume is empty: what nobody wrote cannot be read."""
        async with self.rig() as rig:
            volume = await rig.new_volume()
            other = await rig.new_volume()
            await rig.finish(self.writes_volume("a.txt", TEXT), self._mounted(other))

            result, run = await rig.finish(self.reads_volume("a.txt"), self._mounted(volume))

            assert not result.success, "what is not in a volume cannot be read"
            assert TEXT not in run.output(), "a volume holds nothing of another"

    @needs("volumes")
    async def test_volume_write_read_only(self) -> None:
        """What is mounted read-only cannot be written."""
        async with self.rig() as rig:
            volume = await rig.new_volume()

            written, _ = await rig.finish(
                self.writes_volume("a.txt", TEXT), self._mounted(volume, read_only=True)
            )
            read, _ = await rig.finish(self.reads_volume("a.txt"), self._mounted(volume))

            assert (written.success, read.success) == (False, False), "read-only means it"

    @needs("volumes")
    async def test_volume_read_read_only(self) -> None:
        """What is mounted read-only can be read."""
        async with self.rig() as rig:
            volume = await rig.new_volume()
            await rig.finish(self.writes_volume("a.txt", TEXT), self._mounted(volume))

            result, run = await rig.finish(self.reads_volume("a.txt"), self._mounted(volume, read_only=True))

            assert result.success, "what is mounted read-only can be read"
            assert TEXT in run.output(), "what is read is what was written"

    @needs("volumes")
    async def test_volume_builder(self) -> None:
        """What a volume builder was given is in the volume: files, also in folders that nobody made."""
        async with self.rig() as rig:
            volume = await self._filled(rig, "a.txt", "folder/sub/b.txt")

            for name in ("a.txt", "folder/sub/b.txt"):
                _, run = await rig.finish(self.reads_volume(name), self._mounted(volume))

                assert TEXT in run.output(), f"the volume holds {name}, as the builder was told"

    @needs("volumes")
    async def test_volume_builder_discard(self) -> None:
        """A volume builder that is discarded leaves nothing behind."""
        async with self.rig() as rig:
            builder = await rig.engine.new_volume_builder(VolumeOptions())
            await builder.write_folder("folder")
            await builder.write_file("folder/a.txt", _Text(TEXT))

            await builder.discard()

    @needs("volumes")
    async def test_volume_conflict(self) -> None:
        """To mount a second volume at the same place raises NamingConflictError."""
        async with self.rig() as rig:
            run = await rig.build(self.silent())
            await run.builder.attach_volume(self.mountpoint, await rig.new_volume(), False)

            await expect_error(
                NamingConflictError,
                run.builder.attach_volume(self.mountpoint, await rig.new_volume(), False),
                "a mount point has one volume",
            )

    @needs("volumes")
    async def test_volume_dispose(self) -> None:
        """A volume that no run uses any more can be disposed; to dispose it again does nothing."""
        async with self.rig() as rig:
            volume = await rig.engine.new_volume(VolumeOptions())
            _, run = await rig.finish(self.writes_volume("a.txt", TEXT), self._mounted(volume))
            await run.end()

            await volume.dispose()
            await volume.dispose()

    def _mounted(self, volume: Volume, read_only: bool = False) -> Prepare:
        async def prepare(builder: SandboxBuilder) -> None:
            await builder.attach_volume(self.mountpoint, volume, read_only)

        return prepare

    async def _filled(self, rig: Rig, *names: str) -> Volume:
        builder = await rig.engine.new_volume_builder(VolumeOptions())
        for name in names:
            await builder.write_file(name, _Text(TEXT))
        return rig.keep(await builder.build_volume())


class _Text:
    """A text as a stream of two pieces and its end."""

    def __init__(self, text: str) -> None:
        data = text.encode()
        self._pieces = [data[:3], data[3:]]

    async def read(self, limit: int = 65536) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""
