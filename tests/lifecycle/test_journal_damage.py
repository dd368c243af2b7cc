"""A journal that was damaged: what is intact is recovered, what is not is named, and nobody starts in vain twice."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stagecall import recover
from stagecall.lifecycle import ExceptionReason, JournalError
from stagecall.lifecycle.journal import Journal, Lease
from stagecall.lifecycle.journal.locks import guarded
from stagecall.lifecycle.journal.opening import open_store
from stagecall.lifecycle.journal.store import Store, insert
from stagecall.specs.rules import judge
from stagecall.testing.doubles import Bench, ScriptedPlugin
from stagecall.worker.task_run import TaskRun

from .journal_support import kinds, leave_behind, records

STEP = 512
RUNS = (3, 7, 11, 15)


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


@pytest.fixture
async def run(make_run: Bench, path: Path) -> TaskRun:
    """A run that leased something, with a trace worth a few pages."""

    async def started(sandbox: Any) -> None:
        for number in range(8):
            async with plugin.context.leased("port", number=number, note="x" * 300):
                pass

    plugin = ScriptedPlugin(started=started)
    async with await Journal.open(path.with_name("other.db")) as journal:
        run = make_run(plugin, journal=journal)
        await run.wait()
    return run


class Genuine:
    """Undoes leases; one that nobody has recorded is an outrage."""

    def __init__(self, path: Path) -> None:
        self.written = [
            (part, body["kind"], body["data"]) for _, what, part, body in records(path) if what == "lease"
        ]
        self.undone: list[tuple[int, str, Any]] = []

    async def __call__(self, lease: Lease) -> None:
        self.undone.append((lease.id, lease.kind, lease.data))

    def check(self) -> None:
        assert all(lease in self.written for lease in self.undone), self.undone


async def usable(path: Path) -> None:
    """Assert that a worker can start with this journal."""
    async with await Journal.open(path) as journal:
        assert journal.damage is None
        await journal.release(await journal.lease("folder", path="/nowhere/at/all"))


def copies(path: Path, folder: Path, how: str, name: str) -> Iterator[tuple[str, Path]]:
    """Yield copies of a journal, each damaged at another place of the file, or of its write-ahead log.

    Every third place, unless the environment asks for all.
    """
    places = range(0, os.path.getsize(f"{path}{name}"), STEP)
    if not os.environ.get("STAGECALL_CI"):
        places = places[["cut", "zeros", "noise"].index(how) :: 3]
    for offset in places:
        copy = folder / str(offset) / path.name
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            if os.path.exists(f"{path}{suffix}"):
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        damage(Path(f"{copy}{name}"), how, offset)
        yield f"{how} at {offset} of {name or 'the file'}", copy


def damage(file: Path, how: str, offset: int, size: int = STEP) -> None:
    """Cut a file off, or overwrite a part of it."""
    with open(file, "r+b") as opened:
        if how == "cut":
            opened.truncate(offset)
        else:
            opened.seek(offset)
            opened.write({"zeros": bytes(size), "noise": random.Random(offset).randbytes(size)}[how])


@contextlib.contextmanager
def open_until_the_end(path: Path, checkpointed: bool) -> Iterator[None]:
    """Keep the file open where its write-ahead log is to stay."""
    store = None if checkpointed else Store.open(path)
    yield
    if store is not None:
        store.close()


@pytest.mark.parametrize("how", ["cut", "zeros", "noise"])
@pytest.mark.parametrize("checkpointed", [True, False], ids=["file", "write-ahead log"])
async def test_damage_every_512_bytes(how, checkpointed, run, path, tmp_path_factory):
    """Wherever the file is cut off or overwritten: what is intact is recovered, nothing is undone that nobody leased.

    The journal is usable then, and a second recovery finds nothing. A trace of which nothing is lost keeps every rule.
    """
    leave_behind(path, run, RUNS[0])
    with open_until_the_end(path, checkpointed):
        for number in RUNS:
            leave_behind(path, run, number)
        genuine, tried, saved = Genuine(path), 0, 0

        for what, copy in copies(
            path, tmp_path_factory.mktemp("copies"), how, "" if checkpointed else "-wal"
        ):
            recovery = await recover(copy, undos={"port": genuine, "folder": genuine})

            genuine.check()
            for found in recovery.runs:
                if not any(event.get("lost") for event in found.trace):
                    assert judge(found.trace, found.lifecycle) == [], what
            again = await recover(copy, undos={"port": genuine, "folder": genuine})
            assert not again.found, what
            await usable(copy)
            tried += 1
            saved += len(recovery.runs)

    print(f"{tried} places, {saved} of {tried * len(RUNS)} runs saved")
    assert tried > 5
    assert saved > 0


async def test_what_was_damaged_is_kept_for_people(run, path):
    """A file that is broken is moved aside, with its write-ahead log, and told of; nothing is deleted."""
    leave_behind(path, run, 5)
    damage(path, "noise", 4096, size=4096)
    broken = path.read_bytes()

    recovery = await recover(path)

    aside = path.with_name("journal.db.damaged-1")
    assert recovery.damage is not None
    assert f"the file is kept as {aside}" in recovery.damage
    assert aside.read_bytes() == broken


async def test_damaged_records_are_named_and_a_copy_is_kept(run, path):
    """A record whose checksum is wrong is not believed: it is named, and the others are recovered."""
    leave_behind(path, run, 5)
    store = Store.open(path)
    store.commit([("UPDATE records SET body = replace(body, 'task.log', 'task.lag')", ())])
    store.close()

    recovery = await recover(path)

    assert recovery.runs[0].undone == ()
    assert recovery.damage is not None
    assert "damaged records, which are left out: record 0123456789abcdef/5/events/0, " in recovery.damage
    assert "task.lag" in str(records(path.with_name("journal.db.damaged-1")))
    assert not (await recover(path)).found


async def test_a_lease_is_known_from_the_trace_too(run, path):
    """A lease whose record is damaged is undone all the same, where the trace tells of it and has no gap."""
    leave_behind(path, run, 5)
    genuine = Genuine(path)
    store = Store.open(path)
    store.commit([("UPDATE records SET crc = 0 WHERE what = 'lease'", ())])
    store.close()

    recovery = await recover(path, undos={"folder": genuine})

    assert genuine.undone == genuine.written
    assert judge(recovery.runs[0].trace) == []


async def test_a_piece_of_the_trace_is_lost(run, path):
    """A trace with a gap is ended from where it stands, and says so."""
    leave_behind(path, run, 3)
    store = Store.open(path)
    events = run.trace.to_document()["events"]
    store.commit([insert("0123456789abcdef", 3, "events", 8, events[8:10])])
    store.close()

    (found,) = (await recover(path)).runs

    assert found.resolution.reason is ExceptionReason.WORKER_SHUTDOWN
    assert [event.get("lost") for event in found.trace if event.kind == "recovered"] == [True]
    assert found.trace[-1].kind == "end"


async def test_a_damaged_journal_in_use_is_left_alone(path):
    """What a living worker has open is not moved from under it; the message says who."""
    async with await Journal.open(path) as journal:
        await journal.lease("folder", path="/nowhere/at/all")
        await asyncio.to_thread(damage_copy_in_place, path)

        with pytest.raises(JournalError, match=f"another process uses it \\(session {journal.session}\\)"):
            await recover(path)

    assert path.exists()


def damage_copy_in_place(path: Path) -> None:
    """Damage a page in a process of its own: closing the file here would drop the locks that SQLite has on it."""
    script = "import sys; f = open(sys.argv[1], 'r+b'); f.seek(4096); f.write(b'\\xff' * 4096)"
    subprocess.run(["python3", "-c", script, str(path)], check=True, timeout=60)
    wal = Path(f"{path}-wal")
    script = "import os, sys; os.truncate(sys.argv[1], 0)"
    subprocess.run(["python3", "-c", script, str(wal)], check=True, timeout=60)


@pytest.mark.parametrize("step", range(1, 5))
async def test_death_while_setting_aside(step, run, path, monkeypatch):
    """Wherever the replacement of a damaged file breaks off, the next one finishes it, and loses nothing more."""
    leave_behind(path, run, *RUNS)
    damage(path, "zeros", 0)  # the header: everything else is intact
    steps = 0
    rename, unlink = os.rename, os.unlink

    def counted(function: Any) -> Any:
        def call(*arguments: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == step:
                raise OSError(5, "killed")
            function(*arguments)

        return call

    monkeypatch.setattr(os, "rename", counted(rename))
    monkeypatch.setattr(os, "unlink", counted(unlink))
    with guarded(path), contextlib.suppress(JournalError):
        open_store(path)[0].close()
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)

    with guarded(path):
        open_store(path)[0].close()

    assert sorted(os.listdir(path.parent)) == [
        "journal.db", "journal.db.damaged-1", "journal.db.guard", "other.db", "other.db.guard",
    ]  # fmt: skip


# A disk that is full


async def lease_until_full(journal: Journal) -> int:
    """Lease until the journal cannot take more; return how many leases it took."""
    for count in range(10_000):
        try:
            await journal.lease("port", number=count, note="x" * 1000)
        except JournalError as error:
            told = str(error)
            break
    assert "full" in told
    return count


async def test_a_full_file_is_a_fatal_error(path, make_run: Bench, monkeypatch):
    """When no page can be added, whoever waits gets the error, and what was durable before is recovered."""
    prepare = Store._prepare

    def limited(store: Store, read_only: bool) -> None:
        prepare(store, read_only)
        store._pragma("max_page_count = 20")

    monkeypatch.setattr(Store, "_prepare", limited)
    journal = await Journal.open(path)
    leased = await lease_until_full(journal)
    run = make_run(ScriptedPlugin(), journal=journal)

    resolution = await run.wait()

    with pytest.raises(JournalError, match="full"):
        await journal.close()
    monkeypatch.setattr(Store, "_prepare", prepare)
    genuine = Genuine(path)
    recovery = await recover(path, undos={"port": genuine})
    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert leased > 10
    assert [lease.data["number"] for lease in recovery.undone] == [*reversed(range(leased))]
    assert kinds(path) == []


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 200 KiB; where none can be mounted, the test is skipped."""
    folder = tmp_path_factory.mktemp("small")
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, timeout=60
        )
    except OSError as error:
        pytest.skip(f"no small disk: {error}")
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=60)


def filled(disk: Path) -> Path:
    """Leave no room on a disk; return the file that takes it all."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


async def test_a_full_disk(small_disk, make_run: Bench):
    """On a disk without room a worker fails with a clear error, and recovers everything once there is room again."""
    path = small_disk / "journal.db"
    journal = await Journal.open(path)
    await journal.lease("port", number=0)
    filler = filled(small_disk)
    leased = await lease_until_full(journal)
    run = make_run(ScriptedPlugin(), journal=journal)

    resolution = await run.wait()

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "database or disk is full" in str(resolution.cause)
    with pytest.raises(JournalError):
        await journal.close()
    filler.unlink()
    genuine = Genuine(path)
    recovery = await recover(path, undos={"port": genuine})
    assert [lease.data["number"] for lease in recovery.undone][-1] == 0
    assert len(recovery.undone) >= leased
    assert recovery.complete


async def test_a_new_journal_on_a_full_disk(small_disk):
    """A worker that cannot create its journal says so, and can once there is room."""
    filler = filled(small_disk)

    for _ in range(2):
        with pytest.raises(JournalError, match=r"journal\.db"):
            await Journal.open(small_disk / "journal.db")

    filler.unlink()
    await usable(small_disk / "journal.db")


async def test_a_folder_that_may_only_be_read(tmp_path_factory):
    """A journal that may not be written is a clear error."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path_factory.mktemp("read-only")
    folder.chmod(0o500)

    with pytest.raises(JournalError, match=r"journal\.db"):
        await Journal.open(folder / "journal.db")
