"""Recovery ends what dead processes left, whenever they died, and leaves the living alone."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from stagecall import recover
from stagecall.lifecycle import (
    ExceptionReason,
    FatalInternalError,
    JournalError,
    Limits,
    NonFatalInternalError,
)
from stagecall.lifecycle.journal import Journal, Lease
from stagecall.lifecycle.journal.locks import SessionLock
from stagecall.lifecycle.journal.store import Store, insert
from stagecall.lifecycle.recovery import RecoveredRun, undos
from stagecall.specs.lifecycle import TASK_RUN, Stage
from stagecall.specs.rules import judge
from stagecall.specs.trace import Kind, Trace
from stagecall.testing.doubles import Bench, ScriptedPlugin
from stagecall.worker.task_run import TaskRun

from .journal_support import die, kinds, leave_behind, locks, records, until

VICTIM = Path(__file__).with_name("recovery_victim.py")
MINE = TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("builder",)), after="build", name="mine")


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


class Undone:
    """Undoes leases of any kind, and remembers them."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []

    async def __call__(self, lease: Lease) -> None:
        self.leases.append(lease)


class Reports:
    """Takes reports, and remembers them."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, str, ExceptionReason | None]] = []

    async def __call__(self, run: RecoveredRun) -> None:
        self.runs.append((run.run_id, run.resolution.state, run.resolution.reason))


def victim(*arguments: str, killed: bool = True) -> str:
    """Start the program that is killed; return what it said before."""
    done = subprocess.run(
        [sys.executable, str(VICTIM), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode == -signal.SIGKILL) is killed, done.stderr
    return done.stdout.strip()


# Real deaths


@pytest.mark.parametrize("hook", ["build_sandbox", "started", "stopped", "finished", "dispose"])
async def test_a_killed_worker_is_cleaned_up_after(hook, path):
    """After SIGKILL in a hook: the trace keeps every rule, the folders are gone, log and leases were seen to."""
    folder = victim("run", str(path), hook)
    undone = Undone()

    recovery = await recover(path, undos={"port": undone})

    (run,) = recovery.runs
    expected = "completed" if hook == "dispose" else "exception"
    assert judge(run.trace) == []
    assert (run.resolution.state, run.stage) == (expected, {"build_sandbox": "build"}.get(hook, hook))
    assert [lease.data for lease in undone.leases] == [{"number": 8080}]
    assert [lease.kind for lease in run.undone] == ["port", "folder"]
    assert [lease.kind for lease in recovery.undone] == ["folder"]
    assert not Path(folder).exists()  # noqa: ASYNC240
    assert run.folder is not None
    assert run.folder == path.parent / "journal.db.recovered" / run.task_id / "0"
    logged = (run.folder / "task.log").read_text() if hook not in ("finished", "dispose") else ""
    assert logged == ("" if not logged else f"[stagecall] killed in {hook}\n")
    assert (
        Trace.from_document(json.loads((run.folder / "run.json").read_text())).to_document()
        == run.trace.to_document()
    )
    assert (kinds(path), locks(path)) == ([], [])
    assert not (await recover(path)).found


async def test_recovery_may_be_killed_too(path):
    """A recovery that is killed in the middle of an undo is ended by the next one, which undoes that lease again."""
    victim("run", str(path), "started")
    victim("recover", str(path))
    undone = Undone()

    recovery = await recover(path, undos={"port": undone})

    (run,) = recovery.runs
    assert judge(run.trace) == []
    assert run.stage == "started"
    assert len(run.trace.of(Kind.RECOVERED)) == 2
    assert len(undone.leases) == 1
    assert not (await recover(path)).found


# Every moment


async def a_success(make_run: Bench, journal: Journal) -> TaskRun:
    async def started(sandbox: Any) -> None:
        leases.append(await plugin.context.lease("port", number=1))
        async with plugin.context.leased("mount", place="/mnt"):
            plugin.context.log("hello")

    async def dispose() -> None:
        await plugin.context.release(leases[0])

    leases: list[Lease] = []
    plugin = ScriptedPlugin(started=started, stopped=lambda result_set: True, dispose=dispose)
    return await driven(
        make_run(plugin, ScriptedPlugin("other", finished=lambda success: None), journal=journal)
    )


async def a_failure(make_run: Bench, journal: Journal) -> TaskRun:
    return await driven(
        make_run(ScriptedPlugin(stopped=lambda result_set: False), journal=journal, report=reports_ok)
    )


async def an_error(make_run: Bench, journal: Journal) -> TaskRun:
    async def started(sandbox: Any) -> None:
        raise NonFatalInternalError("no port is free")

    plugin = ScriptedPlugin(started=started, exception=lambda reason: None, dispose=lambda: None)
    return await driven(make_run(plugin, journal=journal))


async def a_late_error(make_run: Bench, journal: Journal) -> TaskRun:
    async def finished(success: bool) -> None:
        raise FatalInternalError("the disk is gone")

    plugin = ScriptedPlugin(finished=finished, exception=lambda reason: None)
    return await driven(make_run(plugin, journal=journal, report=reports_not))


async def an_abort(make_run: Bench, journal: Journal) -> TaskRun:
    async def started(sandbox: Any) -> None:
        run.abort("canceled")
        await plugin.context.cancelled.wait_async() if hasattr(
            plugin.context.cancelled, "wait_async"
        ) else None

    plugin = ScriptedPlugin(started=started, exception=lambda reason: None, dispose=lambda: None)
    run = make_run(plugin, journal=journal)
    return await driven(run)


async def an_abandonment(make_run: Bench, journal: Journal) -> TaskRun:
    async def started(sandbox: Any) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                pass

    over = asyncio.Event()
    limits = Limits(hook_timeout=0.05, abandon_grace=0.05)
    run = await driven(make_run(ScriptedPlugin(started=started), journal=journal, limits=limits))
    over.set()
    return run


async def a_lifecycle_of_its_own(make_run: Bench, journal: Journal) -> TaskRun:
    plugin = ScriptedPlugin(lifecycle=MINE, scanned=lambda builder: None, dispose=lambda: None)
    return await driven(make_run(plugin, journal=journal, lifecycle=MINE))


async def reports_ok(resolution: Any) -> None:
    pass


async def reports_not(resolution: Any) -> None:
    raise OSError("no route to the queue")


async def driven(run: TaskRun) -> TaskRun:
    await run.wait()
    return run


Scenario = Callable[[Bench, Journal], Coroutine[Any, Any, TaskRun]]
SCENARIOS = [a_success, a_failure, an_error, a_late_error, an_abort, an_abandonment, a_lifecycle_of_its_own]


@pytest.fixture
async def run_of(make_run: Bench, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario], Any]:
    """`await run_of(scenario)` is a run with a journal that went to its end."""

    async def made(scenario: Scenario) -> TaskRun:
        async with await Journal.open(tmp_path_factory.mktemp("other") / "journal.db") as journal:
            return await scenario(make_run, journal)

    return made


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_death_at_every_event(scenario, run_of, path):
    """Wherever the stored trace breaks off, recovery completes it along its own table and every rule holds.

    A resolution that was final stays, another is worker-shutdown; it is reported unless somebody was told; a lease is
    undone exactly if it was open, the newest first; a second recovery finds nothing.
    """
    run = await run_of(scenario)
    undone, reports = Undone(), Reports()
    leave_behind(path, run, *range(1, len(run.trace) + 1), reports=True)

    recovery = await recover(path, undos=dict.fromkeys(("port", "mount", "folder"), undone), report=reports)

    for events, found in enumerate(recovery.runs, 1):
        before = Trace(run.trace.started, run.trace[:events])
        assert judge(found.trace, found.lifecycle) == [], events
        assert found.lifecycle.stages == run.lifecycle.stages
        assert found.trace.to_document()["events"][:events] == before.to_document()["events"]
        outcome = [(event.get("state"), event.get("reason")) for event in before.of(Kind.OUTCOME)]
        expected = outcome[0] if outcome else ("exception", "worker-shutdown")
        assert (found.resolution.state, found.resolution.reason) == expected
        told = any(event.get("outcome") == "ok" for event in before.of(Kind.REPORT))
        assert [one for run_id, *one in reports.runs if run_id == events] == ([] if told else [[*expected]])
        opened = [event.get("lease") for event in before.of(Kind.LEASE)]
        closed = [event.get("lease") for event in before.of(Kind.RELEASE)]
        seen = [lease.id for lease in undone.leases if lease.owner == (run.info.task_id, events)]
        assert seen == [lease for lease in reversed(opened) if lease not in closed]
        times = [event.time for event in found.trace]
        assert times == sorted(times)
    assert len(recovery.runs) == len(run.trace)
    assert recovery.complete
    assert not (await recover(path)).found


async def test_death_of_the_recovery_at_every_commit(run_of, path, monkeypatch):
    """Wherever a recovery breaks off, the next one ends the run, and no stage is entered twice."""
    run = await run_of(a_success)
    commit, left, deaths = Store.commit, 0, 0

    def dying(store: Store, statements: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise JournalError("killed")
        commit(store, statements)

    events = [*range(1, len(run.trace) + 1, 4)]
    undone = dict.fromkeys(("port", "mount", "folder"), Undone())
    ended: dict[int, Any] = {}
    leave_behind(path, run, *events, reports=True)

    recoveries = 0
    while len(ended) < len(events):
        recoveries += 1
        left = (
            recoveries % 5 + 2
        )  # a run takes more commits than the least of these, so that all break off somewhere
        monkeypatch.setattr(Store, "commit", dying)
        with contextlib.suppress(JournalError):
            await recover(path, undos=undone, report=Reports())
        monkeypatch.setattr(Store, "commit", commit)
        for stored in (path.parent / "journal.db.recovered").rglob("run.json"):
            ended[int(stored.parent.name)] = json.loads(stored.read_text())
        assert recoveries < 1000

    await recover(path, undos=undone, report=Reports())
    for number in events:
        trace = Trace.from_document(ended[number])
        assert judge(trace) == [], number
        deaths += len(trace.of(Kind.RECOVERED)) - 1
    assert deaths > len(events)
    assert not (await recover(path)).found


# What it leaves


async def test_what_cannot_be_undone_is_kept(run_of, path):
    """An undo that fails keeps lease and run for the next recovery; the others are undone all the same."""

    async def fails(lease: Lease) -> None:
        raise NonFatalInternalError("somebody else has the port")

    run = await run_of(a_success)
    place = next(n for n, event in enumerate(run.trace) if event.get("what") == "mount") + 1
    leave_behind(path, run, place)
    undone = Undone()

    first = await recover(path, undos={"port": fails, "mount": undone, "folder": undone})
    again = await recover(path, undos={"port": fails, "mount": undone, "folder": undone})
    last = await recover(path, undos={"port": undone})

    assert [lease.kind for lease in undone.leases] == ["mount", "folder", "port"]
    for recovery in (first, again):
        (left,) = recovery.runs[0].left
        assert (left.lease.kind, left.why) == ("port", "NonFatalInternalError: somebody else has the port")
        assert (recovery.complete, recovery.runs[0].trace.of(Kind.END)) == (False, [])
    assert judge(last.runs[0].trace) == []
    assert (last.complete, last.runs[0].stage) == (True, "started")
    assert not (await recover(path)).found


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("x")]
)
async def test_an_undo_may_raise_anything(raised, run_of, path):
    """A broken undo ends neither the program nor the recovery."""

    async def breaks(lease: Lease) -> None:
        raise raised

    run = await run_of(a_success)
    leave_behind(path, run, 2)

    recovery = await recover(path, undos={"folder": breaks})

    assert type(raised).__name__ in recovery.runs[0].left[0].why


async def test_an_undo_that_hangs_is_left_behind(run_of, path, monkeypatch):
    """Every undo has its time, also one that refuses to be cancelled."""
    over = asyncio.Event()

    async def hangs(lease: Lease) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                pass

    run = await run_of(a_success)
    leave_behind(path, run, 2)
    monkeypatch.setattr(undos, "UNDO_SECONDS", 0.05)
    monkeypatch.setattr(undos, "GRACE_SECONDS", 0.05)

    recovery = await recover(path, undos={"folder": hangs})
    over.set()

    assert "took more than 0.05 seconds" in recovery.runs[0].left[0].why


async def test_unknown_kinds_are_kept(run_of, path):
    """A lease of a plugin that is not installed any more stays, and is named."""
    run = await run_of(a_success)
    place = next(n for n, event in enumerate(run.trace) if event.get("what") == "mount")
    leave_behind(path, run, place)

    recovery = await recover(path)

    assert "nothing is installed that undoes it" in recovery.runs[0].left[0].why
    assert kinds(path).count("lease") == 1


async def test_a_resolution_nobody_asks_for_is_kept(run_of, path):
    """Where somebody waits for the resolution, a recovery that cannot tell them keeps it for one that can."""
    run = await run_of(a_failure)
    leave_behind(path, run, 5, reports=True)
    reports = Reports()

    first = await recover(path)
    again = await recover(path)
    last = await recover(path, report=reports)

    assert [recovery.runs[0].reported for recovery in (first, again, last)] == [False, False, True]
    assert [len(recovery.runs[0].trace.of(Kind.RECOVERED)) for recovery in (first, again, last)] == [1, 1, 2]
    assert judge(first.runs[0].trace) == judge(last.runs[0].trace) == []
    assert reports.runs == [(5, "exception", ExceptionReason.WORKER_SHUTDOWN)]
    assert kinds(path) == []


async def test_a_report_that_fails_is_tried_again(run_of, path):
    """A report that does not arrive is kept, and made by the next recovery."""

    async def fails(run: RecoveredRun) -> None:
        raise OSError("no route to the queue")

    run = await run_of(a_failure)
    leave_behind(path, run, 5, reports=True)
    reports = Reports()

    first = await recover(path, report=fails)
    last = await recover(path, report=reports)

    assert first.runs[0].problems == ("its resolution was not reported: OSError: no route to the queue",)
    assert not first.complete
    assert judge(last.runs[0].trace) == []
    assert len(reports.runs) == 1


async def test_what_went_wrong_before_is_told(run_of, path):
    """The cause names the death, and what had gone wrong until then."""
    run = await run_of(an_error)
    place = next(n for n, event in enumerate(run.trace) if event.kind is Kind.ERROR) + 1
    leave_behind(path, run, place)

    (found,) = (await recover(path)).runs

    assert found.resolution.cause == (
        "overruled: started of plugin plugin: NonFatalInternalError: no port is free (incident incident-1); "
        "decided: the worker died while the run was in started"
    )


# Logs and traces


async def test_log_and_trace_go_home(run_of, path, tmp_path_factory):
    """A run that has a home gets its log and trace there."""
    folder, home = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("home") / "new"
    run = await run_of(a_success)
    run.trace.events[1].detail["data"].update(path=str(folder / "inner" / "run"))
    (folder / "inner" / "run").mkdir(parents=True)
    (folder / "inner" / "run" / "task.log").write_bytes(b"hello\xff\n" * 1000)
    leave_behind(path, run, 5, home=home)

    (found,) = (await recover(path)).runs

    assert (home / "task.log").read_bytes() == b"hello\xff\n" * 1000
    assert sorted(os.listdir(home)) == ["run.json", "task.log"]
    assert [event.get("bytes") for event in found.trace.of(Kind.LOG_CLOSED)] == [7000]
    assert os.listdir(folder / "inner") == []


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "linked-folder"])
async def test_a_log_that_is_none_is_not_followed(what, run_of, path, tmp_path_factory):
    """A task may have put anything in the place of its log: only a regular file is kept, and nothing hangs."""
    folder, secret = tmp_path_factory.mktemp("outer") / "run", tmp_path_factory.mktemp("home") / "task.log"
    secret.write_text("secret")
    run = await run_of(a_success)
    run.trace.events[1].detail["data"].update(path=str(folder))
    if what == "linked-folder":
        folder.symlink_to(secret.parent)
    else:
        folder.mkdir()
        {"link": lambda log: log.symlink_to(secret), "pipe": os.mkfifo, "folder": Path.mkdir}[what](
            folder / "task.log"
        )
    leave_behind(path, run, 5)

    (found,) = (await recover(path)).runs

    assert found.folder is not None
    assert os.listdir(found.folder) == ["run.json"]
    assert list(folder.parent.iterdir()) == []
    assert secret.read_text() == "secret"


async def test_a_log_that_cannot_be_kept_keeps_its_folder(run_of, path, tmp_path_factory):
    """A log is not removed before it is somewhere else."""
    folder, home = tmp_path_factory.mktemp("run") / "run", tmp_path_factory.mktemp("home") / "file"
    folder.mkdir()
    (folder / "task.log").write_text("hello")
    home.write_text("")
    run = await run_of(a_success)
    run.trace.events[1].detail["data"].update(path=str(folder))
    leave_behind(path, run, 5, home=home)

    recovery = await recover(path, keep=home)

    assert "the log cannot be kept in" in recovery.runs[0].left[0].why
    assert (folder / "task.log").read_text() == "hello"
    assert (await recover(path)).complete


async def test_a_clock_that_was_set_back(run_of, path):
    """The times of a trace do not go back, whatever the host's clock did meanwhile."""
    from datetime import timedelta

    run = await run_of(a_success)
    run.trace.started += timedelta(days=400)
    leave_behind(path, run, 5)

    (found,) = (await recover(path)).runs

    times = [event.time for event in found.trace]
    assert times == sorted(times)
    assert times[-1] < 60


# Who is dead


async def test_the_living_are_left_alone(path, make_run: Bench):
    """A second worker on the same journal recovers nothing of the first while that lives."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def started(sandbox: Any) -> None:
        await plugin.context.lease("port", number=8080)
        reached.set()
        await go.wait()

    plugin = ScriptedPlugin(started=started)
    first, second = await Journal.open(path), await Journal.open(path)
    run = make_run(plugin, journal=first)
    waiting = asyncio.create_task(run.wait())
    await reached.wait()

    recovery = await recover(path)
    dry = await recover(path, dry_run=True)
    go.set()
    await waiting
    await second.close()
    await first.close()

    assert (recovery.found, recovery.living) == (False, 2)
    assert (dry.found, dry.living) == (False, 2)
    assert run.resolution is not None
    assert run.resolution.success


async def test_somebody_removed_the_lock_file(path):
    """Where a lock file is missing, a session whose process lives is left alone all the same."""
    async with await Journal.open(path) as journal:
        await journal.lease("folder", path="/nowhere/at/all")
        (path.parent / locks(path)[0]).unlink()

        recovery = await recover(path)

    assert (recovery.found, recovery.living) == (False, 1)


async def test_two_recoveries_at_once(run_of, path):
    """Of two recoveries side by side one ends a run, the other leaves it alone."""
    undone, go = Undone(), asyncio.Event()

    async def slow(lease: Lease) -> None:
        await go.wait()
        await undone(lease)

    run = await run_of(a_success)
    leave_behind(path, run, 5)
    first = asyncio.create_task(recover(path, undos={"folder": slow}))
    await until(lambda: kinds(path).count("events") == 2)  # what it has stored before it undoes

    second = await recover(path, undos={"folder": undone})
    go.set()

    assert (second.found, second.living) == (False, 1)
    assert (await first).complete
    assert len(undone.leases) == 1


async def test_a_cancelled_recovery_lets_go(run_of, path):
    """A recovery that is cancelled leaves the rest to another, at once."""
    reached = asyncio.Event()

    async def hangs(lease: Lease) -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    run = await run_of(a_success)
    leave_behind(path, run, 5)
    first = asyncio.create_task(recover(path, undos={"folder": hangs}))
    await reached.wait()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    assert (await recover(path, undos={"folder": Undone()})).complete


async def test_locks_without_records_are_swept(path):
    """A worker that died before it wrote anything leaves a lock file, which goes with the next recovery."""
    async with await Journal.open(path):
        pass
    SessionLock.new(path).drop()

    await recover(path)

    assert locks(path) == []


# Worker-wide leases, and looking only


async def test_what_the_worker_leased_is_undone_last(path, make_run: Bench):
    """Leases that belong to no run come after those of the runs, the newest first."""
    undone = Undone()
    journal = await Journal.open(path)
    await journal.lease("first", number=1)
    await journal.lease("second", number=2)
    run = journal.new_run(make_run(ScriptedPlugin()).info)
    await die(journal)

    recovery = await recover(path, undos={"first": undone, "second": undone})

    assert run.number == 1
    assert [lease.kind for lease in undone.leases] == ["second", "first"]
    assert [lease.owner for lease in undone.leases] == [None, None]
    assert (recovery.runs, recovery.complete, locks(path)) == ((), True, [])


async def test_a_dry_run_changes_nothing(run_of, path):
    """It tells what would be done, and does none of it."""
    run = await run_of(a_success)
    leave_behind(path, run, 5)
    before = records(path)

    recovery = await recover(path, dry_run=True)

    (found,) = recovery.runs
    assert (found.task_id, found.stage, found.resolution.reason) == (
        run.info.task_id,
        "prepare",
        "worker-shutdown",
    )
    assert [lease.kind for lease in found.undone] == ["folder"]
    assert recovery.dry_run
    assert records(path) == before
    assert not (path.parent / "journal.db.recovered").exists()


async def test_where_there_is_no_journal_there_is_nothing_to_do(tmp_path):
    """Recovery creates nothing."""
    recovery = await recover(tmp_path / "none" / "journal.db")

    assert (recovery.found, recovery.complete, list(tmp_path.iterdir())) == (False, True, [])


async def test_a_task_id_has_no_say_in_paths(run_of, path):
    """A task id that is none leads nowhere but below the folder that is kept."""
    run = await run_of(a_success)
    leave_behind(path, run, 5)
    store = Store.open(path)
    (facts,) = (body for _, what, _, body in records(path) if what == "run")
    store.commit([insert("0123456789abcdef", 5, "run", 0, {**facts, "task_id": "../../../etc"})])
    store.close()

    (found,) = (await recover(path)).runs

    assert found.folder == path.parent / "journal.db.recovered" / "unknown-5" / "5"
