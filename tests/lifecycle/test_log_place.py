"""What a task does to the place where its log lies: the log is what was written into it, and reading it never hangs."""

import asyncio
import os
from pathlib import Path

import pytest

from stagecall.lifecycle.errors import LifecycleError
from stagecall.lifecycle.log import TaskLog


def remove(place: Path) -> None:
    place.unlink()


def move_away(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))


def put_a_fifo(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def put_a_link(place: Path) -> None:
    secret = place.with_name("secret")
    secret.write_bytes(b"secret")
    place.unlink()
    place.symlink_to(secret)


def put_another_file(place: Path) -> None:
    place.unlink()
    place.write_bytes(b"forged")


DEEDS = [remove, move_away, put_a_fifo, put_a_link, put_another_file]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_log_is_what_was_written_whatever_lies_in_its_place(tmp_path, deed):
    """A task that replaces the file of its log changes neither what readers get nor what is extracted."""
    place = tmp_path / "task.log"
    log = TaskLog(lambda: place)
    log.write(b"before ")
    deed(place)

    log.write(b"after")
    log.close()
    async with asyncio.timeout(10):
        read = b"".join([data async for data in log.reader()])
    with log.open() as file:
        extracted = file.read()
    log.dispose()

    assert (read, extracted) == (b"before after", b"before after")


async def test_disposed_log_is_read_to_its_end_by_who_has_begun(tmp_path):
    """Dispose takes the log from nobody who reads it; who comes later is told."""
    before = len(os.listdir("/proc/self/fd"))
    log = TaskLog(lambda: tmp_path / "task.log")
    log.write(b"x" * 100_000)
    log.close()
    reader = log.reader()
    first = await anext(reader)

    log.dispose()

    rest = b"".join([data async for data in reader])
    assert len(first + rest) == 100_000
    with pytest.raises(LifecycleError, match="disposed"):
        log.open()
    with pytest.raises(LifecycleError, match="disposed"):
        await anext(log.reader())
    assert len(os.listdir("/proc/self/fd")) == before


async def test_log_ends_where_the_worker_ended_it_although_a_task_made_it_longer(tmp_path):
    """What a task appends to the file itself, be it a terabyte of nothing, is not in the log that is extracted."""
    path = tmp_path / "task.log"
    log = TaskLog(lambda: path)
    log.write(b"said\n")
    os.truncate(path, 1 << 40)
    log.close()

    with log.open() as extracted:
        content = extracted.read(100)

    log.dispose()
    assert content == b"said\n"
    assert path.stat().st_size == 5
