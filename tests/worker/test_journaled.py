"""What the worker's own parts lease: temporary folders, and uploads in progress."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from stagecall import recover, run_task
from stagecall.lifecycle import ConfigurationError, JournalError, NonFatalInternalError
from stagecall.lifecycle.journal import Journal, Lease
from stagecall.lifecycle.surroundings import Artifact, LeasingStore
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import RecordingEnvironment, ScriptedEngine, ScriptedPlugin
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore, undo_part

INFO = TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}))
ARTIFACT = Artifact("public/deep/report.txt", "object", "text/plain", INFO.expires)
PART = {"folders": ["a"], "name": ".0123456789abcdef.part"}


class Leases:
    """Gives leases, and remembers what is open and what a folder held when they were given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.given: list[tuple[str, Any, list[str]]] = []
        self.open: list[Lease] = []

    async def lease(self, kind: str, /, **data: Any) -> Lease:
        lease = Lease(len(self.given) + 1, kind, data)
        self.given.append((kind, data, files(self.folder)))
        self.open.append(lease)
        return lease

    async def release(self, lease: Lease) -> None:
        self.open.remove(lease)


def files(folder: Path | None) -> list[str]:
    """Return the files below a folder."""
    if folder is None:
        return []
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# Runtime and environment


async def test_run_task_with_a_journal_leaves_nothing(tmp_path):
    """A journal by its path is opened and closed with the runtime; what was leased is released."""
    resolution = await run_task(
        {"payload": {"function": "true"}},
        engine="mock",
        plugins={"success": {}},
        journal=tmp_path / "journal.db",
    )

    assert resolution.success
    assert sorted(os.listdir(tmp_path)) == ["journal.db", "journal.db.guard"]
    assert not (await recover(tmp_path / "journal.db")).found


async def test_a_journal_that_cannot_be_opened_fails_before_anything_is_made(tmp_path):
    """No engine and no folder exist when the journal cannot be used."""
    (tmp_path / "journal.db").write_text("a letter\n" * 100)

    with pytest.raises(JournalError, match="is not a journal"):
        await run_task({"payload": {}}, engine="mock", plugins={}, journal=tmp_path / "journal.db")


def test_an_environment_must_be_able_to_name_folders(tmp_path):
    """An environment that cannot name a folder before it is made is refused at once."""

    class Old:
        monitor = RecordingEnvironment(tmp_path).monitor
        store: Any = None

        def temporary_folder(self, prefix: str) -> Path:
            return tmp_path

    environment: Any = Old()
    manager: Any = None

    with pytest.raises(ConfigurationError, match="need an environment with reserve_folder"):
        Runtime(ScriptedEngine(), manager, environment, journal=Journal(tmp_path / "journal.db"))


async def test_own_folder_of_an_environment_is_leased(tmp_path):
    """The folder that holds all runs' is leased before it is made, and released when it is gone."""
    async with await Journal.open(tmp_path / "journal.db") as journal:
        async with LocalEnvironment(root=tmp_path, journal=journal) as environment:
            told = await recover(journal.path, dry_run=True)
            before = [name for name in os.listdir(tmp_path) if name.startswith("stagecall-")]
            folder = environment.temporary_folder("run-")
            reserved = environment.reserve_folder("run-")
            assert folder.parent == reserved.parent
            assert folder.is_dir()
            assert not reserved.exists()
            assert folder.parent.stat().st_mode & 0o777 == 0o700
        after = [name for name in os.listdir(tmp_path) if name.startswith("stagecall-")]

    assert (before, after) == ([], [])
    assert told.living == 1
    assert not (await recover(tmp_path / "journal.db")).found


async def test_folder_of_a_run_is_where_it_was_leased(tmp_path):
    """The temporary folder that a run comes to have is the one whose name was leased, for its owner only."""
    seen: list[tuple[str, int]] = []

    async def started(sandbox: Any) -> None:
        folder = plugin.context.temporary_folder
        seen.append((str(folder), folder.stat().st_mode & 0o777))

    plugin = ScriptedPlugin(started=started)
    async with await Runtime.create("mock", [plugin], journal=tmp_path / "journal.db") as runtime:
        run = runtime.new_run({"payload": {"function": "true"}})
        await run.wait()

    leased = run.trace.of(Kind.LEASE)[0].get("data")["path"]
    assert seen == [(leased, 0o700)]
    assert not files(Path(leased).parent)


# Uploads


async def test_an_upload_is_leased_before_its_file_is_made(tmp_path):
    """The file that is not complete is leased by its name, and released when it has its own."""
    store, leases = FolderStore(tmp_path), Leases(tmp_path)

    stored = await store.put_leased(INFO, ARTIFACT, b"hello", leases)

    ((kind, data, there),) = leases.given
    folder = f"{INFO.task_id}/0/public/deep"
    assert (kind, there, leases.open) == ("store.part", [], [])
    assert data | {"name": ""} == {"root": str(tmp_path), "folders": folder.split("/"), "name": ""}
    assert files(tmp_path) == [f"{folder}/report.txt"]
    assert (stored.bytes, stored.path) == (5, str(tmp_path / folder / "report.txt"))
    assert isinstance(store, LeasingStore)


async def test_what_has_no_content_is_not_leased(tmp_path):
    """A redirect makes no file."""
    leases = Leases()
    artifact = Artifact("live", "redirect", "text/plain", INFO.expires, url="http://localhost/")

    await FolderStore(tmp_path).put_leased(INFO, artifact, None, leases)

    assert leases.given == []


async def test_an_upload_that_fails_is_released(tmp_path):
    """Its file is gone by then."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    leases = Leases(tmp_path)

    with pytest.raises(NonFatalInternalError, match="cannot be read"):
        await FolderStore(tmp_path).put_leased(INFO, ARTIFACT, Broken(), leases)

    assert (len(leases.given), leases.open, files(tmp_path)) == (1, [], [])


async def test_an_upload_whose_thread_hangs_stays_leased(tmp_path):
    """A cancelled upload whose file is still there is left to recovery, which removes it."""
    reading, go = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reading.set()
            go.wait(30)
            return b""

    leases = Leases(tmp_path)
    putting = asyncio.create_task(FolderStore(tmp_path).put_leased(INFO, ARTIFACT, Slow(), leases))
    assert await asyncio.to_thread(reading.wait, 30)

    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    (lease,) = leases.open
    assert len(files(tmp_path)) == 1
    await undo_part(lease)
    await undo_part(lease)
    assert files(tmp_path) == []
    go.set()


VICTIM = """
import asyncio, io, os, signal, sys
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore
from stagecall.lifecycle.journal import Journal
from pathlib import Path

class Deadly(io.BytesIO):
    def read(self, size=-1):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(here):
    async def started(sandbox):
        await plugin.context.upload_artifact("public/whole.txt", b"whole")
        await plugin.context.upload_artifact("public/half.txt", Deadly())
    plugin = ScriptedPlugin(started=started)
    async with await Journal.open(here / "journal.db") as journal:
        async with LocalEnvironment(FolderStore(here / "out"), root=here, journal=journal) as environment:
            runtime = await Runtime.create("mock", [plugin], environment=environment, journal=journal)
            await runtime.new_run({"payload": {"function": "true"}}).wait()

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_kill_in_the_middle_of_an_upload(tmp_path):
    """After SIGKILL within an upload recovery removes the half of it, and keeps what was stored before."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", VICTIM, str(tmp_path)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    before = [Path(name).suffix for name in files(tmp_path / "out")]

    recovery = await recover(tmp_path / "journal.db")

    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert sorted(before) == [".part", ".txt"]
    assert recovery.complete
    assert [Path(name).name for name in files(tmp_path / "out")] == ["whole.txt"]
    assert [name for name in os.listdir(tmp_path) if name.startswith("stagecall-")] == []


@pytest.mark.parametrize(
    "data",
    [
        {**PART, "name": "passwd"},
        {**PART, "name": "../.0123456789abcdef.part"},
        {**PART, "folders": ["..", "a"]},
        {**PART, "folders": ["/etc"]},
        {**PART, "root": "relative"},
    ],
)
async def test_only_unfinished_files_of_stores_are_removed(data, tmp_path):
    """A lease that names anything else is refused, whoever wrote it."""
    with pytest.raises(NonFatalInternalError, match="no file that a store would have made"):
        await undo_part(Lease(1, "store.part", {"root": str(tmp_path), **data}))


async def test_no_link_is_followed_to_an_unfinished_file(tmp_path):
    """A folder that became a link leads nowhere: the file behind it stays, and the lease with it."""
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / PART["name"]
    file.write_text("somebody else's")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NonFatalInternalError, match="cannot be removed"):
        await undo_part(Lease(1, "store.part", {"root": str(tmp_path / "root"), **PART}))

    assert file.exists()
