"""Behind a reverse proxy: addresses are public ones, and lead through it to the handler, websockets too."""

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-encoding",
}


class Proxy:
    """A small reverse proxy that serves what lies behind it below `/hooks`; `strips` that path or leaves it."""

    def __init__(self, strips: bool) -> None:
        self.strips = strips
        self.behind = ""
        self._client: aiohttp.ClientSession | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self._client = self._client or aiohttp.ClientSession(auto_decompress=False)
        path = request.raw_path.removeprefix("/hooks") if self.strips else request.raw_path
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._talk(request, self._client, self.behind + path)
        async with self._client.request(
            request.method, self.behind + path, data=request.content, allow_redirects=False
        ) as answer:
            headers = {
                name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
            }
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
        return response

    async def _talk(
        self, request: web.Request, client: aiohttp.ClientSession, url: str
    ) -> web.WebSocketResponse:
        front = web.WebSocketResponse()
        async with client.ws_connect(url, autoclose=False) as back:
            await front.prepare(request)

            async def pass_on(source, sink) -> None:
                async for message in source:
                    await (sink.send_bytes if message.type is WSMsgType.BINARY else sink.send_str)(
                        message.data
                    )
                await sink.close(code=source.close_code or 1000)

            await asyncio.wait(
                [asyncio.ensure_future(pass_on(front, back)), asyncio.ensure_future(pass_on(back, front))]
            )
        return front

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


@pytest.fixture(params=[True, False], ids=["stripping", "leaving"])
async def proxied(request, serve):
    """A server of hooks whose public address is that of a proxy before it."""
    proxy = Proxy(strips=request.param)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", proxy.serve)
    async with TestServer(app) as front, contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(proxy.close)
        public_url = str(front.make_url("/hooks/"))
        server = await serve(public_url=public_url)
        proxy.behind = f"http://127.0.0.1:{server.port}"
        yield server


async def test_requests_through_a_proxy(proxied, client):
    """The public address leads to the handler, whether the proxy strips its own path or leaves it."""

    async def tell(request: web.Request) -> web.Response:
        return web.json_response([request.method, request.path_qs, await request.text()])

    hook = await proxied.attach(tell)

    async with client.put(f"{hook.url}a/b?c=d", data="x" * 100_000) as response:
        answer = response.status, await response.json()
    await hook.detach()
    async with client.get(hook.url) as response:
        gone = response.status

    assert hook.url.split("/")[3] == "hooks"
    assert (answer, gone) == ((200, ["PUT", "/a/b?c=d", "x" * 100_000]), 404)


async def test_websockets_through_a_proxy(proxied, client):
    """Messages pass both ways, and so does the goodbye when the hook is detached."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    hook = await proxied.attach(echo)

    async with client.ws_connect(hook.url) as socket:
        await socket.send_str("there and back")
        message = await socket.receive(5)
        await hook.detach()
        goodbye = await socket.receive(5)

    assert (message.data, goodbye.type, goodbye.data) == ("there and back", WSMsgType.CLOSE, 1001)


async def test_a_stream_passes_a_proxy_piece_by_piece(proxied, client):
    """What a handler has written is there before it writes more."""
    go = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go.wait()
        await response.write(b"second")
        return response

    hook = await proxied.attach(stream)

    async with client.get(hook.url) as response:
        first = await response.content.readany()
        go.set()
        rest = await response.read()

    assert (first, rest) == (b"first", b"second")
