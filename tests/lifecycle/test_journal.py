"""The journal: what is durable when, and what a run does when it cannot be written."""

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from stagecall.lifecycle import ExceptionReason, JournalError, LifecycleError, Limits
from stagecall.lifecycle.journal import Journal, Lease
from stagecall.lifecycle.journal import store as store_module
from stagecall.lifecycle.journal.store import Statement, Store
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import Bench, ScriptedPlugin

from .journal_support import kinds, locks, records, task_info, until


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    async with await Journal.open(path) as opened:
        yield opened


class HeldDisk:
    """Lets every commit wait until `go` is set: a disk that hangs in a sync."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
        self.go = threading.Event()
        self.waiting = threading.Event()
        self.left = after
        commit = Store.commit

        def held(store: Store, statements: Iterable[Statement]) -> None:
            self.left -= 1
            if self.left < 0:
                self.waiting.set()
                assert self.go.wait(30)
            commit(store, statements)

        monkeypatch.setattr(Store, "commit", held)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.waiting.wait, 30)


def failing_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let every commit but the first few fail as on a full disk."""
    commit, left = Store.commit, after

    def fail(store: Store, statements: Iterable[Statement]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise JournalError("database or disk is full")
        commit(store, statements)

    monkeypatch.setattr(Store, "commit", fail)


# What is in the file


async def test_files_are_for_their_owner_only(path, journal):
    """What a worker holds is nobody else's business: no file of the journal is readable by others."""
    await journal.lease("folder", path="/nowhere")

    modes = {name: stat.S_IMODE(os.stat(path.parent / name).st_mode) for name in os.listdir(path.parent)}

    assert set(modes.values()) == {0o600}
    assert {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.guard"} < set(modes)


async def test_lease_is_on_disk_when_it_is_given(path, journal, make_run: Bench):
    """Another process can read a lease as soon as whoever asked for it may acquire."""
    seen: list[Any] = []

    async def started(sandbox: Any) -> None:
        lease = await plugin.context.lease("port", number=8080)
        seen.append([body for _, what, part, body in records(path) if (what, part) == ("lease", lease.id)])
        await plugin.context.release(lease)
        seen.append([body for _, what, part, body in records(path) if (what, part) == ("lease", lease.id)])

    plugin = ScriptedPlugin(started=started)

    resolution = await make_run(plugin, journal=journal).wait()

    assert resolution.success
    assert seen == [[{"kind": "port", "data": {"number": 8080}}], []]


async def test_leases_are_told_in_the_trace(journal, make_run: Bench):
    """The trace of a journaled run tells its leases, that of its temporary folder first, before it leaves pending."""

    async def started(sandbox: Any) -> None:
        async with plugin.context.leased("port", number=8080, kind="tcp"):
            pass

    plugin = ScriptedPlugin(started=started)
    run = make_run(plugin, journal=journal)

    await run.wait()

    told = [
        (event.stage, event.kind.value, event.get("what"), event.get("data"))
        for event in run.trace.of(Kind.LEASE, Kind.RELEASE)
        if event.get("what") != "folder"
    ]
    folder = run.trace.of(Kind.LEASE)[0]
    assert (folder.stage, folder.get("what")) == ("pending", "folder")
    assert set(folder.get("data")) == {"path", "log"}
    assert told == [
        ("started", "lease", "port", {"number": 8080, "kind": "tcp"}),
        ("started", "release", None, None),
        ("dispose", "release", None, None),
    ]


async def test_run_is_on_disk_before_its_first_stage(path, journal, make_run: Bench):
    """What prepare acquires has an owner in the journal already, with the table that it goes along."""
    found: list[Any] = []

    async def new_task_plugin(options: Any) -> None:
        found.extend(records(path))

    plugin = ScriptedPlugin(new_task_plugin=new_task_plugin)
    run = make_run(plugin, journal=journal)

    await run.wait()

    bodies = {what: body for _, what, _, body in found}
    assert set(bodies) == {"session", "lifecycle", "run", "events", "lease"}
    assert bodies["run"] | {"started": None} == {
        "task_id": run.info.task_id,
        "run_id": 0,
        "home": None,
        "reports": False,
        "started": None,
        "lifecycle": 0,
    }
    assert [event["kind"] for event in bodies["events"]] == ["run", "lease", "call"]
    assert bodies["lifecycle"]["name"] == "task-run"
    assert bodies["session"]["pid"] == os.getpid()


async def test_a_run_that_owes_nothing_is_forgotten(path, journal, make_run: Bench):
    """When a run has ended, nothing of it is in the file."""
    await make_run(ScriptedPlugin(), journal=journal).wait()

    assert kinds(path) == ["lifecycle", "session"]


async def test_closing_leaves_nothing_where_nothing_is_owed(path, make_run: Bench):
    """A session that ended in order leaves neither records nor a lock."""
    async with await Journal.open(path) as journal:
        await make_run(ScriptedPlugin(), journal=journal).wait()
        lease = await journal.lease("folder", path="/nowhere")
        await journal.release(lease)

    assert (kinds(path), locks(path)) == ([], [])


async def test_an_open_lease_outlives_its_run(path, make_run: Bench):
    """What a run did not release is left to recovery, with the run's whole trace."""

    async def started(sandbox: Any) -> None:
        await plugin.context.lease("port", number=8080)

    plugin = ScriptedPlugin(started=started)
    async with await Journal.open(path) as journal:
        run = make_run(plugin, journal=journal)
        await run.wait()

    left = records(path)
    stored = [event for _, what, _, body in left if what == "events" for event in body]
    assert set(kinds(path)) == {"lifecycle", "session", "events", "lease", "run"}
    assert stored == run.trace.to_document()["events"]
    assert len(locks(path)) == 1
    make_run.broken_on_purpose = True


async def test_a_report_that_failed_is_kept(path, make_run: Bench):
    """A resolution of which nobody could be told stays in the journal; one that was told does not."""

    async def fails(resolution: Any) -> None:
        raise OSError("no route to the queue")

    async def works(resolution: Any) -> None:
        pass

    async with await Journal.open(path) as journal:
        await make_run(ScriptedPlugin(), journal=journal, report=works).wait()
        told = kinds(path)
        run = make_run(ScriptedPlugin(), journal=journal, report=fails)
        await run.wait()

    runs = [body["task_id"] for _, what, _, body in records(path) if what == "run"]
    assert told == ["lifecycle", "session"]
    assert runs == [run.info.task_id]


async def test_resolution_is_on_disk_before_it_is_reported(path, journal, make_run: Bench):
    """Whoever dies while reporting has left the resolution, so that recovery reports the same."""
    stored: list[str] = []

    async def report(resolution: Any) -> None:
        stored.extend(
            event["kind"] for _, what, _, body in records(path) if what == "events" for event in body
        )

    await make_run(ScriptedPlugin(), journal=journal, report=report).wait()

    assert stored[-3:] == ["outcome", "move", "call"]


async def test_what_nobody_waits_for_is_written_soon(path, journal, make_run: Bench):
    """A run that waits for its sandbox for hours has left its moves in the file."""
    waiting = asyncio.Event()

    async def started(sandbox: Any) -> None:
        def stored() -> list[str]:
            return [
                event["stage"]
                for _, what, _, body in records(path)
                if what == "events"
                for event in body
                if event["kind"] == "move"
            ]

        await until(lambda: "started" in stored())
        waiting.set()

    await make_run(ScriptedPlugin(started=started), journal=journal).wait()

    assert waiting.is_set()


async def test_runs_side_by_side_share_a_sync(journal, make_run: Bench):
    """A hundred runs at once need fewer syncs than runs."""
    before = journal.writer.commits
    runs = [make_run(ScriptedPlugin(), journal=journal) for _ in range(100)]

    await asyncio.gather(*(run.wait() for run in runs))

    assert journal.writer.commits - before < 100


# Without a journal


async def test_leases_without_a_journal_mean_nothing(make_run: Bench):
    """Plugins lease without asking whether there is a journal."""
    leases: list[Lease] = []

    async def started(sandbox: Any) -> None:
        async with plugin.context.leased("port", number=8080) as lease:
            leases.append(lease)
        leases.append(await plugin.context.lease("port", number=8081))
        await plugin.context.release(leases[-1])
        assert not plugin.context.journaled

    plugin = ScriptedPlugin(started=started)
    run = make_run(plugin)

    resolution = await run.wait()

    assert resolution.success
    assert leases == [Lease(0, "port", {"number": 8080}), Lease(0, "port", {"number": 8081})]
    assert run.trace.of(Kind.LEASE, Kind.RELEASE) == []


# What may be leased, and when


async def test_data_must_be_what_json_can_say(journal, make_run: Bench):
    """A lease that could not be read again is refused before anything is written."""

    async def started(sandbox: Any) -> None:
        with pytest.raises(TypeError, match="data of a lease 'port' must be what JSON can say"):
            await plugin.context.lease("port", number=object())

    plugin = ScriptedPlugin(started=started)

    assert (await make_run(plugin, journal=journal).wait()).success


async def test_a_run_that_is_over_leases_nothing(journal, make_run: Bench):
    """Nobody would undo what is leased behind the end."""
    plugin = ScriptedPlugin(started=lambda sandbox: None)
    await make_run(plugin, journal=journal).wait()

    with pytest.raises(LifecycleError, match="the run is over"):
        await plugin.context.lease("port", number=8080)


async def test_threads_lease_through_the_loop(journal, make_run: Bench):
    """A plain `def` hook leases with `run_on_loop`."""
    leases = []

    def started(sandbox: Any) -> None:
        leases.append(plugin.context.run_on_loop(plugin.context.lease("port", number=8080)))
        plugin.context.run_on_loop(plugin.context.release(leases[0]))

    plugin = ScriptedPlugin(started=started)
    run = make_run(plugin, journal=journal)

    assert (await run.wait()).success
    assert leases[0].owner == (run.info.task_id, 0)


async def test_releasing_again_does_nothing(journal, make_run: Bench):
    """Whoever cleans up twice releases twice."""

    async def started(sandbox: Any) -> None:
        lease = await plugin.context.lease("port", number=8080)
        await plugin.context.release(lease)
        await plugin.context.release(lease)

    plugin = ScriptedPlugin(started=started)
    run = make_run(plugin, journal=journal)

    await run.wait()

    assert [event.stage for event in run.trace.of(Kind.RELEASE)] == ["started", "dispose"]


# A journal that cannot be written


@pytest.mark.parametrize("commits", range(2, 5))
async def test_a_journal_that_fails_is_fatal(commits, path, make_run: Bench, monkeypatch):
    """Whenever the disk is full, the run ends as an internal error, is disposed, and the worker is to stop."""

    async def started(sandbox: Any) -> None:
        await plugin.context.lease("port", number=8080)

    reported = []

    async def report(resolution: Any) -> None:
        reported.append(resolution)

    failing_disk(monkeypatch, after=commits)
    plugin = ScriptedPlugin(started=started)
    journal = await Journal.open(path)
    run = make_run(plugin, journal=journal, report=report)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == (
        "exception",
        ExceptionReason.INTERNAL_ERROR,
    ) or commits == 4
    assert run.stop_worker
    assert run.stage == "dispose"
    assert reported == []
    assert run.trace.of(Kind.REPORT)[0].get("outcome") == "failed"
    with pytest.raises(JournalError, match="full"):
        await journal.close()


async def test_nothing_is_acquired_where_the_journal_failed(path, make_run: Bench, monkeypatch):
    """The error comes out of `lease`, and whoever wanted to acquire does not get there."""
    acquired: list[int] = []

    async def started(sandbox: Any) -> None:
        async with plugin.context.leased("port", number=8080):
            acquired.append(8080)

    failing_disk(monkeypatch, after=3)
    plugin = ScriptedPlugin(started=started)
    journal = await Journal.open(path)
    run = make_run(plugin, journal=journal)

    await run.wait()

    assert acquired == []
    assert "JournalError: database or disk is full" in str(run.resolution and run.resolution.cause)
    with pytest.raises(JournalError):
        await journal.close()


async def test_a_sync_that_hangs_holds_up_nobody(path, make_run: Bench, monkeypatch):
    """Every wait for the disk is bounded: the run ends as an internal error, and so does closing."""
    disk = HeldDisk(monkeypatch, after=2)
    journal = await Journal.open(path, patience=0.2)
    run = make_run(ScriptedPlugin(), journal=journal)

    resolution = await run.wait()

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "took more than 0.2 seconds to make something durable" in str(resolution.cause)
    with pytest.raises(JournalError, match=r"more than 0\.2 seconds"):
        await journal.close()
    disk.go.set()


async def test_an_abort_does_not_wait_for_the_disk(path, make_run: Bench, monkeypatch):
    """An abort while a hook waits for a lease ends the wait after the grace, and the lease is released."""
    disk = HeldDisk(monkeypatch, after=3)

    async def started(sandbox: Any) -> None:
        await plugin.context.lease("port", number=8080)

    plugin = ScriptedPlugin(started=started)
    journal = await Journal.open(path)
    run = make_run(plugin, journal=journal, limits=Limits(cancel_grace=0.1))
    waiting = asyncio.create_task(run.wait())
    await disk.reached()

    run.abort("canceled")
    await until(lambda: run.stage == "dispose")
    disk.go.set()
    resolution = await waiting
    await journal.close()

    assert resolution.reason is ExceptionReason.CANCELED
    assert [event.stage for event in run.trace.of(Kind.RELEASE)] == ["started", "dispose"]
    assert kinds(path) == []


async def test_a_cancelled_wait_leaves_no_lease_of_the_worker(path, monkeypatch):
    """Whoever gives up waiting for a worker-wide lease acquires nothing, so nothing of it is left to recovery."""
    disk = HeldDisk(monkeypatch, after=2)
    journal = await Journal.open(path)
    leasing = asyncio.create_task(journal.lease("port", number=8080))
    await disk.reached()

    leasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leasing
    disk.go.set()
    await journal.close()

    assert (kinds(path), locks(path)) == ([], [])


async def test_cancelling_the_driver_while_it_waits_still_disposes(path, make_run: Bench, monkeypatch):
    """A cancellation that meets the wait before the first stage is a worker-shutdown, raised after dispose."""
    disk = HeldDisk(monkeypatch, after=2)
    journal = await Journal.open(path)
    run = make_run(ScriptedPlugin(), journal=journal, limits=Limits(cancel_grace=0.1))
    waiting = asyncio.create_task(run.wait())
    await disk.reached()

    waiting.cancel()
    await until(lambda: run.stage == "dispose")
    disk.go.set()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert run.resolution is not None
    assert run.resolution.reason is ExceptionReason.WORKER_SHUTDOWN
    await journal.close()
    assert kinds(path) == []


async def test_closing_with_a_run_under_way_keeps_the_lock(path, make_run: Bench):
    """A journal that is closed too early fails its runs, and lets nobody recover what still lives."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def started(sandbox: Any) -> None:
        reached.set()
        await go.wait()
        await plugin.context.lease("port", number=8080)

    plugin = ScriptedPlugin(started=started)
    journal = await Journal.open(path)
    run = make_run(plugin, journal=journal)
    waiting = asyncio.create_task(run.wait())
    await reached.wait()

    await journal.close()
    go.set()
    resolution = await waiting

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert f"the journal {path} is closed" in str(resolution.cause)
    assert journal._lock is not None
    assert journal._lock.held
    journal._lock.drop()


async def test_a_writer_that_dies_fails_those_who_wait(path, monkeypatch):
    """Whatever ends the thread, nobody waits for it for ever."""

    def dies(store: Store, statements: Iterable[Statement]) -> None:
        raise SystemExit(3)

    journal = await Journal.open(path)
    monkeypatch.setattr(Store, "commit", dies)

    with pytest.raises(JournalError, match="has failed: SystemExit"):
        await journal.lease("folder", path="/nowhere")
    with pytest.raises(JournalError, match="has failed: SystemExit"):
        await journal.close()


@pytest.mark.parametrize("use", [Journal.close, lambda journal: journal.lease("folder", path="/nowhere")])
async def test_a_fork_cannot_use_the_journal(use: Callable[[Journal], Any], journal):
    """A forked child has neither the thread nor the lock: using the journal there fails, and harms nothing."""
    child = os.fork()
    if child == 0:
        os._exit(_fails(use, journal))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)

    assert os.waitstatus_to_exitcode(status) == 42
    await journal.release(await journal.lease("folder", path="/nowhere"))


def _fails(use: Callable[[Journal], Any], journal: Journal) -> int:
    coroutine = use(journal)
    try:
        coroutine.send(None)
    except JournalError as error:
        return 42 if "belongs to the process that opened it" in str(error) else 1
    except BaseException:
        return 2
    return 3


# Several processes on one file


async def test_sessions_share_a_file(path):
    """Each session has its own lock and records; closing one leaves the other's."""
    async with await Journal.open(path) as first:
        async with await Journal.open(path) as second:
            await asyncio.gather(first.lease("folder", path="/a"), second.lease("folder", path="/b"))
            both = [body["data"]["path"] for _, what, _, body in records(path) if what == "lease"]
        left = [body["data"]["path"] for _, what, _, body in records(path) if what == "lease"]

    assert sorted(both) == ["/a", "/b"]
    assert sorted(left) == ["/a", "/b"]


async def test_another_process_may_hold_the_write_lock_for_a_while(path, journal):
    """A file that somebody else writes is waited for."""
    other = Store.open(path, any_thread=True)
    other._connection.execute("BEGIN IMMEDIATE")
    leasing = asyncio.create_task(journal.lease("folder", path="/nowhere"))
    await asyncio.sleep(0.05)
    assert not leasing.done()

    other._connection.execute("ROLLBACK")
    other.close()

    assert (await leasing).kind == "folder"


async def test_a_file_that_stays_busy_is_a_clear_error(path, journal, monkeypatch):
    """Somebody who stopped while writing does not hold us up for ever."""
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.1)
    second = await Journal.open(path)
    other = Store.open(path, any_thread=True)
    other._connection.execute("BEGIN IMMEDIATE")

    with pytest.raises(JournalError, match="held by another process"):
        await second.lease("folder", path="/nowhere")
    other.close()
    with pytest.raises(JournalError):
        await second.close()


# Files that cannot be used


async def test_a_folder_that_cannot_be_written(tmp_path):
    """The message names the journal and what is in the way."""
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalError, match=r"the journal .*/file/journal\.db cannot be created"):
        await Journal.open(tmp_path / "file" / "journal.db")


async def test_a_database_of_something_else_is_left_alone(path):
    """A database that is no journal is neither changed nor moved."""
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(JournalError, match="is a database of something else"):
        await Journal.open(path)
    assert path.read_bytes() == before


async def test_a_file_of_something_else_is_left_alone(path):
    """Somebody's letter is not taken for a damaged journal."""
    path.write_text("Dear Sir or Madam,\n" * 100)

    with pytest.raises(JournalError, match="is not a journal; name another file"):
        await Journal.open(path)
    assert path.read_text().startswith("Dear Sir")
    assert sorted(os.listdir(path.parent)) == ["journal.db", "journal.db.guard"]


async def test_a_journal_of_a_later_release_is_left_alone(path):
    """A file of another version is for the release that wrote it."""
    async with await Journal.open(path):
        pass
    store = Store.open(path)
    store.commit([("PRAGMA user_version = 2", ())])
    store.close()

    with pytest.raises(JournalError, match="has version 2, this release knows version 1"):
        await Journal.open(path)


async def test_a_run_that_is_never_waited_for_leaves_nothing(path, journal):
    """Nothing is written before a run's first event."""
    journal.new_run(task_info())
    await journal.release(await journal.lease("folder", path="/nowhere"))

    assert kinds(path) == ["session"]
