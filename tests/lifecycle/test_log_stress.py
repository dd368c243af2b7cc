"""The task log under many writers, readers and a drain at once, and when the disk or the task is hostile."""

import asyncio
import errno
import fcntl
import itertools
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stagecall.lifecycle.errors import (
    ExceptionReason,
    LifecycleError,
    NonFatalInternalError,
    TaskExceptionError,
)
from stagecall.lifecycle.log import TaskLog, pipes
from stagecall.lifecycle.log.task_log import INLINE_BYTES

BOUND = 60.0
"""Seconds after which a test gives up on what it waits for."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TaskLog]:
    names = (tmp_path / f"{number}.log" for number in itertools.count())
    log = TaskLog(lambda: next(names))
    yield log
    log.close()


class Pipe:
    """A sandbox's output: the reading end does not block, the writing end may be closed twice."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self._open = True
        os.set_blocking(self.reading, False)

    def write(self, data: bytes) -> None:
        assert os.write(self._writing, data) == len(data)

    def fill(self) -> bytes:
        """Write more than is moved on the loop."""
        fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, 4 * INLINE_BYTES)
        data = b"y" * (2 * INLINE_BYTES)
        self.write(data)
        return data

    def end(self) -> None:
        if self._open:
            self._open = False
            os.close(self._writing)

    def close(self) -> None:
        self.end()
        os.close(self.reading)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def read_all(log: TaskLog) -> bytes:
    return b"".join([piece async for piece in log.reader()])


def content(log: TaskLog) -> bytes:
    with log.open() as file:
        return file.read()


def no_room(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_every_accepted_byte_is_there_once_and_in_its_writers_order(log, pipe):
    """Threads, the loop, and a drain write while readers follow and the log is closed under all of them."""
    pieces = [b"%d:" % number + b"x" * (number * 37 % 9000) + b"\n" for number in range(3000)]
    accepted: Counter[int] = Counter()
    all_said = threading.Barrier(5)

    def feed() -> None:
        for piece in pieces:
            pipe.write(b"task " + piece)
        pipe.end()

    def chat(writer: int) -> None:
        while log.write(b"\n@%d.%d@" % (writer, accepted[writer])):
            accepted[writer] += 1
            if accepted[writer] == 500:
                all_said.wait(BOUND)

    threads = [threading.Thread(target=chat, args=(writer,)) for writer in range(4)]
    threads.append(threading.Thread(target=feed))
    readers = [asyncio.create_task(read_all(log)) for _ in range(5)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(BOUND):
        moved = await log.drain(pipe.reading)
        await asyncio.to_thread(all_said.wait, BOUND)
        log.close()
        copies = await asyncio.gather(*readers)
        for thread in threads:
            await asyncio.to_thread(thread.join)
    whole = content(log)
    said = re.findall(rb"\n@(\d+)\.(\d+)@", whole)

    assert moved == sum(len(piece) + 5 for piece in pieces)
    assert re.sub(rb"\n@\d+\.\d+@", b"", whole) == b"".join(b"task " + piece for piece in pieces)
    assert {writer: [int(number) for who, number in said if int(who) == writer] for writer in range(4)} == {
        writer: list(range(accepted[writer])) for writer in range(4)
    }
    assert (len(whole), set(copies)) == (log.size, {whole})


async def test_nothing_stays_open(tmp_path):
    """A log leaves no descriptor, whether it was written, drained, read to its end, in part, or cancelled."""
    before = open_files()

    for number in range(20):
        pipe = Pipe()
        log = TaskLog(partial(tmp_path.joinpath, str(number)))
        pipe.write(b"output")
        drain = asyncio.create_task(log.drain(pipe.reading))
        reader = log.reader()
        assert log.write(b"message")
        assert await anext(reader)
        await reader.aclose()
        following = asyncio.create_task(read_all(log))
        if number % 2:
            pipe.end()
            await drain
            log.close()
            await following
        else:
            for task in (drain, following):
                task.cancel()
            await asyncio.wait([drain, following])
            log.close()
            pipe.end()
        log.dispose()
        pipe.close()

    assert open_files() == before


async def test_task_that_writes_as_fast_as_it_is_read_does_not_hold_up_the_loop(log, pipe, monkeypatch):
    """A pipe that never runs empty leaves the loop its turns."""
    splice, moves, turns = pipes.splice, itertools.count(), 0
    pipe.write(b"x")

    def refill(*arguments: int) -> int:
        moved = splice(*arguments)
        if turns < 10 and next(moves) < 1000:
            pipe.write(b"x")
        else:
            pipe.end()
        return moved

    monkeypatch.setattr(pipes, "splice", refill)
    drain = asyncio.create_task(log.drain(pipe.reading))
    while not drain.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns >= 10
    assert drain.result() < 100


@pytest.mark.parametrize("claimed", [0, 10, INLINE_BYTES + 1])
async def test_task_that_reads_its_own_output_only_loses_it(log, pipe, monkeypatch, claimed):
    """What was there a moment ago may be gone: a task can open the reading end of its own output."""
    waiting, claims = pipes.waiting, iter([claimed, claimed])
    monkeypatch.setattr(pipes, "waiting", lambda reading: next(claims, None) or waiting(reading))
    monkeypatch.setattr(pipes, "readable", never_waits)

    drain = asyncio.create_task(log.drain(pipe.reading))
    await asyncio.sleep(0)
    pipe.write(b"what is left")
    pipe.end()

    assert await asyncio.wait_for(drain, BOUND) == len(b"what is left")


async def never_waits(reading: int) -> None:
    await asyncio.sleep(0)


async def test_full_disk_is_a_missing_resource_and_the_log_goes_on_when_there_is_room(log, pipe, monkeypatch):
    """Neither a message nor output that finds no room is a defect, and nothing half-written is counted."""
    pipe.write(b"output")
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        full.setattr(pipes, "splice", no_room)
        with pytest.raises(TaskExceptionError, match="cannot grow") as message:
            log.write(b"message")
        with pytest.raises(TaskExceptionError) as drained:
            await log.drain(pipe.reading)
    full_size = log.size
    pipe.end()

    assert (message.value.reason, drained.value.reason) == (ExceptionReason.RESOURCE_UNAVAILABLE,) * 2
    assert full_size == 0
    assert await log.drain(pipe.reading) == 6
    assert log.write(b"!")
    log.close()
    assert content(log) == b"output!"


async def test_file_that_cannot_be_made_leaves_an_empty_log(tmp_path):
    """Where even the file found no room, the closed log can be extracted all the same."""
    log = TaskLog(lambda: tmp_path / "no such folder" / "task.log")
    with pytest.raises(OSError, match="No such file"):
        log.write(b"message")
    log.close()

    assert content(log) == b""
    assert await read_all(log) == b""


class Held:
    """Stops `splice` in its thread until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._splice = pipes.splice
        monkeypatch.setattr(pipes, "splice", self)

    def __call__(self, *arguments: int) -> int:
        self.begun.set()
        assert self.go_on.wait(BOUND)
        return self._splice(*arguments)


async def test_cancelled_drain_ends_when_its_thread_has_let_go_and_what_was_said_meanwhile_follows(
    log, pipe, monkeypatch
):
    """The cancellation waits for the piece under way; messages come after it, and are not lost."""
    data, held = pipe.fill(), Held(monkeypatch)

    drain = asyncio.create_task(log.drain(pipe.reading))
    await asyncio.to_thread(held.begun.wait, BOUND)
    assert log.write(b"meanwhile")
    drain.cancel()
    await asyncio.sleep(0)
    drain.cancel()
    await asyncio.sleep(0)
    assert not drain.done()
    log.close()
    refused = log.write(b"too late")
    held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(drain, BOUND)

    assert refused is False
    assert content(log) == data + b"meanwhile"


async def test_full_disk_behind_a_cancelled_drain_does_not_hide_the_cancellation_nor_strand_readers(
    log, pipe, monkeypatch
):
    """What was said meanwhile finds no room: the drain is cancelled all the same, and readers end."""
    data, held = pipe.fill(), Held(monkeypatch)

    drain = asyncio.create_task(log.drain(pipe.reading))
    reader = asyncio.create_task(read_all(log))
    await asyncio.to_thread(held.begun.wait, BOUND)
    assert log.write(b"meanwhile")
    log.close()
    drain.cancel()
    monkeypatch.setattr(os, "pwrite", no_room)
    held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(drain, BOUND)

    assert await asyncio.wait_for(reader, BOUND) == data


async def test_readers_end_with_the_log_although_the_task_goes_on_writing(log, pipe):
    """Output that comes after the log was closed is dropped, and keeps nobody."""
    log.write(b"message")
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            pipe.write(b"z" * INLINE_BYTES)
        pipe.end()

    thread = threading.Thread(target=flood)
    reader = asyncio.create_task(read_all(log))
    await asyncio.sleep(0)
    log.close()
    drain = asyncio.create_task(log.drain(pipe.reading))
    thread.start()
    try:
        assert await asyncio.wait_for(reader, BOUND) == b"message"
    finally:
        stop.set()
    dropped = await asyncio.wait_for(drain, BOUND)
    await asyncio.to_thread(thread.join)

    assert dropped % INLINE_BYTES == 0
    assert content(log) == b"message"


async def test_log_that_was_cut_short_is_an_error_for_readers(log, tmp_path):
    """A reader behind the end of a file that somebody else cut neither waits nor spins."""
    log.write(b"message")
    os.truncate(tmp_path / "0.log", 0)

    with pytest.raises(NonFatalInternalError, match="cut short"):
        await asyncio.wait_for(read_all(log), BOUND)


async def test_two_drains_at_once_are_refused(log, pipe, monkeypatch):
    """A sandbox has one output: a second one that comes between is told so, and the first goes on."""
    data, held = pipe.fill(), Held(monkeypatch)
    drain = asyncio.create_task(log.drain(pipe.reading))
    await asyncio.to_thread(held.begun.wait, BOUND)

    with pytest.raises(LifecycleError, match="two drains"):
        await log.drain(pipe.reading)
    held.go_on.set()
    pipe.end()

    assert await asyncio.wait_for(drain, BOUND) == len(data)


async def test_buffer_that_is_used_again_while_a_thread_writes_was_taken_as_it_was(log, pipe, monkeypatch):
    """What waits its turn is a copy; what is no bytes is refused where it is written, not in the drain."""
    data, held = pipe.fill(), Held(monkeypatch)
    drain = asyncio.create_task(log.drain(pipe.reading))
    await asyncio.to_thread(held.begun.wait, BOUND)
    pipe.end()
    buffer = bytearray(b"first")

    log.write(buffer)
    buffer[:] = b"other"
    with pytest.raises(TypeError):
        log.write("text")
    held.go_on.set()
    await asyncio.wait_for(drain, BOUND)
    log.close()

    assert content(log) == data + b"first"
