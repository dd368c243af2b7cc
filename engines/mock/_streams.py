"""Streams of bytes inside one process."""

from __future__ import annotations

import asyncio

import attrs

CAPACITY = 65_536
"""The most bytes that wait in a pipe."""


@attrs.define(eq=False)
class BytesReader:
    """Bytes that are there, as a stream.

    >>> reader = BytesReader(b"Hello World")
    >>> [asyncio.run(reader.read(6)) for _ in range(3)]
    [b'Hello ', b'World', b'']
    """

    _content: bytes
    _offset: int = attrs.field(default=0, init=False)

    async def read(self, limit: int = 65536) -> bytes:
        """Return the next bytes, at most `limit`, or `b""` at the end."""
        data = self._content[self._offset : self._offset + limit]
        self._offset += len(data)
        return data


@attrs.define(eq=False)
class Pipe:
    """What is written at one end is read at the other, 64 KiB later at most; either side may end it.

    >>> async def main():
    ...     pipe = Pipe()
    ...     await pipe.write(b"Hello World")
    ...     pipe.end()
    ...     return await pipe.read(), await pipe.read()
    >>> asyncio.run(main())
    (b'Hello World', b'')
    """

    _waiting: bytearray = attrs.field(factory=bytearray, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def read(self, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes as soon as there are any, or `b""` at the end."""
        while not self._waiting and not self._ended:
            await self._changed.wait()
        data = bytes(self._waiting[:limit])
        del self._waiting[:limit]
        pulse(self._changed)
        return data

    async def write(self, data: bytes) -> None:
        """Write all of `data`, waiting for room. Raises: BrokenPipeError once the pipe has ended."""
        rest = memoryview(data)
        while True:
            if self._ended:
                raise BrokenPipeError("nobody reads from this pipe: it has ended")
            room = CAPACITY - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
            pulse(self._changed)
            if not rest:
                return
            await self._changed.wait()

    async def close(self) -> None:
        """End the pipe, as its writer."""
        self.end()

    def end(self) -> None:
        """Let reading come to its end after what waits, and let writing fail."""
        self._ended = True
        pulse(self._changed)


def pulse(event: asyncio.Event) -> None:
    """Wake all who wait for the event, and let those who come later wait for the next time."""
    event.set()
    event.clear()
