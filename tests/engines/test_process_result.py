"""What a task left can be read, and nothing else, whatever it left."""

import asyncio
import errno
import io
import os
import socket
import stat
import tarfile
import threading

import pytest

from stagecall.engines.errors import HandlerInterruptError, ResourceNotFoundError
from stagecall.engines.process import files
from stagecall.lifecycle.errors import MalformedPayloadError, NonFatalInternalError

from .process_support import BOUND, descriptors, extracted, until


@pytest.fixture
async def leave(make_house):
    """`await leave(script)` runs a script and returns its run and result."""
    house = await make_house()

    async def run_script(script: str, *arguments: str):
        run = await house.sh(script, *arguments)
        result = await run.result()
        assert result.success, run.log()
        return run, result

    return run_script


async def read_all(stream) -> bytes:
    """Return what comes from a stream until its end."""
    data = b""
    while piece := await asyncio.wait_for(stream.read(), BOUND):
        data += piece
    return data


@pytest.mark.parametrize("path", ["a/b/file", "./a//b/./file", "{folder}/a/b/file"])
async def test_a_file_is_extracted_by_its_path(leave, path):
    """A path is relative to the working folder, or absolute and below it."""
    run, result = await leave("mkdir -p a/b; echo content >a/b/file")

    with await result.extract_file(path.format(folder=run.folder)) as file:
        content = file.read()

    assert content == b"content\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/etc/passwd",
            "the path '/etc/passwd' is outside the task's folder; it must be relative, or below {folder}",
        ),
        (
            "{folder}-2/x",
            "the path '{folder}-2/x' is outside the task's folder; it must be relative, or below {folder}",
        ),
        ("..", "the path '..' is not allowed; it must be relative, without `..`"),
        ("a/../../x", "the path 'a/../../x' is not allowed; it must be relative, without `..`"),
        ("{folder}/../x", "the path '{folder}/../x' is not allowed; it must be relative, without `..`"),
        ("", "the path '' is not allowed; it must be relative, without `..`"),
        ("a\0b", "the path 'a\\x00b' is not allowed; it must be relative, without `..`"),
        ("\ud800", "the path '\\ud800' is not allowed; it must be relative, without `..`"),
    ],
)
async def test_a_path_that_leads_outside_is_the_authors_fault(leave, path, message):
    """A path is judged by its text, before any file is looked at."""
    run, result = await leave("true")

    for extract in (result.extract_file, lambda path: extracted(result, path)):
        with pytest.raises(MalformedPayloadError) as caught:
            await extract(path.format(folder=run.folder))
        assert str(caught.value) == message.format(folder=run.folder)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "there is no missing"),
        ("missing/file", "there is no missing"),
        ("folder", "folder is a folder, not a file"),
        (".", "the task's folder itself is no file"),
        ("file/file", "file is a file, not a folder"),
        ("outside", "outside is a symbolic link (not followed), not a file"),
        ("inside", "inside is a symbolic link (not followed), not a file"),
        ("relative", "relative is a symbolic link (not followed), not a file"),
        ("dangling", "dangling is a symbolic link (not followed), not a file"),
        ("loop", "loop is a symbolic link (not followed), not a file"),
        ("root/etc/passwd", "root is a symbolic link (not followed), not a folder"),
        ("folder/up/file", "folder/up is a symbolic link (not followed), not a folder"),
        ("fifo", "fifo is a fifo, not a file"),
        ("socket", "socket is a socket, not a file"),
        ("x" * 300, "x" * 300 + " cannot be read: File name too long"),
    ],
)
async def test_what_is_no_file_inside_is_not_read(leave, path, message):
    """Links are not followed and special files not opened, wherever on the path; the error names them."""
    run, result = await leave(
        """
        echo secret >../secret; echo content >file; mkdir folder
        ln -s /etc/passwd outside; ln -s file inside; ln -s ../secret relative
        ln -s nowhere dangling; ln -s loop loop; ln -s / root; ln -s .. folder/up
        mkfifo fifo
        """
    )
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"/proc/self/fd/{os.open(run.folder, os.O_RDONLY)}/socket")

    with pytest.raises(ResourceNotFoundError) as caught:
        await asyncio.wait_for(result.extract_file(path), BOUND)

    assert str(caught.value) == message


async def test_a_device_is_not_opened(leave, tmp_path):
    """A device that a task made is refused before it is opened, as opening may do something."""
    _, result = await leave("mknod zero c 1 5 2>/dev/null || true; mkdir ok; echo 1 >ok/file")

    found = await extracted(result, ".")

    assert found == {"ok/file": b"1\n"}


async def test_a_folder_put_in_the_place_of_the_working_folder_is_not_read(leave):
    """The folder is held open from the start: what a task puts under its name later is not taken for it."""
    run, result = await leave(
        'mkdir ../other; echo secret >../other/file; echo mine >file; mv "$PWD" ../moved; ln -s other "$PWD"'
    )

    with await result.extract_file("file") as file:
        content = file.read()

    assert content == b"mine\n"
    await result.dispose()
    assert not run.folder.parent.exists()


async def test_every_regular_file_below_a_folder_is_extracted(leave):
    """Names are relative to the folder, with forward slashes; what is left out is told."""
    run, result = await leave(
        """
        mkdir -p top/a/b top/empty; echo 1 >top/one; echo 2 >top/a/two; echo 3 >top/a/b/three; : >beside
        ln -s /etc top/a/link; ln -s one top/alias; mkfifo top/fifo
        printf 4 >"$(printf 'top/caf\\351')"
        """
    )

    found = await extracted(result, "top/")

    assert found == {
        "one": b"1\n",
        os.fsdecode(b"caf\xe9"): b"4",
        "a/two": b"2\n",
        "a/b/three": b"3\n",
    }
    assert run.lines() == [
        "[stagecall] left out, as they are neither files nor folders: top/alias, top/fifo, top/a/link"
    ]


async def test_a_long_list_of_what_was_left_out_is_cut(leave):
    """However many links a task left, one line of the log tells of them."""
    run, result = await leave("for n in 10 11 12 13 14 15 16 17 18 19 20 21; do ln -s x $n; done")

    await extracted(result, ".")

    assert run.lines() == [
        "[stagecall] left out, as they are neither files nor folders: "
        "10, 11, 12, 13, 14, 15, 16, 17, 18, 19 and 2 more"
    ]


async def test_nothing_is_told_to_a_closed_log(leave):
    """What was left out is not worth a late message."""
    run, result = await leave("ln -s x y")
    run.owner.log.close()

    await extracted(result, ".")

    assert run.owner.late == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "there is no missing"),
        ("file", "file is a file, not a folder"),
        ("link", "link is a symbolic link (not followed), not a folder"),
    ],
)
async def test_what_is_no_folder_is_not_extracted(leave, path, message):
    """A folder that does not exist, or is something else, is an error before any handler is called."""
    _, result = await leave("echo 1 >file; ln -s / link")

    with pytest.raises(ResourceNotFoundError) as caught:
        await extracted(result, path)

    assert str(caught.value) == message


async def test_five_handlers_run_at_once(leave):
    """As many handlers as five are under way, never more, and each has its file open until it returns."""
    _, result = await leave("for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $n >$n; done")
    running, most, files = 0, 0, []

    async def handle(name, file):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        files.append((name, file, file.read().decode().strip()))
        running -= 1

    await result.extract_folder(".", handle)

    assert most == 5
    assert sorted(name for name, _, _ in files) == sorted(text for _, _, text in files)
    assert len(files) == 12
    assert all(file.closed for _, file, _ in files)


async def test_a_handlers_error_is_told_after_the_others_returned(leave):
    """When a handler raises no other begins, those that run return, and the error is the cause."""
    _, result = await leave("for n in 1 2 3 4 5 6 7 8; do : >$n; done")
    failed, returned = asyncio.Event(), []

    async def handle(name, file):
        if name == "3":
            failed.set()
            raise ValueError("no more")
        await failed.wait()
        await asyncio.sleep(0.02)
        returned.append(name)

    with pytest.raises(HandlerInterruptError) as caught:
        await result.extract_folder(".", handle)

    assert str(caught.value.__cause__) == "no more"
    assert sorted(returned) == ["1", "2", "4", "5"]


async def test_a_handler_that_cancels_itself_interrupts_too(leave):
    """A stray CancelledError of a handler does not pass for success."""
    _, result = await leave("touch 1 2 3")

    async def handle(name, file):
        raise asyncio.CancelledError

    with pytest.raises(HandlerInterruptError):
        await result.extract_folder(".", handle)


async def test_a_cancelled_extraction_cancels_its_handlers(leave):
    """Whoever stops an extraction leaves no handler and no file behind."""
    _, result = await leave("touch 1 2 3 4 5 6 7 8")
    before = descriptors()
    began, ended = asyncio.Event(), []

    async def handle(name, file):
        began.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            ended.append(name)

    extracting = asyncio.ensure_future(result.extract_folder(".", handle))
    await began.wait()
    extracting.cancel()

    await asyncio.wait([extracting])

    assert extracting.cancelled()
    assert ended
    await until(lambda: set(descriptors()) <= set(before), "the files to be closed")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
async def test_what_cannot_be_read_is_an_error_after_all_else(leave):
    """A folder or file that a task locked is named once the others were handled."""
    _, result = await leave(
        "mkdir a b; echo 1 >a/file; echo 2 >locked; echo 3 >ok; chmod 0 a locked; echo 4 >b/file"
    )
    found = {}

    async def handle(name, file):
        found[name] = file.read()

    with pytest.raises(ResourceNotFoundError) as caught:
        await result.extract_folder(".", handle)

    assert found == {"ok": b"3\n", "b/file": b"4\n"}
    assert str(caught.value) == (
        "not all of . was extracted: "
        "locked cannot be read: Permission denied, a cannot be read: Permission denied"
    )


@pytest.mark.parametrize("way", ["extract_file", "extract_folder"])
@pytest.mark.parametrize("fault", [errno.EMFILE, errno.EIO])
async def test_what_the_host_cannot_read_is_not_the_tasks_fault(leave, monkeypatch, way, fault):
    """A worker that is out of descriptors, or a disk that fails, is an internal error: the task left its file."""
    _, result = await leave("mkdir out; echo a >out/a")
    genuine = os.open

    def failing(path, flags, *arguments, **options):
        if path == "a":
            raise OSError(fault, os.strerror(fault))
        return genuine(path, flags, *arguments, **options)

    async def take(name, file):
        raise AssertionError("there is nothing to take")

    monkeypatch.setattr(os, "open", failing)

    with pytest.raises(NonFatalInternalError, match="out/a cannot be read, for want of the host"):
        await (result.extract_file("out/a") if way == "extract_file" else result.extract_folder("out", take))


async def test_a_tree_too_deep_is_an_error_after_all_else(leave, monkeypatch):
    """Folders within folders are entered so far and no farther; what lies deeper is said to be missing."""
    monkeypatch.setattr(files, "MAX_DEPTH", 2)
    _, result = await leave("mkdir -p a/b/c/d e; echo 1 >a/b/file; echo 2 >a/b/c/d/file; echo 3 >e/file")
    found = {}

    async def handle(name, file):
        found[name] = file.read()

    with pytest.raises(ResourceNotFoundError) as caught:
        await result.extract_folder(".", handle)

    assert found == {"a/b/file": b"1\n", "e/file": b"3\n"}
    assert str(caught.value) == "not all of . was extracted: a/b/c is not entered: deeper than 2 folders"


async def test_a_tree_of_any_depth_is_removed(make_house):
    """However deep a task nested its folders, they are gone when the result is disposed."""
    house = await make_house()
    run = await house.python("import os\nfor _ in range(400):\n    os.mkdir('d')\n    os.chdir('d')")
    result = await run.result()

    await result.dispose()

    assert not run.folder.parent.exists()


async def test_the_archive_is_a_tar_of_the_whole_folder(leave, tmp_path):
    """Files, folders and links are in the archive as they are, special files are not."""
    _, result = await leave(
        """
        mkdir -p a/b empty; echo 1 >one; echo 2 >a/b/two; chmod 750 a/b/two
        ln -s /etc/passwd link; mkfifo fifo
        printf x >"$(printf 'caf\\351')"
        head -c 3000000 /dev/zero >big
        """
    )

    data = await read_all(await result.archive_sandbox())

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar.getmembers()}
        file = tar.extractfile("a/b/two")
        assert file is not None
        content = file.read()
    assert sorted(members) == sorted(
        ["a", "a/b", "a/b/two", "big", os.fsdecode(b"caf\xe9"), "empty", "link", "one"]
    )
    assert content == b"2\n"
    assert stat.S_IMODE(members["a/b/two"].mode) == 0o750
    assert (members["link"].issym(), members["link"].linkname) == (True, "/etc/passwd")
    assert members["big"].size == 3_000_000
    assert members["empty"].isdir()


async def test_an_archive_that_is_not_read_to_its_end_is_let_go(leave):
    """Disposing the result ends the thread that writes an archive nobody reads."""
    _, result = await leave("head -c 3000000 /dev/zero >big")
    before = descriptors()
    archive = await result.archive_sandbox()
    first = await archive.read(100)

    await result.dispose()

    assert len(first) == 100
    assert await archive.read() == b""
    assert set(descriptors()) < set(before)
    await until(
        lambda: not [thread for thread in threading.enumerate() if thread.name == "stagecall-archive"],
        "the end of the thread",
    )


async def test_an_archive_that_misses_something_says_so_at_its_end(leave, monkeypatch):
    """What cannot be read is left out of the archive, and named when it has been read."""
    monkeypatch.setattr(files, "MAX_DEPTH", 1)
    _, result = await leave("mkdir -p a/b; : >a/b/file; : >file")

    archive = await result.archive_sandbox()

    with pytest.raises(ResourceNotFoundError, match="not everything could be archived: a/b is not entered"):
        await read_all(archive)


async def test_the_folder_is_removed_whatever_the_task_did_to_it(leave, tmp_path):
    """Locked folders, strange names and links to elsewhere: all is removed, and nothing elsewhere."""
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").write_text("kept")
    run, result = await leave(
        """
        mkdir -p a/b/c; ln -s / root; ln -s ../../.. a/up; : >"$(printf 'new\\nline\\351')"; mkfifo a/fifo
        ln "$1/file" hard; ln -s "$1" a/b/out; chmod 0 a/b/c a/b a
        """,
        str(keep),
    )

    await result.dispose()

    assert not run.folder.parent.exists()
    assert (keep / "file").read_text() == "kept"


async def test_a_result_that_was_disposed_is_empty(leave):
    """Disposing twice does nothing, and there is nothing to extract afterwards."""
    _, result = await leave("touch file")

    await result.dispose()
    await result.dispose()

    with pytest.raises(ResourceNotFoundError, match="the task's folder is gone"):
        await result.extract_file("file")
