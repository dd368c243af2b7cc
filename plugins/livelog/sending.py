"""Bytes of a log on their way to one reader, at the reader's own speed.

What is on disk goes from file to socket in the kernel (`sendfile`), so that a reader far behind, of whom there
may be a thousand, costs the worker no memory; only the last few kilobytes of a log that grows, and what has to be
encrypted, pass through it, one piece at a time. A reader who does not take a piece in `patience` seconds is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Protocol

import attrs

from ...lifecycle.errors import StagecallError

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.abc import AbstractStreamWriter

COPIED_BYTES = 16_384
"""The most that is copied through the worker at once for a reader."""
SENT_BYTES = 524_288
"""What the kernel is asked to send at once: a reader must take that in `patience` seconds."""
CHUNK_BYTES = 64 * 1_048_576
"""The longest chunk of a response whose length is not known."""
LOOK_SECONDS = 15.0
"""How often a reader is looked after, whether it is still there, while the log does not grow."""


class Source(Protocol):
    """A log that somebody reads: what `context.open_log()` gives, or a file that will not change any more."""

    @property
    def size(self) -> int:
        """The bytes that are there."""

    @property
    def ended(self) -> bool:
        """Whether no more will come; `size` is final then."""

    async def wait(self, offset: int) -> None:
        """Return once there is more than `offset` bytes, or the log has ended."""

    def fileno(self) -> int | None:
        """Return a descriptor to read from with offsets, None while there is no file."""

    def read(self, offset: int, count: int) -> bytes:
        """Return at most `count` bytes of what is there from `offset` on."""

    def close(self) -> None:
        """Let go of the log."""


class GoneError(ConnectionError):
    """The reader is gone."""


class CutShortError(OSError):
    """The log has not what it had."""


@attrs.frozen
class _Descriptor:
    """What asyncio takes for a file."""

    number: int

    def fileno(self) -> int:
        return self.number


@attrs.define(eq=False)
class Outgoing:
    """One response to one reader; `chunked` says how its body is framed."""

    request: web.Request
    writer: AbstractStreamWriter
    source: Source
    chunked: bool
    patience: float
    copies: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        transport = self.transport
        self.copies = transport.get_extra_info("sslcontext") is not None
        # To wait for the transport is then to wait until the kernel has everything; 0 would stop TLS for good.
        transport.set_write_buffer_limits(high=1)
        _keep_little_unsent(transport)

    @property
    def transport(self) -> asyncio.Transport:
        """The connection. Raises: GoneError."""
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise GoneError("the reader is gone")
        return transport

    async def follow(self, offset: int) -> None:
        """Send the log from `offset` on until it ends.

        Raises: OSError, also TimeoutError; the response is broken then.
        """
        while True:
            ended = self.source.ended
            if (there := self.source.size - offset) > 0:
                count = min(there, CHUNK_BYTES)
                await self.send(offset, count)
                offset += count
            elif ended:
                return
            else:
                await self.grown(offset)

    async def send(self, offset: int, count: int) -> None:
        """Send bytes that are there. Raises: as `follow`."""
        end = offset + count
        if count <= COPIED_BYTES:
            while offset < end:
                data = self.read(offset, end - offset)
                await self.write(data)
                offset += len(data)
            return
        if self.chunked:
            self.transport.write(b"%x\r\n" % count)
        while offset < end:
            offset += await self._send_piece(offset, end - offset)
        if self.chunked:
            self.transport.write(b"\r\n")

    async def write(self, data: bytes) -> None:
        """Send a few bytes; return once the reader has room for more. Raises: as `follow`."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        await self._sent()

    async def _sent(self) -> None:
        if self.transport.get_write_buffer_size() == 0:
            # Others have their turn, also beside a reader who takes everything at once.
            await asyncio.sleep(0)
            return
        async with asyncio.timeout(self.patience):
            await self.writer.drain()

    async def grown(self, offset: int) -> bool:
        """Wait a while until there is more than `offset` bytes, or the log has ended; return False if neither came.

        Raises: GoneError when the reader is gone.
        """
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.source.wait(offset)
        except TimeoutError:
            _ = self.transport
            return False
        return True

    async def _send_piece(self, offset: int, count: int) -> int:
        if not self.copies:
            # A loop cannot, or the connection broke: then the next write will tell.
            with contextlib.suppress(asyncio.SendfileNotAvailableError, NotImplementedError):
                async with asyncio.timeout(self.patience):
                    return await self._send_file(offset, min(count, SENT_BYTES))
            self.copies = True
        data = self.read(offset, min(count, COPIED_BYTES))
        self.transport.write(data)
        await self._sent()
        return len(data)

    async def _send_file(self, offset: int, count: int) -> int:
        file = self.source.fileno()
        assert file is not None, "what has bytes has a file"
        loop = asyncio.get_running_loop()
        sent = await loop.sendfile(self.transport, _Descriptor(file), offset, count, fallback=False)  # type: ignore[arg-type]
        if sent == 0:
            raise CutShortError("the log was cut short by somebody else")
        return sent

    def read(self, offset: int, count: int) -> bytes:
        """Return some of the bytes that are there. Raises: OSError where they are not."""
        try:
            data = self.source.read(offset, count)
        except StagecallError as error:
            raise CutShortError(str(error)) from error
        if not data:
            raise CutShortError("the log was cut short by somebody else")
        return data


def _keep_little_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel keep little that the reader has not asked for yet, or it would keep megabytes.

    Only then can be told soon who reads slowly, and who not at all.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None:
        with contextlib.suppress(OSError):  # not TCP
            connection.setsockopt(socket.IPPROTO_TCP, option, SENT_BYTES)
