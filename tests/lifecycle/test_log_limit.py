"""The task log with secrets, a limit, and a full disk: what stands in it, whichever way the output came."""

import asyncio
import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.lifecycle.errors import ExceptionReason, LifecycleError, TaskExceptionError
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.log import Masks, TaskLog, pipes
from stagecall.lifecycle.log.sink import RESERVE_BYTES
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.testing.virtual_time import virtual_time

BOUND = 60.0
"""Seconds after which a test gives up on what it waits for."""

CUT = (
    "[stagecall:error] the task wrote more than the {} that its log may hold (limits.maxLogBytes): "
    "the rest of its output is not in the log\n"
)


@attrs.define
class Logs:
    """Makes logs below a folder, and disposes them."""

    folder: Path
    made: list[TaskLog] = attrs.field(factory=list)

    def __call__(self, limit: int | None = None, *secrets: bytes) -> TaskLog:
        masks = Masks().adding(secrets) if secrets else None
        path = self.folder / f"{len(self.made)}.log"
        self.made.append(TaskLog(lambda: path, limit, masks))
        return self.made[-1]


@pytest.fixture
def new_log(tmp_path: Path) -> Iterator[Logs]:
    logs = Logs(tmp_path)
    yield logs
    for log in logs.made:
        log.close()
        log.dispose()


def content(log: TaskLog) -> bytes:
    log.close()
    with log.open() as file:
        return file.read()


async def pour(log: TaskLog, *pieces: bytes) -> int:
    """Let a thread write the pieces into a pipe that the log drains."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def feed() -> None:
        try:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[os.write(writing, left) :]
        finally:
            os.close(writing)

    feeding = asyncio.create_task(asyncio.to_thread(feed))
    try:
        async with asyncio.timeout(BOUND):
            return await log.drain(reading)
    finally:
        os.close(reading)
        await asyncio.wait([feeding])
        feeding.exception()


def no_room(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Secrets


async def test_secret_is_masked_however_it_arrives(new_log):
    """From pipes in pieces of any size and from writes, in the task's output and in what is said about it."""
    log = new_log(None, b"hunter22")
    big = b"x" * 300_000

    moved = await pour(log, b"a hun", b"ter22 b\n", big, b"hunter2", b"2" + big)
    log.write(b"hunt")
    log.write(b"er22\nhunter2")
    log.tell(b"[stagecall] hunter22?\n")
    log.write(b"!\n")

    assert moved == 13 + 300_000 + 8 + 300_000
    assert content(log) == b"".join(
        [b"a [masked] b\n", big, b"[masked]", big, b"[masked]\n[stagecall] [masked]?\nhunter2!\n"]
    )


async def test_log_without_secrets_is_the_output_byte_by_byte(new_log):
    """Whatever bytes come, in small pieces or large ones, through a filter that finds nothing or none at all."""
    pieces = [os.urandom(size) for size in (1, 70_000, 1, 0, 2_000_000, 5)]
    plain, filtered = new_log(), new_log(None, b"no output holds this")

    for log in (plain, filtered):
        await pour(log, *pieces)

    assert content(plain) == content(filtered) == b"".join(pieces)


async def test_nothing_is_copied_without_secrets(new_log, monkeypatch):
    """Output is spliced until the first secret is known, and read from then on."""
    spliced: list[int] = []
    splice = pipes.splice

    def counted(*arguments: int) -> int:
        spliced.append(splice(*arguments))
        return spliced[-1]

    monkeypatch.setattr(pipes, "splice", counted)
    log = new_log()

    await pour(log, b"open secret\n")
    before = sum(spliced)
    log.mask("secret")
    await pour(log, b"masked secret\n")

    assert (before, sum(spliced)) == (12, 12)
    assert content(log) == b"open secret\nmasked [masked]\n"


async def test_what_is_held_back_goes_out_at_the_end(new_log):
    """The output's end shows what was no secret after all: that of the pipe, or that of the log."""
    drained, written = new_log(None, b"secret\nstuff"), new_log(None, b"secret\nstuff")

    await pour(drained, b"the sec")
    size_after_pipe = drained.size
    written.write(b"the sec")
    held = written.size
    written.close()

    assert (size_after_pipe, held) == (7, 4)
    assert (content(drained), content(written)) == (b"the sec", b"the sec")


async def test_what_is_held_back_goes_out_behind_a_drain_that_the_close_overtook(new_log, monkeypatch):
    """A log that is closed while a piece is under way ends with that piece, whole."""
    log = new_log(None, b"a secret")
    read = os.read

    def close_meanwhile(pipe: int, count: int) -> bytes:
        data = read(pipe, count)
        if data:
            log.close()
        return data

    monkeypatch.setattr(os, "read", close_meanwhile)

    await pour(log, b"this is a secr")

    assert content(log) == b"this is a secr"


SOURCES = st.lists(
    st.tuples(st.sampled_from("wpt"), st.binary(max_size=20) | st.just(b"sec") | st.just(b"ret!"))
)


@given(SOURCES, st.integers(0, 60) | st.none())
async def test_any_mix_of_sources_is_masked_limited_and_in_order(tmp_path_factory, sources, limit):
    """Writes, pipes and messages in any order: the output is one stream, messages are whole, the limit is kept."""
    log = Logs(tmp_path_factory.mktemp("logs"))(limit, b"secret!")
    masks = Masks().adding([b"secret!"])

    for source, data in sources:
        if source == "w":
            log.write(data)
        elif source == "p":
            await pour(log, data)
        else:
            log.tell(b"<%s>" % data.hex().encode())
    held = content(log)
    log.dispose()

    assert b"secret!" not in held
    if limit is None:
        said = b"".join(b"<%s>" % data.hex().encode() for source, data in sources if source == "t")
        assert len(held) >= len(said)
        if all(source == "w" for source, _ in sources):
            assert held == masks.applied(b"".join(data for _, data in sources))
    else:
        assert len(held) <= limit + len(CUT) + 20 + sum(
            2 * len(data) + 2 for source, data in sources if source == "t"
        )


async def test_message_of_several_lines_is_masked_before_it_is_cut(make_run):
    """A secret of several lines has no line left, however short, and late messages are masked, too."""

    async def started(sandbox):
        plugin.context.mask("one\nanother\n3")
        plugin.context.log("it is one\nanother\n3, and another")

    async def finished(success):
        with plugin.context.extract_log() as file:
            logs.append(file.read())
        plugin.context.log("another")

    logs: list[bytes] = []
    plugin = ScriptedPlugin(started=started, finished=finished)
    run = make_run(plugin)

    await run.wait()

    assert logs == [b"[stagecall] it is [masked], and [masked]\n"]
    assert [event.detail for event in run.trace.of(Kind.LATE_LOG)] == [{"text": "[masked]"}]


async def test_masked_log_under_many_writers_and_readers_shows_no_secret(new_log):
    """Threads talk and name secrets while a task writes secrets in pieces: each is masked, and nothing else is lost."""
    log = new_log(None, b"secret-of-the-task")
    pieces = [b"%d:secret-of-", b"the-task,"] * 2000
    numbered = [piece % number if b"%" in piece else piece for number, piece in enumerate(pieces)]

    def chat(writer: int) -> None:
        for number in range(300):
            log.mask(b"token %d of %d!" % (number, writer))
            log.tell(b"<token %d of %d!>" % (number, writer))

    async def read() -> bytes:
        return b"".join([piece async for piece in log.reader()])

    readers = [asyncio.create_task(read()) for _ in range(3)]
    talking = [asyncio.to_thread(chat, writer) for writer in range(3)]
    async with asyncio.timeout(BOUND):
        moved, *_ = await asyncio.gather(pour(log, *numbered), *talking)
        log.close()
        copies = await asyncio.gather(*readers)
    held = content(log)

    assert moved == sum(map(len, numbered))
    assert held.count(b"<[masked]>") == 3 * 300
    # A message that comes in the middle of a line ends it.
    assert held.replace(b"<[masked]>", b"").replace(b"\n", b"") == b"".join(
        b"%d:[masked]," % number for number in range(0, 4000, 2)
    )
    assert set(copies) == {held}


@pytest.mark.parametrize("secrets", [(), (b"secret",)])
async def test_messages_begin_a_line(new_log, secrets):
    """What the worker says can be told from what the task says, also where the task has left a line open."""
    log = new_log(None, *secrets)

    log.tell(b"[stagecall] first\n")
    await pour(log, b"what? sec")
    log.tell(b"[stagecall:error] second\n")
    log.write(b"more\n")
    log.tell(b"[stagecall] third\n")

    assert content(log) == (
        b"[stagecall] first\nwhat? sec\n[stagecall:error] second\nmore\n[stagecall] third\n"
    )


# The limit


@pytest.mark.parametrize("secrets", [(), (b"secret",)])
@pytest.mark.parametrize(
    "pieces", [(b"0123456789" * 50_000,), (b"0123456789",) * 5000, (b"0123456789\n",) * 5000]
)
async def test_log_takes_what_it_may_and_says_that_there_was_more(new_log, pieces, secrets):
    """What is beyond is read, so that the task does not hang, and dropped; one line stands last of its output."""
    log = new_log(40_000, *secrets)

    moved = await pour(log, *pieces, *pieces)
    log.write(b"and more")
    log.tell(b"[stagecall] the command exited with 1\n")
    held = content(log)

    output = b"".join(pieces)
    line_end = b"" if output[39_999:40_000] == b"\n" else b"\n"
    assert moved == 2 * len(output)
    assert held == (
        output[:40_000]
        + line_end
        + CUT.format("39.1 KiB").encode()
        + b"[stagecall] the command exited with 1\n"
    )


@pytest.mark.parametrize("secrets", [(), (b"secret",)])
async def test_output_that_just_fits_is_not_too_much(new_log, secrets):
    """Nothing was left out, so nothing is said."""
    written, drained = new_log(100_000, *secrets), new_log(100_000, *secrets)

    written.write(b"x" * 60_000)
    written.write(b"x" * 40_000)
    written.write(b"")
    await pour(drained, b"x" * 100_000)

    assert content(written) == content(drained) == b"x" * 100_000


async def test_log_that_may_hold_nothing_holds_what_is_said(new_log):
    """A limit of 0 keeps all output out, and the worker's messages in."""
    log = new_log(0)

    log.write(b"output")
    log.tell(b"[stagecall] message\n")

    assert content(log).decode() == CUT.format("0 bytes") + "[stagecall] message\n"


async def test_messages_have_a_reserve_which_ends_too(new_log):
    """A plugin that never stops talking does not fill the disk either; the log says that it was cut off."""
    log = new_log(1000)
    log.write(b"x" * 1000)
    message = b"[stagecall] %s\n" % (b"m" * 1000)

    taken = [log.tell(message) for _ in range(2000)]
    taken.append(log.tell(b"short\n"))  # there is room for it, but the log has said that no more is coming
    held = content(log)

    full = b"[stagecall:error] the log is full: what else would be said about the task is not in it\n"
    assert all(taken)
    assert held.count(message) == RESERVE_BYTES // len(message)
    assert held.endswith(message + full)
    assert held.count(full) == 1


@virtual_time
async def test_limit_of_the_run_is_the_logs(make_run):
    """`Limits.max_log_bytes` is what a run's log takes, and the run goes on."""

    async def started(sandbox):
        plugin.context.write_log(b"far too much\n")

    async def finished(success):
        with plugin.context.extract_log() as file:
            logs.append(file.read())

    logs: list[bytes] = []
    plugin = ScriptedPlugin(started=started, finished=finished)

    resolution = await make_run(plugin, limits=Limits(max_log_bytes=3)).wait()

    assert resolution.state == "completed"
    assert logs == [b"far\n" + CUT.format("3 bytes").encode()]


# A full disk


@pytest.mark.parametrize("limit", [None, 50, 1_000_000], ids="limit={}".format)
@pytest.mark.parametrize("secrets", [(), (b"secret",)], ids=["plain", "masked"])
@pytest.mark.parametrize("room", [0, 10, 60])
async def test_full_disk_ends_the_drain_at_once(new_log, monkeypatch, room, secrets, limit):
    """With secrets and a limit or without, what finds no room is a missing resource, and nobody waits for it."""
    log = new_log(limit, *secrets)
    write, splice = os.pwrite, pipes.splice

    def a_little(file: int, data: bytes, offset: int) -> int:
        return write(file, data[: room - offset], offset) if offset < room else no_room()

    def move_a_little(pipe: int, file: int, count: int, offset: int) -> int:
        return splice(pipe, file, min(count, room - offset), offset) if offset < room else no_room()

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", a_little)
        full.setattr(pipes, "splice", move_a_little)
        with pytest.raises(TaskExceptionError, match="cannot grow") as drained:
            await pour(log, *[b"output, " * 100] * 100)
        with pytest.raises(TaskExceptionError) as told:
            log.tell(b"message" * 10)

    assert {drained.value.reason, told.value.reason} == {ExceptionReason.RESOURCE_UNAVAILABLE}
    assert log.size == room
    assert (
        content(log)[:room]
        == (b"output, " * 100)[: min(room, limit or room)]
        + b"\n[stagecall:error]"[: max(0, room - (limit or room))]
    )


async def test_disk_that_is_full_at_the_end_is_told_and_the_log_is_closed(new_log, monkeypatch):
    """What was held back finds no room: whoever closes the log learns it, and once only; readers end."""
    log = new_log(None, b"secret")
    log.write(b"a sec")
    reader = asyncio.create_task(anext(log.reader(2), b"the end"))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        with pytest.raises(TaskExceptionError, match="cannot grow"):
            log.close()
    log.close()

    assert log.ended
    assert await asyncio.wait_for(reader, BOUND) == b"the end"
    assert content(log) == b"a "


async def test_secret_that_cannot_be_masked_is_an_error_of_who_named_it(new_log):
    """The log goes on with the secrets that it has."""
    log = new_log(None, b"secret")

    with pytest.raises(ValueError, match="a secret of 3 bytes cannot be masked"):
        log.mask("abc")
    log.write(b"abc secret\n")

    assert content(log) == b"abc [masked]\n"


async def test_drain_into_a_log_that_is_drained_is_still_refused(new_log):
    """Also with secrets and limits a sandbox has one output."""
    log = new_log(10, b"secret")
    log._busy = True

    with pytest.raises(LifecycleError, match="two drains"):
        await pour(log, b"x")
    log._busy = False
    assert partial(content, log)() == b""
