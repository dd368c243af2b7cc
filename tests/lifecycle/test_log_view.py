"""Views of a task log: for whoever serves it while it grows, be they a thousand."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagecall.lifecycle.errors import LifecycleError, NonFatalInternalError
from stagecall.lifecycle.log import LogView, TaskLog
from stagecall.lifecycle.log.wakeups import SHORTEST_PAUSE
from stagecall.testing.doubles import ScriptedPlugin

BOUND = 60.0
"""Seconds after which a test gives up on what it waits for."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TaskLog]:
    log = TaskLog(lambda: tmp_path / "task.log")
    yield log
    log.close()
    log.dispose()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def follow(view: LogView) -> tuple[bytes, int]:
    """Return all that comes, and in how many rounds."""
    content, rounds = b"", 0
    while not (view.ended and len(content) >= view.size):
        await view.wait(len(content))
        rounds += 1
        while data := view.read(len(content), 1 << 20):
            content += data
    return content, rounds


async def test_view_opens_no_file_before_the_first_byte_and_all_share_one(tmp_path):
    """Who looks at logs that say nothing costs no descriptor; a thousand who look at one that does cost one."""
    before = open_files()
    log = TaskLog(lambda: tmp_path / "task.log")
    views = [log.view() for _ in range(1000)]
    unwritten = (views[0].fileno(), open_files() - before)

    log.write(b"x")
    descriptors = {view.fileno() for view in views}
    written = open_files() - before
    for view in views:
        view.close()
        view.close()
    closed = open_files() - before
    log.close()
    log.dispose()

    assert unwritten == (None, 0)
    assert (len(descriptors), written, closed) == (1, 2, 1)
    assert open_files() == before


async def test_shared_descriptor_reads_and_does_not_write(log):
    """What a server does wrong with the descriptor cannot harm the log."""
    log.write(b"0123456789")
    with log.view() as view:
        descriptor = view.fileno()
        assert descriptor is not None

        read = os.pread(descriptor, 4, 3), view.read(8, 100), view.read(10, 1), view.read(11, 1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(descriptor, b"forged", 0)

    assert read == (b"3456", b"89", b"", b"")


async def test_closed_view_says_so(log):
    """A descriptor that may be somebody else's by now is not handed out."""
    log.write(b"content")
    view = log.view()
    view.close()

    with pytest.raises(LifecycleError, match="view of the task log is closed"):
        view.fileno()
    with pytest.raises(LifecycleError, match="view of the task log is closed"):
        view.read(0, 1)


async def test_view_outlives_dispose_and_none_is_opened_after_it(log):
    """Who reads when the run is over reads to the end; who comes later is told."""
    log.write(b"content")
    log.close()
    view = log.view()

    log.dispose()

    descriptor = view.fileno()
    assert descriptor is not None
    assert (os.pread(descriptor, 99, 0), view.read(0, 99), view.ended) == (b"content", b"content", True)
    view.close()
    with pytest.raises(LifecycleError, match="disposed"):
        log.view()


async def test_view_of_a_log_that_was_cut_short_is_an_error(log, tmp_path):
    """Nothing where something was is not the end."""
    log.write(b"content")
    os.truncate(tmp_path / "task.log", 0)

    with log.view() as view, pytest.raises(NonFatalInternalError, match="cut short"):
        view.read(0, 1)


@pytest.mark.parametrize("readers", [1, 1000])
async def test_many_lines_wake_their_readers_in_few_rounds(log, readers):
    """A line in quick succession wakes nobody by itself; one reader and a thousand get every byte."""
    views = [log.view() for _ in range(readers)]
    tasks = [asyncio.create_task(follow(view)) for view in views]
    await asyncio.sleep(0)
    lines = 20_000

    start = time.monotonic()
    for number in range(lines):
        log.write(b"%d\n" % number)
        if number % 200 == 0:
            await asyncio.sleep(0)
    spent = time.monotonic() - start
    log.close()
    async with asyncio.timeout(BOUND):
        seen = await asyncio.gather(*tasks)
    for view in views:
        view.close()

    assert {content for content, _ in seen} == {b"".join(b"%d\n" % number for number in range(lines))}
    assert max(rounds for _, rounds in seen) <= 3 + spent / SHORTEST_PAUSE


async def test_a_line_reaches_a_thousand_readers_within_a_tenth_of_a_second(log):
    """However the task's lines are spaced; the machine's own delays, measured beside, are not the log's."""
    loop = asyncio.get_running_loop()
    written: list[float] = []
    late: list[float] = []

    async def note() -> None:
        with log.view() as view:
            seen = 0
            while not view.ended:
                await view.wait(seen)
                now, lines = loop.time(), view.size
                late.extend(now - written[line] for line in range(seen, lines))
                seen = lines

    readers = [asyncio.create_task(note()) for _ in range(1000)]
    await asyncio.sleep(0)
    slowest = 0.0
    for number in range(40):
        written.append(loop.time())
        log.write(b"x")
        before = loop.time()
        await asyncio.sleep(0.001 * (number % 17))
        slowest = max(slowest, loop.time() - before - 0.001 * (number % 17))
    log.close()
    await asyncio.wait_for(asyncio.gather(*readers), BOUND)

    assert len(late) == 40_000
    assert max(late) < 0.1 + 3 * slowest


async def test_first_line_after_silence_is_not_held_back(log):
    """Where nothing was sent lately a reader is woken at the loop's next turn."""
    with log.view() as view:
        waiting = asyncio.create_task(view.wait(0))
        await asyncio.sleep(0)

        log.write(b"line")
        for _ in range(4):
            await asyncio.sleep(0)

        assert waiting.done()


async def test_views_wait_on_several_loops_and_are_cancelled_without_a_trace(log):
    """A server in a thread of its own follows as well; who stops waiting leaves nobody else waiting."""
    seen: list[bytes] = []

    def elsewhere() -> None:
        with log.view() as view:
            seen.append(asyncio.run(asyncio.wait_for(follow(view), BOUND))[0])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with log.view() as here:
        cancelled = asyncio.create_task(here.wait(0))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        for number in range(1000):
            log.write(b"%d," % number)
            await asyncio.sleep(0)
        log.close()
        content, _ = await asyncio.wait_for(follow(here), BOUND)
    await asyncio.to_thread(thread.join, BOUND)

    assert cancelled.cancelled()
    assert seen == [content] == [b"".join(b"%d," % number for number in range(1000))]


async def test_plugin_opens_a_view_of_its_run_and_keeps_it_past_dispose(make_run):
    """The context gives out views from `prepare` on."""

    async def started(sandbox):
        views.append(plugin.context.open_log())
        plugin.context.write_log(b"said\n")

    views: list[LogView] = []
    plugin = ScriptedPlugin(started=started)

    await make_run(plugin).wait()
    content, ended = views[0].read(0, 100), views[0].ended
    views[0].close()

    assert (content, ended) == (b"said\n", True)
