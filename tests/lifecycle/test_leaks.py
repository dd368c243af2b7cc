"""The leak audit finds and names every kind of thing that is left behind, and nothing else."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from stagecall.lifecycle.barrier import left_behind
from stagecall.lifecycle.errors import LeakError, LifecycleError
from stagecall.lifecycle.leaks import Leak, LeakKind, Snapshot, audit, processes, take
from stagecall.lifecycle.threads import POOL

BOUND = 30.0
"""Seconds after which a test gives up."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A child process that stays until it is killed."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def one(leaks: list[Leak]) -> Leak:
    """Return the only leak."""
    assert len(leaks) == 1, leaks
    return leaks[0]


def found(before: Snapshot, *commands: str) -> list[Leak]:
    """Return the leaks once all of these commands run: a child that was just forked still shows its parent's."""
    end = time.monotonic() + BOUND
    while sorted(map(command, leaks := before.compare())) != sorted(commands):
        assert time.monotonic() < end, leaks
    return leaks


def command(leak: Leak) -> str:
    """Return the command of a process that is running."""
    return leak.what.partition(" is running: ")[2].partition(", a child of ")[0]


def test_nothing_is_left():
    """What was there before is nobody's leak, nor is what has gone."""
    before = take()

    with open(os.devnull), socket.socket():
        subprocess.run(["true"], check=True)
        thread = threading.Thread(target=print)
        thread.start()
        thread.join(BOUND)

    assert before.settle_blocking() == []


def test_child_process():
    """A child is told by number and command."""
    before = take()

    with subprocess.Popen(["sleep", "1001"]) as process:
        leak = one(before.settle_blocking(0.2))
        process.kill()

    assert leak == Leak(LeakKind.PROCESS, f"{process.pid} is running: sleep 1001")
    assert before.settle_blocking() == []


def test_grandchild_process():
    """So is a child's child, with its parent."""
    before = take()

    with subprocess.Popen(["sh", "-c", "sleep 1002 & wait"]) as process:
        leaks = found(before, "sh -c sleep 1002 & wait", "sleep 1002")
        numbers = [int(leak.what.split()[0]) for leak in leaks]
        for number in numbers:
            os.kill(number, 9)

    assert sorted(leak.what.partition(" is running: ")[2] for leak in leaks) == sorted(
        ["sh -c sleep 1002 & wait", f"sleep 1002, a child of {process.pid}"]
    )


@linux
def test_orphan_that_lives_in_a_root(tmp_path):
    """A process whose parent is gone is found by the folder it works in."""
    folder = tmp_path / "work"
    folder.mkdir()
    before = take([folder])
    script = "cd work; nohup sleep 1003 >/dev/null 2>&1 & echo $!"

    number = int(subprocess.check_output(["sh", "-c", script], cwd=tmp_path))
    leak = one(before.settle_blocking(0.2))
    os.kill(number, 9)

    assert leak.what.startswith(f"{number} is running: ")
    assert before.settle_blocking() == []


@linux
def test_zombie():
    """A dead child that nobody waited for is told as that."""
    before = take()

    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    leak = one(before.compare())
    process.wait()

    assert leak == Leak(LeakKind.PROCESS, f"{process.pid} (true) has ended and nobody waited for it")
    assert before.compare() == []


@linux
def test_hostile_command_line():
    """What a process calls itself cannot move a cursor."""
    before = take()

    with subprocess.Popen(["\x1b[2J\nsleep", "1004"], executable="/bin/sleep") as process:
        leak = one(before.settle_blocking(0.2))
        process.kill()

    assert leak.what == f"{process.pid} is running: \\x1b[2J\\nsleep 1004"


@linux
def test_processes_without_proc(monkeypatch, sleeper, tmp_path):
    """Where there is no /proc, `ps` tells of the same processes."""
    from_proc = [tell().what for tell in processes.processes().values()]
    monkeypatch.setattr(processes, "PROC", tmp_path)

    from_ps = [tell().what for tell in processes.processes().values()]

    assert f"{sleeper.pid} is running: sleep 1000" in from_proc
    assert f"{sleeper.pid} is running: sleep" in from_ps
    assert sorted(map(number, from_ps)) == sorted(map(number, from_proc))


def number(told: str) -> str:
    """Return the number of the process that is told of."""
    return told.partition(" ")[0]


def test_descriptor(tmp_path):
    """An open file is told with what it points at."""
    before = take()

    with open(tmp_path / "f\nile", "w") as file:
        leak = one(before.settle_blocking(0.2))
        number = file.fileno()

    assert leak == Leak(LeakKind.DESCRIPTOR, f"{number} open on {tmp_path}/f\\nile")
    assert before.compare() == []


def test_descriptor_that_moved(tmp_path):
    """A file that has only got another number is no leak; one more of the same file is."""
    (tmp_path / "file").touch()
    first = os.open(tmp_path / "file", os.O_RDONLY)
    before = take()

    second = os.dup(first)
    twice = before.compare()
    os.close(first)
    moved = before.compare()
    os.close(second)

    assert (one(twice).what, moved) == (f"{second} open on {tmp_path}/file", [])


def test_pipe():
    """Both ends of a pipe are found."""
    before = take()

    ends = os.pipe()
    leaks = before.compare()
    for end in ends:
        os.close(end)

    assert [leak.what.partition("[")[0] for leak in leaks] == [f"{end} open on pipe:" for end in ends]


def test_sockets(tmp_path):
    """A socket is told with whom it listens for or talks to."""
    before = take()

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port, own = server.getsockname()[1], client.getsockname()[1]
        with socket.socket(socket.AF_UNIX) as unix, socket.socket(type=socket.SOCK_DGRAM):
            unix.bind(str(tmp_path / "s"))
            leaks = before.compare()

    assert {leak.kind for leak in leaks} == {LeakKind.SOCKET}
    assert [leak.what.partition(" ")[2] for leak in leaks] == [
        f"(inet stream) listening on 127.0.0.1:{port}",
        f"(inet stream) 127.0.0.1:{own} connected to 127.0.0.1:{port}",
        f"(unix stream) {tmp_path}/s",
        "(inet dgram) 0.0.0.0:0",
    ]
    assert before.compare() == []


def test_files(tmp_path):
    """What is new below a root is told, the topmost only; a file that replaced another is new."""
    for name in ("old", "replaced"):
        (tmp_path / name).touch()
    before = take([tmp_path])

    (tmp_path / "new" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "file").touch()
    (tmp_path / "other").touch()
    os.replace(tmp_path / "other", tmp_path / "replaced")
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "old").write_text("longer")

    assert sorted(str(leak) for leak in before.compare()) == [
        f"file {tmp_path}/link",
        f"file {tmp_path}/new/",
        f"file {tmp_path}/replaced",
    ]


MOUNTING = """
    import os, sys
    from pathlib import Path
    from stagecall.lifecycle.leaks import LeakKind, take

    folder = Path(sys.argv[1])
    before, elsewhere = take([folder]), take([folder / "other"])
    os.system("mount -t tmpfs none '%s'" % (folder / "in side"))
    print([str(leak) for leak in before.compare() if leak.kind is LeakKind.MOUNT], elsewhere.compare())
    os.system("umount '%s'" % (folder / "in side"))
    print(before.compare())
"""


@linux
def test_mount(tmp_path):
    """What is mounted below a root is told."""
    unshare = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody mount")
    for name in ("in side", "other"):
        (tmp_path / name).mkdir()
    program = [sys.executable, "-c", textwrap.dedent(MOUNTING), str(tmp_path)]

    told = subprocess.run([*unshare, *program], capture_output=True, text=True, timeout=60)

    assert told.stdout.splitlines() == [f"['mount tmpfs on {tmp_path}/in side'] []", "[]"], told.stderr


def test_thread():
    """A thread is told with its name and where it is."""
    before, go_on = take(), threading.Event()

    thread = threading.Thread(target=go_on.wait, args=(BOUND,), name="lost\n")
    thread.start()
    leak = one(before.settle_blocking(0.2))
    go_on.set()
    thread.join(BOUND)

    assert leak.kind is LeakKind.THREAD
    assert leak.what.startswith("lost\\n is running, now at ")
    assert leak.what.endswith(" in wait")


async def test_pool_thread():
    """A thread of the library's own counts while it works at something that it did not before."""
    before, begun, go_on = take(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(BOUND)

    job = POOL.submit(work)
    assert begun.wait(BOUND)
    leak = one(await before.settle(0.2))
    go_on.set()
    await job.future
    left = await before.settle()

    assert leak.what.startswith("stagecall is busy: test_pool_thread.<locals>.work, now at ")
    assert left == []


async def test_loops_own_executor():
    """The threads that a loop keeps for `to_thread` are the loop's."""
    before = take()

    await asyncio.to_thread(print)

    assert await before.settle(0.2) == []


async def test_task():
    """A task is told with its name, its function and where it waits; the one that asks is none."""
    before = take()

    async def forgotten() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(forgotten(), name="lost\n")
    leak = one(await before.settle(0.2))
    asked = await asyncio.create_task(before.settle(0.2))
    task.cancel()
    left = await before.settle()

    assert leak.kind is LeakKind.TASK
    where = f"{__file__}:{forgotten.__code__.co_firstlineno + 1} in forgotten"
    assert leak.what == f"lost\\n (test_task.<locals>.forgotten), waiting at {where}"
    assert asked == [leak]
    assert left == []
    assert left_behind() == frozenset()


async def test_where_it_was_created(tmp_path):
    """While tracemalloc traces, a leak tells the line that made it."""
    tracemalloc.start(1)
    try:
        before = take()
        file = open(tmp_path / "file", "w")  # noqa: SIM115, ASYNC230
        line = file_line()
        task = asyncio.create_task(asyncio.sleep(BOUND))
        leaks = before.compare()
    finally:
        tracemalloc.stop()
    file.close()
    task.cancel()

    assert {leak.kind.value: leak.created for leak in leaks} == {
        "descriptor": f"{__file__}:{line - 1}",
        "task": leaks[-1].created,
    }
    assert str(leaks[0]).endswith(f" (created at {__file__}:{line - 1})")


def file_line() -> int:
    """Return the line that calls this."""
    return sys._getframe(1).f_lineno


def test_audit_names_each_leak(tmp_path):
    """A block that leaves things behind ends in an error that names each; a clean one in nothing."""
    number = -1

    def leave() -> None:
        nonlocal number
        with audit([tmp_path], settle=0.1):
            number = os.open(tmp_path / "left", os.O_CREAT)

    with pytest.raises(LeakError) as raised:
        leave()
    os.close(number)
    with audit([tmp_path]):
        (tmp_path / "left").unlink()

    assert [leak.kind for leak in raised.value.leaks] == [LeakKind.DESCRIPTOR, LeakKind.FILE]
    assert str(raised.value) == (
        f"left behind by what was audited: descriptor {number} open on {tmp_path}/left; file {tmp_path}/left"
    )


async def test_audit_on_a_loop():
    """On a loop the audit waits for what is about to end, and tasks count."""
    with pytest.raises(LeakError, match="task lost"):
        async with audit(settle=0.1):
            task = asyncio.create_task(asyncio.sleep(BOUND), name="lost")
    task.cancel()

    async with audit():
        ending = asyncio.create_task(asyncio.sleep(0.05))
    assert ending.done()


def test_error_of_the_audited_block_comes_out(tmp_path):
    """What was left behind is a note on the error that the block raised."""

    def leave() -> None:
        with audit([tmp_path], settle=0.1):
            (tmp_path / "left").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        leave()

    assert raised.value.__notes__ == [f"left behind by what was audited: file {tmp_path}/left"]


async def test_blocking_audit_is_refused_on_a_loop():
    """What would block the loop says what to use instead."""
    with pytest.raises(LifecycleError, match="use async with audit"), audit():
        pass
    with pytest.raises(LifecycleError, match="await settle instead"):
        take().settle_blocking()
