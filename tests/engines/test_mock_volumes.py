"""Volumes in memory: written by one task, read by the next."""

import pytest

from stagecall.engines.base import VolumeOptions
from stagecall.engines.mock._streams import BytesReader
from stagecall.lifecycle.errors import LifecycleError, MalformedPayloadError

from .mock_support import House


def mounted(*volumes, read_only=False):
    """Attach volumes at the mount points given as names."""

    async def prepare(builder):
        for mountpoint, volume in volumes:
            await builder.attach_volume(mountpoint, volume, read_only=read_only)

    return prepare


async def new_volume(house):
    return await house.engine.new_volume(VolumeOptions())


@pytest.mark.parametrize("mountpoint", ["cache", "/mock/volume", "/mock/volume/", "/"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_written_file_is_read_by_the_next_task(tmp_path, mountpoint, read_only):
    """Content and success travel through the volume, also to one who mounts it read-only."""
    house = House(tmp_path)
    volume = await new_volume(house)
    path = f"{mountpoint.rstrip('/')}/folder/file.txt"

    wrote = await house.result(
        mounted((mountpoint, volume)), function="write-volume", argument=f"{path}:some: content"
    )
    read = await house.result(
        mounted((mountpoint, volume), read_only=read_only), function="read-volume", argument=path
    )

    assert (wrote.success, read.success, house.log()) == (True, True, "some: content\n")


async def test_empty_volume_has_no_file(tmp_path):
    """Reading what nobody wrote fails, and the log says so."""
    house = House(tmp_path)

    result = await house.result(
        mounted(("cache", await new_volume(house))), function="read-volume", argument="cache/file"
    )

    assert (result.success, house.log()) == (False, "[stagecall:error] there is no file 'cache/file'\n")


async def test_read_only_volume_cannot_be_written(tmp_path):
    """The task fails, the log says why, and the volume is as it was."""
    house = House(tmp_path)
    volume = await new_volume(house)

    result = await house.result(
        mounted(("cache", volume), read_only=True), function="write-volume", argument="cache/file:content"
    )

    assert (result.success, volume.entries) == (False, {})
    assert house.log() == "[stagecall:error] the volume at 'cache/file' is mounted read-only\n"


@pytest.mark.parametrize("function", ["write-volume", "read-volume"])
async def test_path_of_no_volume_fails(tmp_path, function):
    """A mount point must match as a whole."""
    house = House(tmp_path)

    result = await house.result(
        mounted(("cache", await new_volume(house))), function=function, argument="caches/file:content"
    )

    assert result.success is False
    assert "no volume is mounted at 'caches/file" in house.log()


async def test_innermost_mount_counts(tmp_path):
    """A volume mounted inside another one hides what is below."""
    house = House(tmp_path)
    outer, inner = await new_volume(house), await new_volume(house)

    await house.result(
        mounted(("a", outer), ("a/b", inner)), function="write-volume", argument="a/b/file:content"
    )

    assert (outer.entries, inner.entries) == ({}, {"file": b"content"})


@pytest.mark.parametrize("argument", ["cache/file", "cache/:content", "cache/../file:content"])
async def test_ill_formed_argument_is_malformed(tmp_path, argument):
    """A write without content, without a file or to the outside is the task author's fault."""
    house = House(tmp_path)

    with pytest.raises(MalformedPayloadError):
        await house.result(
            mounted(("cache", await new_volume(house))), function="write-volume", argument=argument
        )


async def test_built_volume_holds_what_its_builder_was_given(tmp_path):
    """Files are read from their streams to the end; a folder is no file."""
    house = House(tmp_path)
    builder = await house.engine.new_volume_builder(VolumeOptions())
    await builder.write_folder("/empty/")
    await builder.write_file("folder/file.txt", BytesReader(b"x" * 100_000))

    volume = await builder.build_volume()
    result = await house.result(mounted(("cache", volume)), function="read-volume", argument="cache/empty")

    assert volume.entries == {"empty": None, "folder/file.txt": b"x" * 100_000}
    assert result.success is False


@pytest.mark.parametrize("last", ["build_volume", "discard"])
async def test_volume_builder_is_used_up_once(tmp_path, last):
    """After its volume was built or discarded a builder takes nothing more."""
    builder = await House(tmp_path).engine.new_volume_builder(VolumeOptions())
    await getattr(builder, last)()

    for call in (
        builder.write_folder("folder"),
        builder.write_file("file", BytesReader(b"")),
        builder.build_volume(),
    ):
        with pytest.raises(LifecycleError, match="used up"):
            await call


@pytest.mark.parametrize("name", ["", "/", "../file", "folder/.."])
async def test_volume_builder_refuses_names_outside(tmp_path, name):
    """Names that are no names inside the volume are malformed."""
    builder = await House(tmp_path).engine.new_volume_builder(VolumeOptions())

    with pytest.raises(MalformedPayloadError):
        await builder.write_folder(name)
    with pytest.raises(MalformedPayloadError):
        await builder.write_file(name, BytesReader(b""))


async def test_disposed_volume_is_empty(tmp_path):
    """Nothing of the content is kept."""
    house = House(tmp_path)
    volume = await new_volume(house)
    await house.result(mounted(("cache", volume)), function="write-volume", argument="cache/file:content")

    await volume.dispose()

    assert volume.entries == {}
