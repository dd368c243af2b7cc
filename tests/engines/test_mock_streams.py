"""The pipe inside the process: nothing is lost, nothing piles up, and either side may end it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.engines.mock._streams import CAPACITY, Pipe

from .mock_support import BOUND, read_all, turn_loop


@given(pieces=st.lists(st.binary(max_size=200_000), max_size=4), limit=st.integers(1, 100_000))
def test_what_is_written_is_read(pieces, limit):
    """Whatever the sizes, the same bytes come out, at most `limit` at once, and then the end."""

    async def pump():
        pipe = Pipe()

        async def write():
            for piece in pieces:
                await pipe.write(piece)
            await pipe.close()

        writing = asyncio.create_task(write())
        read = []
        while data := await asyncio.wait_for(pipe.read(limit), BOUND):
            read.append(data)
        await writing
        return read

    read = asyncio.run(pump())

    assert b"".join(read) == b"".join(pieces)
    assert all(len(data) <= limit for data in read)


async def test_writer_waits_for_room():
    """No more than the capacity waits in a pipe that nobody reads."""
    pipe = Pipe()
    writing = asyncio.create_task(pipe.write(b"x" * (CAPACITY + 1)))
    await turn_loop()
    waited = not writing.done()

    data = await pipe.read(1)
    await asyncio.wait_for(writing, BOUND)
    pipe.end()

    assert waited
    assert len(data + await read_all(pipe)) == CAPACITY + 1


async def test_end_reaches_both_sides():
    """A reader that waits gets the end, a writer that waits or comes later an error."""
    empty, full = Pipe(), Pipe()
    await full.write(b"x" * CAPACITY)
    reading, writing = asyncio.create_task(empty.read()), asyncio.create_task(full.write(b"y"))
    await turn_loop()

    empty.end()
    full.end()

    assert await asyncio.wait_for(reading, BOUND) == b""
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(writing, BOUND)
    with pytest.raises(BrokenPipeError):
        await empty.write(b"y")
