"""What web hooks cost per request, beside aiohttp's server alone."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web

from bench.effort import Effort
from bench.figures import Figure, Result
from bench.measure import Sample, take_turns
from stagecall.worker.webhooks import WebHookServer

OTHERS = 1000
"""Hooks that are attached beside the one that is asked."""

CLIENT = """
import socket, sys
port, path, count = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
request = b"GET " + path + b" HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"

def answers(batch, size):
    connection.sendall(request * batch)
    got = 0
    while got < size or not size:
        got += len(connection.recv(1 << 20))
        size = size or got
    return got

with socket.create_connection(("127.0.0.1", port)) as connection:
    size = answers(1, 0)
    for _ in range(count // 16):
        answers(16, 16 * size)
"""

Serving = Callable[[], AbstractAsyncContextManager[str]]


async def requests(effort: Effort) -> Result:
    """CPU time of the server per small GET, in microseconds; the client is another process."""
    count = effort.of(8192, 32)
    series = await take_turns({"hook": _sample(_hook, count), "bare": _sample(_bare, count)}, effort.rounds)
    return Result.of(
        series["hook"],
        "aiohttp's server alone",
        series["bare"],
        "us",
        (Figure("requests that one core answers in a second", 1e6 / series["hook"].median, "/s"),),
    )


def _sample(serving: Serving, count: int) -> Sample:
    async def sample() -> float:
        async with serving() as url:
            at = urlsplit(url)
            start = time.process_time()
            client = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLIENT, str(at.port), at.path, str(count)
            )
            if await client.wait():
                raise RuntimeError("the client failed")
            return (time.process_time() - start) / count * 1e6

    return sample


@asynccontextmanager
async def _hook() -> AsyncIterator[str]:
    async with WebHookServer() as hooks:
        for _ in range(OTHERS):
            await hooks.attach(_hello)
        yield (await hooks.attach(_hello)).url


@asynccontextmanager
async def _bare() -> AsyncIterator[str]:
    bare = web.Server(_hello)
    async with await asyncio.get_running_loop().create_server(bare, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        await bare.shutdown(0)


async def _hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")
