"""The local environment makes private folders, and leaves none behind."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from stagecall.lifecycle.errors import LifecycleError
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.monitor import LogMonitor
from stagecall.worker.stores import FolderStore, MemoryStore


async def test_nothing_is_made_before_it_is_needed(tmp_path):
    """An environment without a temporary folder leaves no trace, closed or not."""
    environment = LocalEnvironment(root=tmp_path)
    made = list(tmp_path.iterdir())

    await environment.close()

    assert (made, list(tmp_path.iterdir())) == ([], [])


async def test_folders_are_private_and_fresh(tmp_path):
    """Each folder has a name of its own after its prefix, and only its owner can look into it."""
    async with LocalEnvironment(root=tmp_path) as environment:
        folders = [environment.temporary_folder("run-") for _ in range(3)]

        (root,) = tmp_path.iterdir()
        assert root.name.startswith("stagecall-")
        assert {folder.parent for folder in folders} == {root}
        assert len({folder.name for folder in folders}) == 3
        assert all(folder.name.startswith("run-") for folder in folders)
        assert {oct(folder.stat().st_mode & 0o777) for folder in [root, *folders]} == {"0o700"}


async def test_close_removes_what_is_left(tmp_path):
    """Folders that their callers forgot are removed, with what is in them."""
    environment = LocalEnvironment(root=tmp_path)
    folder = environment.temporary_folder("run-")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "file").write_text("left")

    await environment.close()
    await environment.close()

    assert list(tmp_path.iterdir()) == []


async def test_closed_environment_makes_no_folders(tmp_path):
    """What is made after the end nobody would remove."""
    environment = LocalEnvironment(root=tmp_path)
    await environment.close()

    with pytest.raises(LifecycleError, match="closed"):
        environment.temporary_folder("run-")


async def test_threads_share_one_root(tmp_path):
    """Folders can be asked for from any thread, the first one too."""
    async with LocalEnvironment(root=tmp_path) as environment:
        barrier = threading.Barrier(4)

        def ask():
            barrier.wait(30)
            return environment.temporary_folder("run-")

        folders = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))

        assert len(set(folders)) == 4
        assert len(list(tmp_path.iterdir())) == 1


async def test_folders_are_absolute(tmp_path, monkeypatch):
    """A program that changes its folder later still finds them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()

    async with LocalEnvironment(root=Path("root")) as environment:
        assert environment.temporary_folder("run-").is_absolute()


def test_embedder_brings_what_differs(tmp_path):
    """Store, monitor and the worker's names are the embedder's, or else sensible ones."""
    store, monitor = FolderStore(tmp_path), LogMonitor()

    mine = LocalEnvironment(store, monitor, worker_group="east", worker_id="build-7")
    default = LocalEnvironment()

    assert (mine.store, mine.monitor, mine.worker_group, mine.worker_id) == (
        store,
        monitor,
        "east",
        "build-7",
    )
    assert isinstance(default.store, MemoryStore)
    assert isinstance(default.monitor, LogMonitor)
    assert (default.worker_group, default.worker_id) == ("local", os.uname().nodename)


async def test_close_that_was_cancelled_can_be_finished(tmp_path):
    """What a cancelled close has left, the next one removes."""
    environment = LocalEnvironment(root=tmp_path)
    environment.temporary_folder("run-")
    closing = asyncio.create_task(environment.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    await environment.close()

    assert list(tmp_path.iterdir()) == []
