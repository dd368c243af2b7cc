"""Detaching and closing end what is open, in bounded time, and nothing else."""

import asyncio
import time
from socket import create_connection
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from stagecall.worker.webhooks import exchange


class Room:
    """A handler that answers `go/...` at once, and else when the test opens the door."""

    def __init__(self) -> None:
        self.door = asyncio.Event()
        self.entered = asyncio.Semaphore(0)
        self.ends: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/go"):
            return web.Response(text="gone")
        self.entered.release()
        try:
            await self.door.wait()
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        self.ends.append("answered")
        return web.Response(text="at last")


class Talk:
    """A websocket handler that remembers what it read last: how its client ended."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.over = asyncio.Event()
        self.ends: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open.set()
        try:
            message = await socket.receive()
            self.ends.append(message.type.name)
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            self.over.set()
        return socket


async def get(client, url):
    async with client.get(url) as response:
        return response.status, await response.text()


async def test_detached_in_time_a_request_is_answered(serve, client):
    """What ends within the grace is answered as if nothing had happened; new requests are not."""
    room = Room()
    hook = await (await serve()).attach(room)
    asked = asyncio.ensure_future(get(client, hook.url))
    await room.entered.acquire()

    detaching = asyncio.ensure_future(hook.detach(grace=5))
    await asyncio.sleep(0)
    late = await get(client, f"{hook.url}go")
    room.door.set()

    assert (await asked, late) == ((200, "at last"), (404, "404: no such hook\n"))
    await asyncio.wait_for(detaching, 1)


async def test_detached_too_late_a_request_is_cut(serve, connect):
    """After the grace the handler is cancelled and the connection closed without an answer."""
    room = Room()
    hook = await (await serve()).attach(room)
    raw = await connect(hook.url)
    await raw.send(f"GET {urlsplit(hook.url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await room.entered.acquire()

    begun = time.monotonic()
    await hook.detach(grace=0.1)

    assert 0.1 <= time.monotonic() - begun < 1
    assert (room.ends, await raw.rest()) == (["cancelled"], b"")


async def test_a_websocket_is_told_that_its_hook_goes(serve, client):
    """Its client gets a close frame that says going away; its handler reads that it ends."""
    talk = Talk()
    hook = await (await serve()).attach(talk)
    socket = await client.ws_connect(hook.url, autoclose=False)
    await talk.open.wait()

    detaching = asyncio.ensure_future(hook.detach())
    message = await socket.receive(5)
    await socket.close()
    await asyncio.wait_for(detaching, 5)

    assert (message.type, message.data, talk.ends) == (WSMsgType.CLOSE, 1001, ["CLOSING"])


async def test_a_websocket_whose_client_does_not_answer_is_closed_all_the_same(serve, connect):
    """A client that ignores the goodbye holds up nobody for long."""
    talk = Talk()
    hook = await (await serve()).attach(talk)
    raw = await connect(hook.url)
    await raw.send(
        f"GET {urlsplit(hook.url).path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = await raw.head()
    await talk.open.wait()

    await asyncio.wait_for(hook.detach(), 4)

    assert (head, await raw.rest()) == (b"HTTP/1.1 101 Switching Protocols", b"\x88\x02\x03\xe9")


async def test_detaching_one_leaves_the_others(serve, client):
    """Requests of other hooks are not touched, and keep their connections."""
    server, first, second = await serve(), Room(), Room()
    hooks = [await server.attach(room) for room in (first, second)]
    asked = [asyncio.ensure_future(get(client, hook.url)) for hook in hooks]
    await first.entered.acquire()
    await second.entered.acquire()

    await hooks[0].detach()
    second.door.set()

    assert await asked[1] == (200, "at last")
    assert (first.ends, second.ends) == (["cancelled"], ["answered"])
    await asyncio.wait(asked)


async def test_idle_connections_of_a_detached_hook_are_closed(serve, connect):
    """A kept connection that served nothing else goes with its hook; one that did is kept."""
    server = await serve()
    ours, other = await server.attach(Room()), await server.attach(Room())
    paths = [urlsplit(hook.url).path.encode() + b"go" for hook in (ours, other)]
    alone, both = await connect(ours.url), await connect(ours.url)
    for raw, path in ((alone, paths[0]), (both, paths[1]), (both, paths[0])):
        await raw.send(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await raw.until(b"gone")

    await ours.detach()

    assert await alone.rest() == b""
    await both.send(b"GET " + paths[1] + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await both.head() == b"HTTP/1.1 200 OK"


async def test_a_handler_may_detach_its_own_hook(serve, client):
    """The request that does it is answered: it is not waited for, and not cut."""

    async def once(request: web.Request) -> web.Response:
        await hook.detach(grace=5)
        return web.Response(text="the last one")

    hook = await (await serve()).attach(once)

    answers = [await asyncio.wait_for(get(client, hook.url), 2), await get(client, hook.url)]

    assert answers == [(200, "the last one"), (404, "404: no such hook\n")]


async def test_a_handler_that_cannot_be_cancelled_is_left_behind(serve, client, monitor):
    """It holds up detaching for a moment only; the worker is told, by the hook's name."""
    release, entered = asyncio.Event(), asyncio.Event()

    async def deaf(request: web.Request) -> web.Response:
        entered.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass
        return web.Response()

    hook = await (await serve()).attach(deaf)
    asked = asyncio.ensure_future(get(client, hook.url))
    await entered.wait()

    await asyncio.wait_for(hook.detach(), 3)

    assert monitor.logs == [
        (
            "a web hook was detached, but its handler does not end",
            {"hook": hook.name, "requests": 1},
        )
    ]
    release.set()
    await asyncio.wait([asked])


async def test_cancelled_detaching_still_closes(serve, client):
    """Who cancels the wait gets what the wait was for, at once."""
    room = Room()
    hook = await (await serve()).attach(room)
    asked = asyncio.ensure_future(get(client, hook.url))
    await room.entered.acquire()
    detaching = asyncio.ensure_future(hook.detach(grace=60))
    await asyncio.sleep(0)

    detaching.cancel()
    await asyncio.wait([detaching])

    assert detaching.cancelled()
    await asyncio.wait([asked], timeout=5)
    assert room.ends == ["cancelled"]


@pytest.mark.parametrize("opened", [True, False])
async def test_closing_drains_for_a_bounded_time(serve, opened, monitor):
    """Open requests may end within `drain`, are cut then; nobody can connect meanwhile."""
    room, server = Room(), await serve(drain=0.5)
    hook = await server.attach(room)
    async with aiohttp.ClientSession() as client:
        asked = [asyncio.ensure_future(get(client, hook.url)) for _ in range(20)]
        for _ in asked:
            await room.entered.acquire()

        closing = asyncio.ensure_future(server.close())
        with pytest.raises(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as other:
                await get(other, hook.url)
        if opened:
            room.door.set()
        await asyncio.wait_for(closing, 5)
        answers = await asyncio.gather(*asked, return_exceptions=True)

    assert room.ends == ["answered" if opened else "cancelled"] * 20
    assert all((answer == (200, "at last")) is opened for answer in answers)
    assert (server.exchanges, monitor.errors) == (set(), [])


async def test_closing_ends_what_was_being_detached(serve, client):
    """A long grace of a hook is cut short by the server's drain; websockets are told even so."""
    talk, server = Talk(), await serve()
    hook = await server.attach(talk)
    socket = await client.ws_connect(hook.url)
    await talk.open.wait()
    detaching = asyncio.ensure_future(hook.detach(grace=600))
    await asyncio.sleep(0)

    closing = asyncio.ensure_future(server.close(drain=0))
    message = await socket.receive(5)
    await asyncio.wait_for(closing, 3)
    await asyncio.wait_for(detaching, 1)

    assert (message.data, talk.ends) == (1001, ["CLOSING"])


async def test_idle_connections_need_no_drain(serve, client, connect):
    """While open requests have their time, connections without one are closed at once."""
    room, server = Room(), await serve()
    hook = await server.attach(room)
    asked = asyncio.ensure_future(get(client, hook.url))
    await room.entered.acquire()
    idle = await connect(hook.url)
    await idle.send(b"GET /")

    closing = asyncio.ensure_future(server.close(drain=30))

    assert await idle.rest() == b""
    assert not closing.done()
    room.door.set()
    assert await asked == (200, "at last")
    await asyncio.wait_for(closing, 5)


async def test_a_connection_that_was_just_accepted_is_closed_too(serve):
    """Between accepting and greeting a client nothing is lost: no descriptor stays open."""
    server = await serve()
    with create_connection(("127.0.0.1", server.port), timeout=5) as client:
        listener = server._listener
        assert listener is not None
        listener._accept(listener._sockets[0])

        await server.close()

        assert (client.recv(1), server.connections) == (b"", 0)


async def test_closing_under_load_leaves_nothing(serve, connect):
    """Whatever is under way, whether idle, arriving, streaming or a websocket: afterwards nothing is open."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1000)

    server, talk = await serve(), Talk()
    streaming, talking = await server.attach(stream), await server.attach(talk)
    get = f"GET {urlsplit(streaming.url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    tasks_before = asyncio.all_tasks()
    raws = [await connect(streaming.url) for _ in range(30)]
    for n, raw in enumerate(raws):
        await raw.send([b"", get[:20], get][n % 3])
    async with aiohttp.ClientSession() as client:
        sockets = [await client.ws_connect(talking.url) for _ in range(5)]
        for raw in raws[2::3]:
            assert await raw.head() == b"HTTP/1.1 200 OK"

        await asyncio.wait_for(server.close(drain=0.1), 10)

        for raw in raws:
            await raw.rest()
        messages = [await socket.receive(5) for socket in sockets]
    assert {message.data for message in messages} == {1001}
    assert server.exchanges == set()
    left = {task for task in asyncio.all_tasks() - tasks_before if "Connection.start" in repr(task)}
    await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 5)


async def test_a_lost_client_ends_its_handler(serve, connect):
    """Nobody waits for the answer any more: the handler is cancelled, though it has nothing to write."""
    room = Room()
    hook = await (await serve()).attach(room)
    raw = await connect(hook.url)
    await raw.send(f"GET {urlsplit(hook.url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await room.entered.acquire()

    raw.writer.transport.abort()
    await asyncio.wait_for(hook.detach(grace=5), 2)

    assert room.ends == ["cancelled"]


async def test_a_lost_websocket_is_read_as_closed(serve, client):
    """The handler of a websocket finds out by reading, and ends in its own time."""
    talk = Talk()
    hook = await (await serve()).attach(talk)
    socket = await client.ws_connect(hook.url)
    await talk.open.wait()

    socket._response.connection.transport.abort()
    await asyncio.wait_for(talk.over.wait(), 3)

    assert talk.ends in (["CLOSED"], ["CLOSING"])


async def test_a_websocket_handler_that_does_not_read_ends_too(serve, client, monkeypatch):
    """Who never finds out that the client is gone is cancelled after a while."""
    monkeypatch.setattr(exchange, "LOST_BUDGET", 0.1)
    ready, ends = asyncio.Event(), []

    async def deaf(request: web.Request) -> web.WebSocketResponse:
        talk = web.WebSocketResponse()
        await talk.prepare(request)
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")
        return talk

    hook = await (await serve()).attach(deaf)
    talk = await client.ws_connect(hook.url)
    await ready.wait()

    talk._response.connection.transport.abort()
    await asyncio.wait_for(hook.detach(grace=5), 2)

    assert ends == ["ended"]


async def test_cancelled_closing_closes_at_once(serve, client):
    """Who cancels the drain gets what the drain was for."""
    room, server = Room(), await serve()
    hook = await server.attach(room)
    asked = asyncio.ensure_future(get(client, hook.url))
    await room.entered.acquire()
    closing = asyncio.ensure_future(server.close(drain=60))
    await asyncio.sleep(0.05)

    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    await asyncio.wait([asked], timeout=5)
    assert room.ends == ["cancelled"]


async def test_cleaning_up_is_not_cancelled_again(serve, client):
    """A handler that is cancelled has time to put things in order, though its client goes meanwhile, too."""
    entered, ends = asyncio.Event(), []

    async def tidy(request: web.Request) -> web.Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            ends.append("tidied up")
        return web.Response()

    hook = await (await serve()).attach(tidy)
    asked = asyncio.ensure_future(get(client, hook.url))
    await entered.wait()

    await hook.detach()

    assert ends == ["tidied up"]
    await asyncio.wait([asked])


async def test_what_a_client_does_not_take_holds_nothing_open(serve, connect):
    """A detached hook waits for nobody to read what was sent: its connections are closed then and there."""
    used = []

    async def pour(request: web.Request) -> web.StreamResponse:
        used.append(request.get_extra_info("socket"))
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))

    server = await serve()
    hook, other = await server.attach(pour), await server.attach(Room())
    raw = await connect(hook.url, limit=1024)
    await raw.send(f"GET {urlsplit(other.url).path}go HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await raw.until(b"gone")
    await raw.send(f"GET {urlsplit(hook.url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await raw.head()

    await hook.detach(grace=0.3)
    await asyncio.sleep(0)

    assert [connection.fileno() for connection in used] == [-1]
