"""The functions that speak HTTP, apart from the others as aiohttp takes long to import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web

from ..base import ProxyHandler

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext

TIMEOUT_SECONDS = 60.0
"""For a whole exchange."""

LOOPBACK = "127.0.0.1"


async def get(url: str, context: TaskContext, **options: Any) -> bool:
    """Write what is found at `url` to the task log as it comes; return whether the status was 2xx."""
    try:
        async with (
            ClientSession(timeout=ClientTimeout(TIMEOUT_SECONDS)) as session,
            session.get(url, **options) as response,
        ):
            await _copy(response, context)
    except (ClientError, TimeoutError, ValueError) as error:
        context.log_error(f"cannot get {url}: {str(error) or type(error).__name__}")
        return False
    if not response.ok:
        context.log_error(f"{url} answered {response.status} {response.reason}")
    return 200 <= response.status < 300


async def ping(url: str, handler: ProxyHandler, context: TaskContext) -> bool:
    """Send a GET for `url` to the handler of its host; else the same as `get`.

    The handler is served over a real connection, so that what it streams arrives as it is sent.
    """
    parts = urlsplit(url)
    async with _served(handler) as port:
        address = parts._replace(scheme="http", netloc=f"{LOOPBACK}:{port}", fragment="").geturl()
        return await get(address, context, headers={"Host": parts.netloc}, allow_redirects=False)


async def _copy(response: ClientResponse, context: TaskContext) -> None:
    last = b"\n"
    async for data in response.content.iter_any():
        context.write_log(data)
        last = data[-1:]
    if last != b"\n":
        context.write_log(b"\n")


@asynccontextmanager
async def _served(handler: ProxyHandler) -> AsyncIterator[int]:
    async def serve(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    # A client that was cancelled is gone, and takes the handler's call with it.
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
