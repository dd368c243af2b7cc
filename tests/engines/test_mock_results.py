"""What a mock task left behind can be taken out again."""

import asyncio
import io
import tarfile

import pytest

from stagecall.engines.errors import (
    HandlerInterruptError,
    InvalidResourceError,
    PartlyExtractedError,
    ResourceNotFoundError,
)
from stagecall.lifecycle.errors import MalformedPayloadError

from .mock_support import BOUND, House, read_all, turn_loop

NAMES = "/folder/a.txt folder/b.txt /folder/c/c.txt top.txt"


def content_of(archive):
    """Return the files of a tar archive by name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {name: file.read() for name in tar.getnames() if (file := tar.extractfile(name)) is not None}


async def never(name, file):
    raise AssertionError(f"there is no {name}")


async def files_of(tmp_path, names=NAMES):
    return await House(tmp_path).result(function="write-files", argument=names)


@pytest.mark.parametrize("path", ["/folder/a.txt", "folder/a.txt", "folder/./a.txt", "folder//a.txt"])
async def test_file_is_found_by_any_spelling_of_its_path(tmp_path, path):
    """A leading slash and idle parts make no difference."""
    result = await files_of(tmp_path)

    with await result.extract_file(path) as file:
        assert file.read() == b"Hello World"


@pytest.mark.parametrize("path", ["/not-found.txt", "folder", "folder/", "/", ""])
async def test_what_is_no_file_is_not_found(tmp_path, path):
    """Neither a folder nor nothing is a file."""
    with pytest.raises(ResourceNotFoundError):
        await (await files_of(tmp_path)).extract_file(path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/folder/", {"a.txt", "b.txt", "c/c.txt"}),
        ("folder", {"a.txt", "b.txt", "c/c.txt"}),
        ("folder/c", {"c.txt"}),
        ("/", {"folder/a.txt", "folder/b.txt", "folder/c/c.txt", "top.txt"}),
    ],
)
async def test_folder_gives_all_files_below_it(tmp_path, path, found):
    """Handlers get paths relative to the folder, and the content."""
    taken = {}

    async def take(name, file):
        taken[name] = file.read()

    await (await files_of(tmp_path)).extract_folder(path, take)

    assert taken == dict.fromkeys(found, b"Hello World")


@pytest.mark.parametrize("path", ["/no-folder/", "top.txt", "fold", "folder/a.txt"])
async def test_what_is_no_folder_is_not_found(tmp_path, path):
    """No handler is called for a folder that is not there."""
    with pytest.raises(ResourceNotFoundError):
        await (await files_of(tmp_path)).extract_folder(path, never)


async def test_no_files_means_nothing_is_found(tmp_path):
    """A task that wrote nothing has not even a root folder."""
    result = await House(tmp_path).result()

    with pytest.raises(ResourceNotFoundError):
        await result.extract_file("a.txt")
    with pytest.raises(ResourceNotFoundError):
        await result.extract_folder("/", never)
    assert content_of(await read_all(await result.archive_sandbox())) == {}


async def test_failing_handler_interrupts_after_the_others_returned(tmp_path):
    """The error is the cause, the handlers beside it are not disturbed, and every file is closed."""
    result = await files_of(tmp_path)
    release = asyncio.Event()
    files, finished = [], []

    async def take(name, file):
        files.append(file)
        if name == "a.txt":
            release.set()
            raise OSError("disk full")
        await release.wait()
        await asyncio.sleep(0)
        finished.append(name)

    with pytest.raises(HandlerInterruptError) as caught:
        await asyncio.wait_for(result.extract_folder("folder", take), BOUND)

    assert str(caught.value.__cause__) == "disk full"
    assert sorted(finished) == ["b.txt", "c/c.txt"]
    assert [file.closed for file in files] == [True] * 3


async def test_cancelled_extraction_cancels_its_handlers(tmp_path):
    """No handler outlives the call that it belongs to."""
    result = await files_of(tmp_path)
    running, cancelled = asyncio.Event(), []

    async def hang(name, file):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(name)

    extraction = asyncio.create_task(result.extract_folder("folder", hang))
    await running.wait()
    extraction.cancel()

    with pytest.raises(asyncio.CancelledError):
        await extraction
    assert sorted(cancelled) == ["a.txt", "b.txt", "c/c.txt"]


async def test_archive_holds_every_file_and_is_always_the_same(tmp_path):
    """The same files make the same bytes."""
    first = await read_all(await (await files_of(tmp_path)).archive_sandbox())
    second = await read_all(await (await files_of(tmp_path)).archive_sandbox())

    names = ["folder/a.txt", "folder/b.txt", "folder/c/c.txt", "top.txt"]
    assert content_of(first) == dict.fromkeys(names, b"Hello World")
    assert first == second


@pytest.mark.parametrize("names", ["../a.txt", "folder/../../a.txt", "a.txt /"])
async def test_files_outside_are_malformed(tmp_path, names):
    """A name that leads out of the sandbox, or names no file, is the task author's fault."""
    with pytest.raises(MalformedPayloadError):
        await files_of(tmp_path, names)


async def test_paths_outside_are_malformed(tmp_path):
    """Nothing outside the sandbox can be asked for."""
    result = await files_of(tmp_path)

    with pytest.raises(MalformedPayloadError):
        await result.extract_file("../top.txt")
    with pytest.raises(MalformedPayloadError):
        await result.extract_folder("folder/..", never)


async def test_files_outlive_kill(tmp_path):
    """What a task wrote before it was killed is still there."""
    sandbox = await House(tmp_path).sandbox(function="write-files", argument="a.txt")
    await sandbox.new_shell([], tty=False)
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()  # the task is done, and its shell keeps the sandbox up

    await sandbox.kill()

    result = await waiting

    assert result.success is False
    assert (await result.extract_file("a.txt")).read() == b"Hello World"


ODD = "file:folder/a.txt fifo:folder/f socket:folder/s link:folder/c/l locked:folder/c/x file:folder/z.txt"


async def test_what_is_no_plain_file_is_met_as_in_a_real_folder(tmp_path):
    """Special files and links are left out and told to the log; what is locked is an error after all else."""
    house = House(tmp_path)
    result = await house.result(function="write-odd-files", argument=ODD)
    seen = []

    async def take(name, file):
        seen.append(name)

    with pytest.raises(PartlyExtractedError) as caught:
        await result.extract_folder("folder", take)

    assert sorted(seen) == ["a.txt", "z.txt"]
    assert caught.value.failures == {"c/x": "folder/c/x cannot be read: Permission denied"}
    assert house.log(-1) == (
        "[stagecall] left out, as they are neither files nor folders: folder/f, folder/s, folder/c/l\n"
    )
    assert sorted(content_of(await read_all(await result.archive_sandbox()))) == [
        "folder/a.txt",
        "folder/z.txt",
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder/f", "folder/f is a fifo, not a file"),
        ("folder/s", "folder/s is a socket, not a file"),
        ("folder/c/l", "folder/c/l is a symbolic link (not followed), not a file"),
        ("folder/c/x", "folder/c/x cannot be read: Permission denied"),
    ],
)
async def test_what_is_no_plain_file_is_no_file(tmp_path, path, message):
    """What is there and cannot be extracted is told apart from what is not there."""
    result = await House(tmp_path).result(function="write-odd-files", argument=ODD)

    with pytest.raises(InvalidResourceError) as caught:
        await result.extract_file(path)

    assert str(caught.value) == message
    with pytest.raises(InvalidResourceError):
        await result.extract_folder(path, never)


@pytest.mark.parametrize("argument", ["a.txt", "file:", "file:/", "device:a", ":a"])
async def test_odd_files_are_named_by_kind_and_path(tmp_path, argument):
    """Any other argument is malformed, and the message says what is allowed."""
    with pytest.raises(MalformedPayloadError, match="with file, fifo, socket, link, locked as kinds"):
        await House(tmp_path).result(function="write-odd-files", argument=argument)
