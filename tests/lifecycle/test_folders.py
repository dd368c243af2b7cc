"""Whatever a task leaves in its folder, the folder is removed, and nothing else is."""

import os
import subprocess
import sys

import pytest

from stagecall.lifecycle import folders
from stagecall.lifecycle.errors import NonFatalInternalError
from stagecall.lifecycle.folders import remove_folder

LOCKED = """
import asyncio, os, sys
from pathlib import Path
from stagecall.lifecycle.folders import remove_folder

top = Path(sys.argv[1])
for name in ("none", "read", "write", "search"):
    (top / name / "inner").mkdir(parents=True)
    (top / name / "inner" / "file").write_text("x")
    os.chmod(top / name / "inner", 0)
for name, mode in {"none": 0, "read": 0o400, "write": 0o200, "search": 0o100, ".": 0}.items():
    os.chmod(top / name, mode)
try:
    os.listdir(top)
except PermissionError:
    pass
else:
    sys.exit("this test means nothing for somebody who may do everything")
asyncio.run(remove_folder(top))
print(top.exists())
"""


class System:
    """The module `os`, but for some functions."""

    def __init__(self, **own):
        vars(self).update(own)

    def __getattr__(self, name):
        return getattr(os, name)


async def test_tree_of_everything_is_removed(tmp_path):
    """Files, folders, links, pipes and odd names are all removed."""
    top = tmp_path / "top"
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a" / "file").write_text("x")
    (top / "read-only").write_text("x")
    (top / "read-only").chmod(0o400)
    os.mkfifo(top / "a" / "pipe")
    (top / "a" / "new\nline \udcff").write_text("x")
    (top / "dangling").symlink_to("nowhere")

    await remove_folder(top)

    assert list(tmp_path.iterdir()) == []


async def test_folder_that_does_not_exist_is_fine(tmp_path):
    """Removing twice does nothing."""
    await remove_folder(tmp_path / "gone")

    assert list(tmp_path.iterdir()) == []


async def test_links_are_removed_and_never_followed(tmp_path):
    """A link to a folder or file outside goes away, what it leads to stays."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    (outside / "file").write_text("x")
    top.mkdir()
    (top / "folder").symlink_to(outside)
    (top / "file").symlink_to(outside / "file")
    (top / "loop").symlink_to(".")
    (top / "up").symlink_to("..")

    await remove_folder(top)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "outside",
        "outside/file",
    ]


async def test_link_in_the_folders_place_is_removed_alone(tmp_path):
    """Where the folder should be there may be a link: only the link goes."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "top").symlink_to("outside")

    await remove_folder(tmp_path / "top")

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


async def test_tree_deeper_than_any_path_is_removed(tmp_path):
    """Neither the length of paths nor Python's recursion limit bounds the depth."""
    top = tmp_path / "top"
    top.mkdir()
    depth, name = 3000, "x" * 100
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)

    await remove_folder(top)

    assert list(tmp_path.iterdir()) == []


async def test_wide_tree_is_removed_with_one_open_folder(tmp_path, monkeypatch):
    """Many folders side by side and within each other need no more open files than one."""
    top = tmp_path / "top"
    for first in range(20):
        for second in range(20):
            (top / str(first) / str(second)).mkdir(parents=True)
            (top / str(first) / str(second) / "file").write_text("x")
    opened: set[int] = set()
    most = []

    def spy_open(*args, **kwargs):
        descriptor = os.open(*args, **kwargs)
        opened.add(descriptor)
        most.append(len(opened))
        return descriptor

    def spy_close(descriptor):
        opened.discard(descriptor)
        os.close(descriptor)

    monkeypatch.setattr(folders, "os", System(open=spy_open, close=spy_close))

    await remove_folder(top)

    assert list(tmp_path.iterdir()) == []
    assert (opened, max(most)) == (set(), 2)


def test_folders_without_rights_are_removed(tmp_path, need):
    """What a task has locked, its owner unlocks."""
    humbly = [need("setpriv"), "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    top = tmp_path / "top"
    top.mkdir()

    done = subprocess.run(
        [*humbly, sys.executable, "-c", LOCKED, str(top)], capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == ("False\n", "")


async def test_what_is_created_meanwhile_is_removed_too(tmp_path, monkeypatch):
    """Somebody may still be writing: the tree is walked again until it is gone."""
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("x")
    created = iter(["c", "d", "e"])

    def rmdir(name, *, dir_fd=None):
        if name == str(top) and (new := next(created, None)):
            (top / new).mkdir()
            (top / new / "file").write_text("x")
        os.rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(folders, "os", System(rmdir=rmdir))

    await remove_folder(top)

    assert list(created) == []
    assert not top.exists()


async def test_endless_creation_ends_with_an_error(tmp_path, monkeypatch):
    """Against somebody who never stops writing the walk gives up, and says so."""
    top = tmp_path / "top"
    top.mkdir()

    def rmdir(name, *, dir_fd=None):
        (top / "file").write_text("x")
        os.rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(folders, "os", System(rmdir=rmdir))

    with pytest.raises(
        NonFatalInternalError, match=r"could not be removed, left are: .*/top: Directory not empty"
    ):
        await remove_folder(top)


async def test_folder_that_is_moved_away_is_not_followed(tmp_path, monkeypatch):
    """The way back up must lead to where the way down began; what was moved elsewhere is left alone."""
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "a" / "b" / "c" / "file").write_text("x")
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")

    def unlink(name, *, dir_fd=None):
        os.unlink(name, dir_fd=dir_fd)
        if name == "file":
            (top / "a" / "b").rename(elsewhere / "b")

    monkeypatch.setattr(folders, "os", System(unlink=unlink))

    await remove_folder(top)

    assert not top.exists()
    assert (elsewhere / "precious").exists()


async def test_mounted_file_system_is_not_entered(tmp_path, monkeypatch):
    """What is mounted in the tree is somebody else's: it is left, and named."""
    top = tmp_path / "top"
    (top / "mounted").mkdir(parents=True)
    (top / "mounted" / "precious").write_text("x")
    (top / "file").write_text("x")
    device = os.stat(top / "mounted").st_ino

    def fstat(folder):
        status = os.fstat(folder)
        return os.stat_result((*status[:2], -1, *status[3:])) if status.st_ino == device else status

    monkeypatch.setattr(folders, "os", System(fstat=fstat))

    with pytest.raises(
        NonFatalInternalError, match=r"left are: .*/top/mounted: another file system is mounted here"
    ):
        await remove_folder(top)

    assert sorted(path.name for path in top.rglob("*")) == ["mounted", "precious"]


async def test_what_is_mounted_over_the_folder_is_not_emptied(tmp_path, need):
    """A task that may mount something over its own folder does not get it emptied."""
    precious, top = tmp_path / "precious", tmp_path / "top"
    for folder in (precious, top):
        folder.mkdir()
    (precious / "file").write_text("x")
    mounted = subprocess.run([need("mount"), "--bind", precious, top], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")

    try:
        with pytest.raises(NonFatalInternalError, match="Device or resource busy"):
            await remove_folder(top)
    finally:
        subprocess.run([need("umount"), top], check=True)

    assert (precious / "file").read_text() == "x"


async def test_what_cannot_be_removed_is_named_and_the_rest_is_gone(tmp_path, monkeypatch):
    """The error says what is left and why, not what follows from it."""
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "stuck").write_text("x")
    (top / "a" / "other").write_text("x")

    def unlink(name, *, dir_fd=None):
        if name == "stuck":
            raise PermissionError(1, "Operation not permitted")
        os.unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(folders, "os", System(unlink=unlink))

    with pytest.raises(NonFatalInternalError) as raised:
        await remove_folder(top)

    assert str(raised.value) == (
        f"the folder {top} could not be removed, left are: {top}/a/b/stuck: Operation not permitted"
    )
    assert sorted(path.name for path in top.rglob("*")) == ["a", "b", "stuck"]
