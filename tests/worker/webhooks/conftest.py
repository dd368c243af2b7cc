"""Servers of web hooks on loopback, and clients that speak to them: aiohttp's, and bare sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from stagecall.testing.doubles import RecordingMonitor
from stagecall.worker.webhooks import WebHookOptions, WebHookServer

PATIENCE = 10.0
"""Seconds after which a test that waits for the other side gives up."""


@pytest.fixture
def monitor() -> RecordingMonitor:
    return RecordingMonitor()


@pytest.fixture
async def serve(monitor: RecordingMonitor) -> AsyncIterator[Callable[..., Awaitable[WebHookServer]]]:
    """`await serve(max_connections=3)` is a server with these options; it is closed after the test, without drain."""
    servers = []

    async def start(**options: Any) -> WebHookServer:
        server = WebHookServer(WebHookOptions(**options), monitor)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.close(drain=0)
        assert not server.exchanges


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield session


class Raw:
    """A bare connection: what is sent is what is written, to the letter."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE)

    async def rest(self) -> bytes:
        """Return what comes until the other side closes, however it does."""
        received = bytearray()
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                received += piece
        except ConnectionError:
            pass
        return bytes(received)

    async def head(self) -> bytes:
        """Return the status line of the next answer; its headers are read, too."""
        return (await self.until(b"\r\n\r\n")).partition(b"\r\n")[0]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Raw]]]:
    """`await connect(url)` is a bare connection to the server of a URL."""
    opened = []

    async def open_one(url: str, **options: Any) -> Raw:
        at = URL(url)
        raw = Raw(*await asyncio.open_connection(at.host, at.port, **options))
        opened.append(raw)
        return raw

    yield open_one
    for raw in opened:
        raw.writer.transport.abort()
