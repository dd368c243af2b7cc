"""What checks are written with, beside `assert`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from ...engines.base import ByteReader

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


async def expect_error(kind: type[E], call: Awaitable[object], rule: str) -> E:
    """Return the error that `call` raises. Raises: AssertionError if it raises none, or one of another class.

    >>> async def fail():
    ...     raise KeyError("a")
    >>> asyncio.run(expect_error(LookupError, fail(), "a name that is not there is an error"))
    KeyError('a')
    """
    try:
        returned = await call
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{rule}: wanted {kind.__name__}, it raised {error!r}") from error
    raise AssertionError(f"{rule}: wanted {kind.__name__}, it returned {returned!r}")


async def outcome_of(call: Awaitable[T]) -> T | Exception | asyncio.CancelledError:
    """Return what `call` returns or raises."""
    try:
        return await call
    except (Exception, asyncio.CancelledError) as error:
        return error


async def turn_loop(times: int = 5) -> None:
    """Let everything that is ready to run do so, `times` times."""
    for _ in range(times):
        await asyncio.sleep(0)


async def read_all(stream: ByteReader) -> bytes:
    """Return what comes from a stream until its end."""
    data = b""
    while piece := await stream.read():
        data += piece
    return data


async def read_at_least(stream: ByteReader, count: int) -> bytes:
    """Return what comes from a stream, until there are `count` bytes or its end."""
    data = b""
    while len(data) < count and (piece := await stream.read()):
        data += piece
    return data
