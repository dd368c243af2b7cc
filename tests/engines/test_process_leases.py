"""With a journal, whatever would outlive the worker is leased before it is acquired, and released when it is gone."""

import asyncio
import os
import signal

import pytest

from stagecall.engines.process import _attribution, _cgroup, _group, _marker, containment, spawn
from stagecall.engines.process._cgroup_tree import ControlGroup
from stagecall.engines.process.child import Child
from stagecall.engines.process.config import ContainmentKind
from stagecall.engines.process.spawn import Program
from stagecall.lifecycle import proc
from stagecall.lifecycle.errors import FatalInternalError, JournalError, MalformedPayloadError
from stagecall.lifecycle.journal import Journal
from stagecall.specs.trace import Kind
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime

from .leased_support import KIND_OF_LEASE, commands, made
from .process_support import ALL_KINDS, CONTAINED, RecordingMonitor, alive, no_cgroup, until


@pytest.fixture
async def leased(tmp_path, kind):
    """Commands that take leases, of the containment `kind`."""
    if kind is ContainmentKind.CGROUP and (reason := await no_cgroup()):
        pytest.skip(reason)
    async with commands(tmp_path, kind) as made:
        yield made


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_the_first_instruction_waits_until_the_lease_is_durable(leased, kind):
    """Nothing of the task runs before its lease is on disk; everything does right after."""
    asked, durable = asyncio.Event(), asyncio.Event()

    async def before(lease):
        asked.set()
        await durable.wait()

    leased.leases.before = before
    program = leased.program(": >ran")
    starting = asyncio.create_task(leased.start(program))
    await asked.wait()
    await asyncio.sleep(0.1)
    ran_before = (leased.folder / "ran").exists()

    durable.set()
    await starting

    await leased.made("ran")
    assert not ran_before


@pytest.mark.parametrize("kind", CONTAINED)
async def test_nothing_is_there_when_the_lease_is_recorded(leased, kind):
    """A control group is made, and a supervisor forked, only after the lease that names it is durable."""
    seen = []

    async def before(lease):
        seen.append((made(lease), alive(leased.folder)))

    leased.leases.before = before

    await leased.running(": >ready; sleep 1000")

    assert seen == [(False, [])]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_lease_is_released_once_nothing_is_left(leased, kind):
    """`clear` kills all first, and then says so to the journal."""
    cell = await leased.running(": >ready; sleep 1000")
    held = [lease.kind for lease in leased.leases.open]
    leased.cells.remove(cell)

    await cell.clear()

    assert held == [KIND_OF_LEASE[kind]]
    assert leased.leases.calls == [f"lease {held[0]}", f"release {held[0]}"]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_start_that_is_cancelled_while_it_waits_for_the_journal_leaves_nothing(leased, kind):
    """Whoever cancels the start finds neither a process nor a control group afterwards."""
    asked = asyncio.Event()
    wanted = []

    async def before(lease):
        wanted.append(lease)
        asked.set()
        await asyncio.Event().wait()

    leased.leases.before = before
    starting = asyncio.create_task(leased.start(leased.program(": >ran")))
    await asked.wait()

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    await until(lambda: not alive(leased.folder), "the end of what waited at its gate")
    assert [made(lease) for lease in wanted] == [False]
    assert not (leased.folder / "ran").exists()


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_journal_that_fails_keeps_the_task_from_running(leased, kind):
    """Without a durable lease nothing is started, and the error is the journal's."""

    async def before(lease):
        raise FatalInternalError("the disk is full")

    leased.leases.before = before

    with pytest.raises(FatalInternalError, match="the disk is full"):
        await leased.start(leased.program(": >ran"))

    await until(lambda: not alive(leased.folder), "the end of what waited at its gate")
    assert not (leased.folder / "ran").exists()


@pytest.mark.parametrize("kind", CONTAINED)
async def test_a_start_that_fails_releases_its_lease(leased, kind):
    """What could not be started is not left to a recovery."""
    with pytest.raises(MalformedPayloadError, match="too long"):
        await leased.start(leased.program("exit", "x" * 1_000_000, "y" * 1_000_000, *["z" * 100_000] * 20))

    assert leased.leases.calls == [f"lease {KIND_OF_LEASE[kind]}", f"release {KIND_OF_LEASE[kind]}"]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_what_cannot_be_killed_stays_leased(leased, kind, monkeypatch):
    """A recovery shall try again what this worker could not."""
    cell = await leased.running("echo $$ >ready; sleep 1000")
    leased.cells.remove(cell)
    with monkeypatch.context() as patch:
        for module in (containment, _cgroup, _marker):
            patch.setattr(module, "KILL_SECONDS", 0.1)
        patch.setattr(Child, "signal_group", lambda child, number: None)
        patch.setattr(ControlGroup, "kill", lambda group: None)
        patch.setattr(_attribution, "send", lambda pid, number, still: False)

        with pytest.raises(FatalInternalError):
            await cell.clear()

    assert [lease.kind for lease in leased.leases.open] == [KIND_OF_LEASE[kind]]
    await until(lambda: leased.pids("ready"), "the number of the process")
    os.killpg(leased.pids("ready")[0], signal.SIGKILL)
    await cell.clear()


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_without_a_journal_nobody_is_asked(leased, kind):
    """A worker that keeps no journal takes no lease, and gives none back."""
    leased.journaled = False

    cell = await leased.running(": >ready; sleep 1000")
    leased.cells.remove(cell)
    await cell.clear()

    assert leased.leases.calls == []


@pytest.mark.parametrize(
    ("kind", "journaled", "expected"),
    [(ContainmentKind.NONE, False, "direct"), (ContainmentKind.NONE, True, "gated")],
)
async def test_only_a_journal_costs_a_task_without_containment_its_direct_start(
    leased, kind, journaled, expected, monkeypatch
):
    """Without a journal the command is started directly, without a gate; with one it waits at its gate."""
    taken = []

    def spied(way, start):
        def start_spied(program: Program, outputs):
            taken.append((way, "STAGECALL_SANDBOX" in program.environment))
            return start(program, outputs)

        return start_spied

    monkeypatch.setattr(_group, "start_directly", spied("direct", spawn.start_directly))
    monkeypatch.setattr(_group, "start_gated", spied("gated", spawn.start_gated))
    leased.journaled = journaled

    await leased.running(": >ready; sleep 1000")

    assert taken == [(expected, journaled)]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_shell_beside_the_task_is_leased_too(leased, kind):
    """The task's lease covers its shells where their cells lie within; a process group gets a lease of its own."""
    outer = await leased.running(": >ready; sleep 1000")
    taken = len(leased.leases.calls)

    await leased.start(leased.program(": >inner; sleep 1000"), outer.nested())

    await leased.made("inner")
    added = [] if kind in CONTAINED else ["lease process.group"]
    assert leased.leases.calls[taken:] == added


@pytest.mark.parametrize("kind", [ContainmentKind.NONE])
async def test_the_lease_of_a_group_tells_its_leader_from_all_other_processes(leased, kind):
    """Number, start and boot are those of the command itself: the shell at the gate becomes it."""
    await leased.running("echo $$ >ready; exec sleep 1000")
    await until(lambda: leased.pids("ready"), "the number of the process")

    (lease,) = leased.leases.open

    process = proc.look(leased.pids("ready")[0])
    assert process is not None
    assert {name: value for name, value in lease.data.items() if name != "marker"} == {
        "pid": process.pid,
        "start_time": process.start,
        "boot_id": proc.boot_id(),
    }
    assert _attribution.bears(process.pid, _attribution.entry(lease.data["marker"]))


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_containment_is_tried_out_under_a_lease_as_well(leased, kind):
    """The trial command of a new engine is leased and released like a task's."""
    await containment.choose(kind, RecordingMonitor(), leased.leases)

    assert leased.leases.calls == [f"lease {KIND_OF_LEASE[kind]}", f"release {KIND_OF_LEASE[kind]}"]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_run_with_a_journal_leases_its_sandbox(tmp_path, leased, kind):
    """The trace has the lease before the sandbox is started, and its release before there is a result."""
    (tmp_path / "temporary").mkdir()
    async with (
        await Journal.open(tmp_path / "journal.db") as journal,
        LocalEnvironment(root=tmp_path / "temporary", journal=journal) as environment,
        await Runtime.create(
            "process",
            {"success": {}},
            engine_config={"containment": kind.value},
            environment=environment,
            journal=journal,
        ) as runtime,
    ):
        run = runtime.new_run({"payload": {"command": ["/bin/true"]}})

        resolution = await run.wait()

    told = [(event.stage, event.kind, event.get("what")) for event in run.trace.of(Kind.LEASE, Kind.RELEASE)]
    assert resolution.success
    assert told == [
        ("pending", Kind.LEASE, "folder"),
        ("start", Kind.LEASE, KIND_OF_LEASE[kind]),
        ("waiting", Kind.RELEASE, None),
        ("dispose", Kind.RELEASE, None),
    ]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_journal_that_fails_says_nothing_about_containment(leased, kind):
    """An engine does not fall back to a weaker containment because the journal's disk is full."""

    async def before(lease):
        raise JournalError("the disk is full")

    leased.leases.before = before

    with pytest.raises(JournalError, match="the disk is full"):
        await containment.choose(ContainmentKind.AUTO, RecordingMonitor(), leased.leases)
