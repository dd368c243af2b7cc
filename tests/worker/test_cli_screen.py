"""The screen writes without ever holding up the loop, and leaves the terminal as it found it."""

import asyncio
import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from stagecall.worker.cli.screen import Screen

from .cli_support import BOUND, picture


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # the test closed it


@pytest.fixture
def tty() -> Iterator[tuple[int, int]]:
    """A terminal: what is written into the second shows up in the first."""
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def written(master: int) -> str:
    """What the terminal was sent so far."""
    data = b""
    while select.select([master], [], [], 0)[0]:
        data += os.read(master, 65536)
    return data.decode()


def let_go(reader: int) -> None:
    """Read until no screen writes any more: its descriptor is somebody else's once the test has closed it."""
    until = time.monotonic() + BOUND
    while any(thread.name == "stagecall-screen" for thread in threading.enumerate()):
        assert time.monotonic() < until, "a screen still writes"
        if select.select([reader], [], [], 0.01)[0]:
            os.read(reader, 65536)


async def test_everything_is_written_in_order(pipe):
    """Log, notes and results come out as they went in."""
    reader, writer = pipe
    screen = Screen(writer, writer, writer)
    screen.start()

    await screen.log(b"log\n")
    screen.note("a note")
    screen.result("{}\n")
    await screen.log(b"more")
    await screen.close()

    assert os.read(reader, 1000) == b"log\na note\n{}\nmore"


async def test_a_reader_that_sleeps_does_not_hold_up_the_loop(pipe):
    """A full pipe lets the log wait, and nothing else."""
    reader, writer = pipe
    screen = Screen(writer, writer, writer)
    screen.start()

    waiting = asyncio.create_task(screen.log(b"x" * 1_000_000))
    screen.note("said without waiting")
    await asyncio.sleep(0)
    assert not waiting.done()
    read = 0
    while not waiting.done():
        read += len(await asyncio.to_thread(os.read, reader, 65536))
    await screen.close()

    assert read <= 1_000_000 + len("said without waiting\n")


async def test_a_reader_that_is_gone_is_no_error(pipe):
    """After `| head` has had enough, the rest is dropped."""
    reader, writer = pipe
    screen = Screen(writer, writer, writer)
    screen.start()
    os.close(reader)

    await screen.log(b"nobody reads this")
    await screen.log(b"nor this")
    await screen.close()


async def test_hurry_waits_for_no_reader(pipe):
    """In a hurry the end does not depend on a reader that reads nothing."""
    reader, writer = pipe
    screen = Screen(writer, writer, writer)
    screen.start()
    stuck = asyncio.create_task(screen.log(b"x" * 1_000_000))
    async with asyncio.timeout(BOUND):
        while select.select([], [writer], [], 0)[1]:  # noqa: ASYNC110 - nothing tells when the pipe is full
            await asyncio.sleep(0.01)
    closing = asyncio.create_task(screen.close())

    screen.hurry()

    async with asyncio.timeout(BOUND):
        await closing
    assert not stuck.done()
    stuck.cancel()
    let_go(reader)


async def test_a_pipe_that_does_not_block_is_waited_for(pipe):
    """A standard output that somebody made non-blocking gets everything all the same."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    screen = Screen(writer, writer, writer)
    screen.start()

    waiting = asyncio.create_task(screen.log(b"x" * 300_000))
    read = 0
    while read < 300_000:
        read += len(await asyncio.to_thread(os.read, reader, 65536))
    await waiting
    await screen.close()

    assert read == 300_000


async def test_the_picture_stays_below_the_log(tty):
    """What is written appears above the lines at the bottom, which are gone in the end."""
    master, slave = tty
    screen = Screen(slave, slave, slave, lambda columns, rows: ["first line", "stage line"])
    screen.start()

    await screen.log(b"log\n")
    during = written(master)
    screen.note("note")
    await screen.log(b"more\n")
    await screen.close()
    after = during + written(master)

    assert picture(during) == ["log", "first line", "stage line"]
    assert picture(after) == ["log", "note", "more", ""]


async def test_the_picture_is_drawn_while_nothing_happens(tty):
    """The clock of the stage line ticks without any output."""
    _, slave = tty
    drawn: list[tuple[int, int]] = []
    ticked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def draw(columns: int, rows: int) -> list[str]:
        drawn.append((columns, rows))
        if len(drawn) == 3:
            loop.call_soon_threadsafe(ticked.set)
        return ["stage"]

    screen = Screen(slave, slave, slave, draw)
    screen.start()

    async with asyncio.timeout(BOUND):
        await ticked.wait()
    await screen.close()

    assert set(drawn) == {(80, 24)}


async def test_a_result_for_a_pipe_is_not_drawn_around(tty, pipe):
    """JSON on a pipe stays JSON while the terminal shows a stage line."""
    _, slave = tty
    reader, writer = pipe
    screen = Screen(slave, slave, writer, lambda columns, rows: ["stage"])
    screen.start()

    screen.result("{}")
    await screen.close()

    assert os.read(reader, 1000) == b"{}\n"


async def test_a_picture_that_fails_holds_up_nobody(tty):
    """A defect in drawing is raised at the end, and until then everything is written."""
    master, slave = tty

    def draw(columns: int, rows: int) -> list[str]:
        raise RuntimeError("no picture")

    screen = Screen(slave, slave, slave, draw)
    screen.start()
    await screen.log(b"one\n")
    await screen.log(b"two\n")

    with pytest.raises(RuntimeError, match="no picture"):
        await screen.close()
    assert picture(written(master)) == ["one", "two", ""]
