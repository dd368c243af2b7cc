"""Kill, abort and its own end leave not one process of a task alive, and touch no stranger."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from stagecall.engines.errors import SandboxAbortedError
from stagecall.engines.process import _attribution, _cgroup, _marker, containment
from stagecall.engines.process._cgroup_tree import ControlGroup
from stagecall.engines.process.child import Child
from stagecall.engines.process.config import ContainmentKind
from stagecall.engines.process.containment import UnavailableError
from stagecall.lifecycle import proc
from stagecall.lifecycle.errors import ConfigurationError, FatalInternalError

from .process_support import ALL_KINDS, BOUND, CONTAINED, PYTHON, House, alive, stranger, until, zombies

DAEMON = """
import os, signal, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.chdir("/")
open(sys.argv[1] + "/daemon", "w").close()
os.execve("/bin/sleep", [sys.argv[1], "1000"], {})
"""

HOSTILE = """
trap "" TERM HUP INT
here=$PWD
setsid sh -c 'trap "" TERM; : >session; sleep 1000' &
(nohup sh -c ': >orphan; sleep 1000' >/dev/null 2>&1 &)
env -i setsid /bin/sh -c 'trap "" TERM; : >bare; while :; do /bin/sleep 1000; done' &
"$1" -I -S -c "$2" "$here"
while [ ! -e session ] || [ ! -e orphan ] || [ ! -e bare ] || [ ! -e daemon ]; do sleep 0.01; done
"""
"""Leaves a session that ignores SIGTERM, an orphan, one without environment, a daemon without folder too."""

HELD = "[stagecall] a process outside the sandbox holds the task's output open; the log does not wait for it"


async def hostile(house: House, then: str):
    """Start the hostile tree, and `then` in its main process."""
    run = await house.sh(f"{HOSTILE}\necho ready\n{then}", PYTHON, DAEMON)
    await run.logged("ready")
    return run


@pytest.mark.parametrize("kind", CONTAINED)
async def test_abort_leaves_nothing_of_a_hostile_tree(make_house, kind):
    """Sessions, orphans, daemons, ignored signals and cleared environments do not help against an abort."""
    house = await make_house(kind, killGrace=0.1)
    run = await hostile(house, "while :; do sleep 1000; done")
    before = len(alive(run.owner.folder))

    await run.sandbox.abort()

    assert before >= 5
    await run.house.check_dead(run)
    with pytest.raises(SandboxAbortedError):
        await run.result()


@pytest.mark.parametrize("kind", CONTAINED)
async def test_what_a_task_leaves_behind_is_dead_before_its_result_is_given(make_house, kind):
    """A task that ends by itself takes its daemons with it, and keeps its exit code."""
    house = await make_house(kind)
    run = await house.sh(f"{HOSTILE}\nexit 0", PYTHON, DAEMON)

    result = await run.result()

    await run.house.check_dead(run)
    assert result.success


@pytest.mark.parametrize("kind", CONTAINED)
async def test_kill_leaves_nothing_of_a_hostile_tree_and_gives_a_result(make_house, kind):
    """A killed task has failed, and nothing of it is alive when `kill` returns."""
    house = await make_house(kind, killGrace=0.1)
    run = await hostile(house, "while :; do sleep 1000; done")

    await run.sandbox.kill()

    await run.house.check_dead(run)
    result = await run.result()
    assert (result.success, str(result.exit)) == (False, "was ended by signal 9 (SIGKILL)")


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_task_that_heeds_sigterm_may_say_goodbye(make_house, kind):
    """SIGTERM comes first, and a task that heeds it ends with its own exit code before the grace is over."""
    house = await make_house(kind, killGrace=BOUND)
    run = await house.sh("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
    await run.logged("ready")
    began = time.monotonic()

    await run.sandbox.kill()

    assert time.monotonic() - began < BOUND / 2
    result = await run.result()
    assert (result.success, result.exit.code) == (False, 7)
    assert run.lines()[-2:] == ["bye", "[stagecall] the command was killed: it exited with code 7"]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_task_that_ignores_sigterm_is_killed_after_its_grace(make_house, kind):
    """SIGKILL ends what is left when the configured seconds are over."""
    house = await make_house(kind, killGrace=0.3)
    run = await house.sh("trap '' TERM; echo ready; while :; do sleep 1000; done")
    await run.logged("ready")
    began = time.monotonic()

    await run.sandbox.kill()

    assert 0.3 <= time.monotonic() - began < BOUND
    assert (await run.result()).exit.signal == signal.SIGKILL


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_stopped_task_can_be_killed_politely_too(make_house, kind):
    """A task that was stopped is woken up to take its SIGTERM."""
    house = await make_house(kind, killGrace=BOUND)
    run = await house.sh("trap 'exit 5' TERM; echo ready; kill -STOP $$; sleep 1000")
    await run.logged("ready")

    await run.sandbox.kill()

    assert (await run.result()).exit.code == 5


@pytest.mark.parametrize("kind", CONTAINED)
async def test_a_tree_that_keeps_forking_is_killed(make_house, kind):
    """Processes that fork and exit all the time, each under another number, are caught."""
    house = await make_house(kind, killGrace=0.1)
    program = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(0.005)
            if os.fork():
                os._exit(0)
print("ready", flush=True)
time.sleep(1000)
"""
    run = await house.python(program)
    await run.logged("ready")

    await run.sandbox.abort()

    await run.house.check_dead(run)


async def test_without_containment_only_the_group_is_killed(make_house):
    """With `none` what left the process group goes on, and the result does not wait for it."""
    house = await make_house(ContainmentKind.NONE)
    run = await house.sh(
        "sleep 1000 & setsid sh -c 'echo $$ >daemon; exec sleep 1001' & until [ -s daemon ]; do :; done"
    )

    result = await run.result()

    left = alive(run.owner.folder)
    os.kill(int((run.folder / "daemon").read_text()), signal.SIGKILL)
    await until(lambda: not alive(run.owner.folder), "the end of the daemon")
    assert left == ["sleep 1001 "]
    assert result.success
    assert run.lines() == [HELD]


@pytest.mark.parametrize("kind", CONTAINED)
async def test_no_stranger_is_touched(make_house, kind):
    """A process that is not the task's lives on, though it has the task's folder, and a marker of its own."""
    house = await make_house(kind, killGrace=0)
    run = await house.sh("echo ready; sleep 1000")
    await run.logged("ready")

    with stranger(run.folder) as other:
        await run.sandbox.abort()

        assert other.poll() is None


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_stranger_that_holds_the_log_pipe_holds_up_nothing(make_house, kind):
    """The result comes although somebody outside keeps the output open; all that was written is there."""
    house = await make_house(kind)
    run = await house.sh("echo $$; until [ -e go ]; do sleep 0.01; done; echo written")
    await until(run.lines, "the number of the process")
    pipe = os.open(f"/proc/{run.lines()[0]}/fd/1", os.O_WRONLY)
    (run.folder / "go").touch()

    result = await run.result()

    os.close(pipe)
    assert result.success
    assert run.lines()[1:] == [
        "written",
        HELD,
    ]


async def test_a_task_that_stops_its_supervisor_is_killed_all_the_same(make_house):
    """A supervisor that was stopped goes on when the task is killed, and ends with it."""
    house = await make_house(ContainmentKind.MARKER, killGrace=0)
    run = await house.sh("kill -STOP $PPID; setsid sleep 1000 & echo ready; sleep 1000")
    await run.logged("ready")

    await run.sandbox.kill()

    assert not (await run.result()).success
    await house.check_dead(run)


async def test_a_task_that_kills_its_supervisor_is_killed_all_the_same(make_house):
    """Without the supervisor, session and marker still tell what belongs to the task, which has failed."""
    house = await make_house(ContainmentKind.MARKER)
    run = await house.sh(
        """
        setsid sh -c ': >marked; sleep 1000' &
        (env -i sh -c ': >unmarked; sleep 1000' &)
        until [ -e marked ] && [ -e unmarked ]; do sleep 0.01; done
        kill -KILL $PPID
        sleep 1000
        """
    )

    result = await run.result()

    await run.house.check_dead(run)
    assert (result.success, result.exit.signal) == (False, signal.SIGKILL)


async def test_the_marker_is_the_only_addition_to_the_environment(make_house):
    """The supervisor passes the environment on as it got it, in any locale."""
    house = await make_house(ContainmentKind.MARKER)
    run = await house.build({"command": ["/usr/bin/env"]})
    await run.builder.set_environment_variable("LC_ALL", "C")
    await run.builder.set_environment_variable("EMPTY", "")
    await run.start()

    await run.result()

    names = sorted(line.partition("=")[0] for line in run.lines())
    base = {*house.engine.setup.environment, "HOME", "PWD", "TMPDIR", "STAGECALL_SANDBOX", "LC_ALL", "EMPTY"}
    assert names == sorted(base)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_task_gets_signals_as_usual(make_house, kind):
    """What Python ignores for itself, as SIGPIPE, is not ignored in a task."""
    house = await make_house(kind)
    run = await house.sh("sed -En 's/^Sig(Ign|Blk):\\s*//p' /proc/self/status")

    await run.result()

    # The C library may ignore 32 and 33, which are its own.
    blocked, ignored = (int(line, 16) & ~(0b11 << 31) for line in run.lines())
    assert (blocked, ignored) == (0, 0)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_task_holds_nothing_open_but_its_streams(make_house, kind):
    """No descriptor of the worker or of the machinery gets into a task."""
    house = await make_house(kind)
    run = await house.sh("echo $$; sleep 1000")
    await until(run.lines, "the number of the process")

    opened = os.listdir(f"/proc/{run.lines()[0]}/fd")

    assert sorted(opened) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_task_leads_a_session_and_has_no_terminal(make_house, kind):
    """The command is the leader of a session and a process group of its own."""
    house = await make_house(kind)
    run = await house.sh("echo $$; cut -d' ' -f5-7 /proc/$$/stat")

    await run.result()

    number, ids = run.lines()
    assert ids == f"{number} {number} 0"


async def test_a_task_is_in_its_control_group_from_its_first_instruction(make_house):
    """The command finds itself in a group of its own, below the worker's, which is gone afterwards."""
    house = await make_house(ContainmentKind.CGROUP)
    own = ControlGroup.own()
    run = await house.start("/bin/cat", "/proc/self/cgroup")

    await run.result()

    name = next(line[3:] for line in run.lines() if line.startswith("0::"))
    assert name.startswith(own.name.rstrip("/") + "/stagecall-")
    assert name.rpartition("/")[2] not in os.listdir(own.folder)


async def test_control_groups_that_a_task_made_are_removed(make_house):
    """A task may divide its group; what it makes of it is killed and removed."""
    house = await make_house(ContainmentKind.CGROUP)
    own = ControlGroup.own()
    run = await house.sh(
        """
        name=$(sed -n 's/^0:.*\\///p' /proc/self/cgroup)
        echo $name
        group=$1/$name
        mkdir -p $group/a/b $group/c || exit 1
        setsid sh -c "echo \\$\\$ >$group/a/b/cgroup.procs; : >inside; sleep 1000" &
        until [ -e inside ]; do sleep 0.01; done
        """,
        own.folder,
    )

    result = await run.result()

    assert result.success
    await run.house.check_dead(run)
    assert run.lines()[0] not in os.listdir(own.folder)


async def test_a_kernel_without_cgroup_kill_is_no_obstacle(make_house, monkeypatch):
    """Where `cgroup.kill` does not exist the group is frozen, and killed one by one."""
    house = await make_house(ContainmentKind.CGROUP, killGrace=0)
    run = await hostile(house, "while :; do sleep 1000; done")
    write = ControlGroup._write

    def without_kill(group, file, text):
        if file == "cgroup.kill":
            raise FileNotFoundError(file)
        write(group, file, text)

    monkeypatch.setattr(ControlGroup, "_write", without_kill)

    await run.sandbox.abort()

    await run.house.check_dead(run)


async def test_orphans_that_become_the_workers_children_are_reaped(make_house, tmp_path):
    """Where the worker adopts orphans, as the first process of a container does, it reaps the task's."""
    await make_house(ContainmentKind.CGROUP)
    program = f"""
import asyncio, ctypes, os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
from pathlib import Path
from process_support import House, zombies

async def main():
    house = await House.make(Path({str(tmp_path)!r}), {{"containment": "cgroup"}})
    run = await house.sh("(setsid sh -c ': >here; sleep 1000' &) ; until [ -e here ]; do sleep 0.01; done")
    await run.result()
    await house.close()
    print(zombies())

asyncio.run(main())
"""

    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


async def test_auto_takes_the_best_there_is_and_says_why(make_house, monkeypatch):
    """Where no control group can be had tasks are contained by a marker, and the operator is told once."""

    def unavailable():
        raise UnavailableError("not today")

    monkeypatch.setattr(ControlGroup, "own", unavailable)

    house = await make_house(ContainmentKind.AUTO)

    assert house.engine.setup.containment.kind is ContainmentKind.MARKER
    assert house.monitor.messages == [
        "tasks are contained by marker, better cannot be had: cgroup: not today"
    ]


async def test_a_containment_that_was_asked_for_and_cannot_be_had_is_refused(tmp_path, monkeypatch):
    """An engine does not fall back from what its configuration demands."""

    def forbidden(group):
        raise PermissionError(13, "Permission denied", group.folder)

    monkeypatch.setattr(ControlGroup, "create", forbidden)

    with pytest.raises(ConfigurationError, match=r"as configured: cgroup: .*Permission denied"):
        await House.make(tmp_path, {"containment": "cgroup"})


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_every_child_is_reaped(make_house, kind):
    """No zombie is left of tasks that ended, were killed, or aborted."""
    house = await make_house(kind, killGrace=0)
    ended, killed, aborted = [
        await house.sh(script) for script in ("sleep 0 &", "sleep 1000", "sleep 1000 & sleep 1000")
    ]

    await ended.result()
    await killed.sandbox.kill()
    await aborted.sandbox.abort()

    assert zombies() == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_what_cannot_be_killed_stops_the_worker(make_house, kind, monkeypatch):
    """Processes that survive SIGKILL are named in a fatal error, and are not waited for any longer."""
    house = await make_house(kind, killGrace=0)
    run = await house.sh("echo $$; sleep 1000")
    await until(run.lines, "the number of the process")
    for module in (containment, _cgroup, _marker):
        monkeypatch.setattr(module, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(Child, "signal_group", lambda child, number: None)
    monkeypatch.setattr(ControlGroup, "kill", lambda group: None)
    monkeypatch.setattr(_attribution, "send", lambda pid, number, still: False)

    with pytest.raises(FatalInternalError, match=run.lines()[0]):
        await run.sandbox.abort()

    os.killpg(int(run.lines()[0]), signal.SIGKILL)
    await until(lambda: not alive(run.owner.folder), "the end of the processes")
    if kind is ContainmentKind.CGROUP:
        await until(run.sandbox._cell._group.remove_bare, "the end of the group")


@pytest.mark.parametrize("kind", CONTAINED)
async def test_a_worker_without_descriptors_kills_once_it_has_some(make_house, kind, monkeypatch):
    """When the worker has too many files open to look at a task's processes, it tries again."""
    house = await make_house(kind, killGrace=0)
    run = await house.sh("sleep 1000 & sleep 1000")
    refused: list[object] = []

    def refusing(call):
        def call_or_refuse(*arguments):
            if len(refused) < 3:
                refused.append(call)
                raise OSError(errno.EMFILE, "Too many open files")
            return call(*arguments)

        return call_or_refuse

    monkeypatch.setattr(ControlGroup, "populated", refusing(ControlGroup.populated))
    monkeypatch.setattr(_attribution, "numbers", refusing(proc.numbers))

    await run.sandbox.abort()

    assert len(refused) == 3
    await run.house.check_dead(run)
