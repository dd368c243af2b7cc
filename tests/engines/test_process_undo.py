"""What a lease of the process engine stands for can be ended without the worker that took it, and nothing else is."""

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import attrs
import pytest

from stagecall.engines.process import _attribution, undo
from stagecall.engines.process._cgroup_tree import ControlGroup
from stagecall.engines.process.config import ContainmentKind
from stagecall.lifecycle.errors import NonFatalInternalError
from stagecall.lifecycle.journal.lease import Lease
from stagecall.lifecycle.proc import Process, boot_id, look, numbers, read

from .leased_support import KIND_OF_LEASE, commands, made
from .process_support import ALL_KINDS, CONTAINED, PYTHON, alive, no_cgroup, stranger, until
from .test_process_containment import DAEMON, HOSTILE

UNDOS = {
    "process.cgroup": undo.undo_cgroup,
    "process.marker": undo.undo_marker,
    "process.group": undo.undo_group,
}

GROUP = [ContainmentKind.NONE]

FROM_WITHIN = """
import asyncio, json, sys, time
from pathlib import Path
from stagecall.engines.process import undo
from stagecall.lifecycle.errors import NonFatalInternalError

class Lease:
    folder = Path(sys.argv[1])
    while not (folder / "lease.json").exists():
        time.sleep(0.01)
    kind, data = json.loads((folder / "lease.json").read_text())

try:
    asyncio.run(getattr(undo, sys.argv[2])(Lease))
except NonFatalInternalError as error:
    told = str(error)
else:
    told = "done"
(Lease.folder / "told.part").write_text(told)
(Lease.folder / "told.part").rename(Lease.folder / "told")
time.sleep(1000)
"""


@pytest.fixture
async def leased(tmp_path, kind):
    """Commands that take leases, of the containment `kind`."""
    if kind is ContainmentKind.CGROUP and (reason := await no_cgroup()):
        pytest.skip(reason)
    async with commands(tmp_path, kind) as made:
        yield made


async def undone(lease: Lease, **changes) -> None:
    """Undo a lease, with another value of some of its data."""
    await UNDOS[lease.kind](attrs.evolve(lease, data={**lease.data, **changes}))


async def test_every_kind_of_lease_has_its_undo_installed():
    """Recovery finds the three by the entry-point group `stagecall.undos`."""
    found = {point.name: point.load() for point in entry_points(group="stagecall.undos")}

    assert {name: found.get(name) for name in UNDOS} == UNDOS


@pytest.mark.parametrize("kind", CONTAINED)
async def test_undo_leaves_nothing_of_a_hostile_tree(leased, kind):
    """Sessions, orphans, daemons and cleared environments end with the lease, and the control group is gone."""
    script = f"shift\n{HOSTILE}\n: >ready\nwhile :; do sleep 1000; done"
    await leased.running(script, PYTHON, DAEMON)
    (lease,) = leased.leases.open
    before = len(alive(leased.folder))

    await undone(lease)

    assert before >= 5
    assert alive(leased.folder) == []
    assert not made(lease)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_undo_ends_the_whole_group(leased, kind):
    """Neither ignored signals nor the end of the leader keep a process of the task's group alive."""
    await leased.running("trap '' TERM; sh -c 'sleep 1000 & sleep 1000' & echo $$ >ready; sleep 1000")
    (lease,) = leased.leases.open

    await undone(lease)

    assert alive(leased.folder) == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_undo_may_come_twice(leased, kind):
    """What is undone already is no error."""
    await leased.running(": >ready; sleep 1000")
    (lease,) = leased.leases.open
    await undone(lease)

    await undone(lease)

    assert alive(leased.folder) == []
    assert not made(lease)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_undo_of_a_lease_that_came_to_nothing_does_nothing(leased, kind):
    """The worker may have died between its lease and what it was for."""
    await leased.running(": >ready; sleep 1000")
    (lease,) = leased.leases.open
    cell = leased.cells.pop()
    await cell.clear()

    await undone(lease)

    assert alive(leased.folder) == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_lease_of_another_boot_has_nothing_left_to_kill(leased, kind):
    """Numbers, starts and markers are those of one boot: whatever bears them now is a stranger."""
    await leased.running(": >ready; sleep 1000")
    (lease,) = leased.leases.open

    await undone(lease, boot_id="f" * len(boot_id()))

    assert len(alive(leased.folder)) >= 2


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_no_stranger_is_killed(leased, kind):
    """A process that works in the task's folder, and bears another marker, lives on."""
    await leased.running(": >ready; sleep 1000")
    (lease,) = leased.leases.open

    with stranger(leased.folder) as other:
        await undone(lease)

        assert other.poll() is None


@pytest.mark.parametrize("kind", GROUP)
async def test_what_left_the_group_goes_on(leased, kind):
    """With `none` a task may leave a daemon behind, so a recovery leaves it too, marker or not."""
    await leased.running(
        "setsid sleep 1001 & until grep -q sleep /proc/$!/comm; do :; done; echo $! >ready; sleep 1000"
    )
    (lease,) = leased.leases.open
    await until(lambda: leased.pids("ready"), "the number of the daemon")

    await undone(lease)

    left = alive(leased.folder)
    os.kill(leased.pids("ready")[0], signal.SIGKILL)
    assert left == ["sleep 1001 "]


@pytest.fixture
def group(tmp_path):
    """`group(script)` is a process group that no cell watches, with its leader's Popen and its lease."""
    groups: list[subprocess.Popen[bytes]] = []

    def start(script: str, marker: str = "0123456789abcdef" * 2) -> tuple[subprocess.Popen[bytes], Lease]:
        command = ["/bin/sh", "-c", f"{script}\n: >ready; sleep 1000", "script", str(tmp_path)]
        environment = {"PATH": os.defpath, "STAGECALL_SANDBOX": marker}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
        groups.append(process)
        found = look(process.pid)
        assert found is not None
        data = {"pid": found.pid, "start_time": found.start, "marker": marker, "boot_id": boot_id()}
        return process, Lease(1, "process.group", data)

    yield start
    for process in groups:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def without_leader(folder: Path, leader: subprocess.Popen[bytes]) -> None:
    """End and reap the leader of a group once its script has got to its end."""
    await until((folder / "ready").exists, "the file ready")
    leader.kill()
    leader.wait()


async def test_a_number_that_was_given_to_another_process_is_left_alone(tmp_path, group):
    """A group whose leader started at another time is a stranger's, whatever marker is in it."""
    leader, lease = group("sleep 1000 &")

    await undone(lease, start_time=lease.data["start_time"] + 1)

    assert leader.poll() is None
    assert "T" not in [process.state for process in of_group(leader.pid)]


async def test_a_group_without_its_leader_is_known_by_the_marker(tmp_path, group):
    """One process that bears the marker proves whose the group is: what cleared its environment ends too."""
    leader, lease = group("sleep 1000 & env -i sleep 1001 &")
    await without_leader(tmp_path, leader)
    before = len(of_group(leader.pid))

    await undone(lease)

    assert before >= 2
    assert of_group(leader.pid) == []


async def test_those_that_die_after_the_marker_has_gone_are_waited_for(tmp_path, group, monkeypatch):
    """The kernel ends a group one by one: who bore the marker may be gone before the others, which are ours too."""
    leader, lease = group("sleep 1000 & env -i sleep 1001 &")
    await without_leader(tmp_path, leader)
    marker = _attribution.entry(lease.data["marker"])

    def kill_one_by_one(pid, number):
        for process in of_group(pid):
            delay = 0 if _attribution.bears(process.pid, marker) else 0.3
            threading.Timer(delay, os.kill, (process.pid, number)).start()

    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", kill_one_by_one)
        await undone(lease)

    assert of_group(leader.pid) == []


async def test_a_group_that_nothing_proves_is_left_alone(tmp_path, group):
    """Without its leader, and without the marker, a group of that number may be anybody's."""
    leader, lease = group("sleep 1000 &")
    await without_leader(tmp_path, leader)

    await undone(lease, marker="0" * 32)

    assert [process.state for process in of_group(leader.pid)] == ["S"] * 2


async def test_a_group_that_keeps_forking_is_ended(tmp_path, group):
    """Processes that fork and exit all the time, each under another number, do not outrun the undo."""
    program = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(8):
    if os.fork() == 0:
        while True:
            time.sleep(0.002)
            if os.fork():
                os._exit(0)
"""
    leader, lease = group(f"{PYTHON} -I -S -c '{program}'")
    await without_leader(tmp_path, leader)

    await undone(lease)

    assert of_group(leader.pid) == []


def of_group(pid: int) -> list[Process]:
    found = (look(number) for number in numbers())
    return [process for process in found if process and process.alive and process.group == pid]


@pytest.mark.parametrize("kind", [ContainmentKind.MARKER])
async def test_a_process_between_two_programs_is_not_overlooked(leased, kind, monkeypatch):
    """While a process executes another program the kernel shows neither its environment nor its command line."""
    await leased.running("trap '' TERM; : >ready; sleep 1000")
    (lease,) = leased.leases.open
    marker = _attribution.entry(lease.data["marker"])
    task = [pid for pid in numbers() if _attribution.bears(pid, marker)]
    shown_from = time.monotonic() + 0.05

    def read_nothing_at_first(pid, name):
        return b"" if pid in task and time.monotonic() < shown_from else read(pid, name)

    monkeypatch.setattr(_attribution, "read", read_nothing_at_first)

    await undone(lease)

    assert alive(leased.folder) == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_what_cannot_be_killed_is_named(leased, kind, monkeypatch):
    """The error says which processes are left, so that the lease is kept and somebody can look."""
    await leased.running("echo $$ >ready; exec sleep 1000")
    await until(lambda: leased.pids("ready"), "the number of the process")
    (lease,) = leased.leases.open
    with monkeypatch.context() as patch:
        patch.setattr(undo, "KILL_SECONDS", 0.1)
        patch.setattr(ControlGroup, "kill", lambda group: None)
        patch.setattr(_attribution, "send", lambda pid, number, still: False)
        patch.setattr(undo, "send", lambda pid, number, still: False)

        with pytest.raises(NonFatalInternalError, match=str(leased.pids("ready")[0])):
            await undone(lease)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (ContainmentKind.CGROUP, "holds the process that is to clear it, and was left alone"),
        (ContainmentKind.NONE, "holds the process that is to kill it, and was left alone"),
        (ContainmentKind.MARKER, "done"),
    ],
)
async def test_a_recovery_that_the_task_itself_started_does_not_kill_itself(leased, kind, told):
    """It would be killed by every recovery, for ever; so it refuses, or ends all but itself."""
    script = 'sleep 1000 & exec "$2" -c "$3" "$1" "$4"'
    name = UNDOS[KIND_OF_LEASE[kind]].__name__
    await leased.start(leased.program(script, PYTHON, FROM_WITHIN, name))
    (lease,) = leased.leases.open
    (leased.folder / "lease.part").write_text(json.dumps([lease.kind, dict(lease.data)]))
    (leased.folder / "lease.part").rename(leased.folder / "lease.json")

    await leased.made("told")

    assert (leased.folder / "told").read_text().endswith(told)
    others = [line for line in alive(leased.folder) if "sleep 1000" in line and "asyncio" not in line]
    assert len(others) == (0 if told == "done" else 1)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("process.cgroup", "folder", "/sys/fs/cgroup"),
        ("process.cgroup", "folder", "/sys/fs/cgroup/stagecall-0123456789abcdef/.."),
        ("process.cgroup", "name", None),
        ("process.marker", "marker", ""),
        ("process.group", "marker", "x"),
        ("process.group", "pid", 1),
        ("process.group", "pid", "17"),
        ("process.group", "start_time", None),
        ("process.group", "boot_id", ""),
    ],
)
async def test_a_lease_that_is_none_of_the_engines_kills_nothing(kind, field, value):
    """Data that the engine would not have written is refused by name, before anything is looked at."""
    group = "/sys/fs/cgroup/stagecall-0123456789abcdef"
    data = {
        "folder": group,
        "name": group,
        "marker": "0" * 32,
        "pid": 2,
        "start_time": 1,
        "boot_id": boot_id(),
    }

    with pytest.raises(
        NonFatalInternalError, match=f"'{kind}' cannot have the {field} .*: nothing was killed"
    ):
        await undone(Lease(1, kind, data), **{field: value})


async def test_a_folder_that_is_no_control_group_is_left_alone(tmp_path):
    """A folder of that name elsewhere is not removed, though it is empty."""
    folder = tmp_path / "stagecall-0123456789abcdef"
    folder.mkdir()
    data = {"folder": str(folder), "name": f"/{folder.name}", "boot_id": boot_id()}

    with pytest.raises(NonFatalInternalError, match="is no control group, and was left alone"):
        await undone(Lease(1, "process.cgroup", data))

    assert folder.is_dir()
