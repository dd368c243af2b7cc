"""No client costs more than it may: connections, bytes and patience are bounded, and others are served meanwhile."""

import asyncio
import gzip
import resource
import socket
import time
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from stagecall.worker.webhooks import connection, listening


async def swallow(request: web.Request) -> web.Response:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.Response(text=f"{size} bytes")


def head(hook, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {urlsplit(hook.url).path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


async def trickle(raw, data: bytes, pause: float, seconds: float = 10) -> float:
    """Send byte after byte until the other side closes; return after how many seconds that was."""
    begun = time.monotonic()
    closed = asyncio.ensure_future(raw.rest())
    for n in range(len(data)):
        if closed.done() or time.monotonic() - begun > seconds:
            break
        try:
            await raw.send(data[n : n + 1])
        except ConnectionError:
            break
        await asyncio.wait([closed], timeout=pause)
    await asyncio.wait_for(closed, seconds)
    return time.monotonic() - begun


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-"])
async def test_a_connection_without_a_request_is_closed(serve, connect, begun):
    """Whoever connects must ask for something within `idle_timeout`."""
    server = await serve(idle_timeout=0.3)
    raw = await connect(f"http://127.0.0.1:{server.port}/")
    started = time.monotonic()
    await raw.send(begun)

    assert await raw.rest() == b""

    assert 0.2 < time.monotonic() - started < 2


async def test_headers_that_trickle_are_given_up(serve, connect):
    """A byte now and then buys no time: the head of a request is there within `idle_timeout`, or the client is not."""
    hook = await (await serve(idle_timeout=0.5)).attach(swallow)

    seconds = await trickle(await connect(hook.url), head(hook) + b"x" * 1000, pause=0.05)

    assert 0.3 < seconds < 3


async def test_a_body_that_trickles_is_given_up(serve, connect):
    """A body must come faster than a trickle; its handler is not left waiting."""
    server = await serve(idle_timeout=0.4)
    hook = await server.attach(swallow)
    raw = await connect(hook.url)
    await raw.send(head(hook, "Content-Length: 100000"))

    seconds = await trickle(raw, b"x" * 1000, pause=0.05)

    assert 0.3 < seconds < 3
    await hook.detach(grace=2)
    assert server.exchanges == set()


async def test_a_body_may_take_long_if_it_comes(serve, connect):
    """A client that sends at a fair pace is waited for, beyond `idle_timeout`."""
    hook = await (await serve(idle_timeout=0.2)).attach(swallow)
    raw = await connect(hook.url)
    await raw.send(head(hook, "Content-Length: 20000"))

    for _ in range(10):
        await raw.send(b"x" * 2000)
        await asyncio.sleep(0.08)

    assert await raw.head() == b"HTTP/1.1 200 OK"
    assert await raw.until(b"bytes") == b"20000 bytes"


async def test_a_handler_that_does_not_read_is_not_the_clients_fault(serve, connect, monkeypatch):
    """Time in which the handler lets the body wait does not count; what waits is bounded."""
    monkeypatch.setattr(connection, "LEAST_RATE", 1 << 40)  # what was sent earns no time
    go, size = asyncio.Event(), 12 << 20

    async def later(request: web.Request) -> web.Response:
        await go.wait()
        return await swallow(request)

    hook = await (await serve(idle_timeout=1)).attach(later)
    raw = await connect(hook.url)
    raw.writer.transport.set_write_buffer_limits(high=0)
    await raw.send(head(hook, f"Content-Length: {size}"))
    sending = asyncio.ensure_future(raw.send(bytes(size)))
    await asyncio.wait([sending], timeout=1.6)
    stuck = not sending.done()
    go.set()
    await sending

    assert stuck
    assert await raw.head() == b"HTTP/1.1 200 OK"
    assert await raw.until(b"bytes") == b"%d bytes" % size


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs the kernel's TCP_USER_TIMEOUT")
@pytest.mark.parametrize("asked", ["stream", "at once"])
async def test_a_client_that_takes_nothing_is_dropped(serve, connect, asked):
    """A reader who stands still holds its connection for little longer than `idle_timeout`, its memory never grows."""
    written = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal written
        if asked == "at once":
            return web.Response(body=bytes(64 << 20))
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))
            written += 65536

    server = await serve(idle_timeout=0.5)
    hook = await server.attach(pour)
    raw = await connect(hook.url, limit=1024)
    await raw.send(head(hook, method="GET"))
    assert await raw.head() == b"HTTP/1.1 200 OK"

    begun = time.monotonic()
    await hook.detach(grace=10)

    assert time.monotonic() - begun < 6
    assert server.exchanges == set()
    assert written < 32 << 20  # what the kernel holds for both sides


@pytest.mark.parametrize(
    "lines",
    [
        ["X: " + "x" * 5000],
        [f"X{n}: {'x' * 100}" for n in range(50)],
        [f"{'X' * 5000}: x"],
        [f"X{n}:" for n in range(200)],
    ],
    ids=["one long", "many", "a long name", "too many"],
)
async def test_large_headers_are_refused(serve, connect, lines):
    """Their sum counts; the answer says what is wrong and repeats none of them."""
    hook = await (await serve(max_header_bytes=4096)).attach(swallow)
    raw = await connect(hook.url)

    await raw.send(head(hook, *lines, method="GET"))
    answer = await raw.rest()

    assert answer == b"" or answer.split(b" ")[1] in (b"431", b"400")
    assert b"xxx" not in answer.lower()


async def test_a_long_address_is_refused(serve, connect):
    """A request line is bounded as headers are."""
    server = await serve(max_header_bytes=1024)
    hook = await server.attach(swallow)
    raw = await connect(hook.url)

    await raw.send(f"GET {urlsplit(hook.url).path}{'y' * 2000} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await raw.rest()

    assert answer == b"" or answer.split(b" ")[1] == b"431"
    assert b"yyy" not in answer


async def test_headers_without_end_are_cut(serve, connect):
    """A head that never ends is not kept in memory until it times out."""
    hook = await (await serve(max_header_bytes=4096)).attach(swallow)
    raw = await connect(hook.url)

    await raw.send(head(hook)[:-2])
    await raw.send(b"".join(b"A%d: %s\r\n" % (n, b"b" * 1000) for n in range(5)))

    assert await raw.rest() == b""  # long before idle_timeout


async def test_a_body_that_says_it_is_too_large_is_not_read(serve, connect):
    """413 before the first byte, and without asking for it."""
    hook = await (await serve(max_body_bytes=1000)).attach(swallow)
    raw = await connect(hook.url)

    await raw.send(head(hook, "Content-Length: 1001", "Expect: 100-continue"))
    answer = await raw.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\n413: a request's body may have 1000 bytes\n")


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_that_turns_out_too_large_is_cut_off(serve, connect, packed, monitor):
    """Chunks are counted as they come, what is packed once it is unpacked: a small bomb is a large body."""
    server = await serve(max_body_bytes=100_000)
    hook = await server.attach(swallow)
    raw = await connect(hook.url)
    body = gzip.compress(bytes(50 << 20)) if packed else bytes(200_000)
    lines = ["Transfer-Encoding: chunked", *(["Content-Encoding: gzip"] if packed else [])]

    try:
        await raw.send(head(hook, *lines) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    except ConnectionError:
        pass
    answer = await raw.rest()

    assert answer[:13] in (b"HTTP/1.1 413 ", b"")
    assert (server.exchanges, monitor.errors) == (set(), [])


async def test_a_body_of_just_the_size_is_taken(serve, client):
    """The limit is the largest size, not the first too large."""
    hook = await (await serve(max_body_bytes=100_000)).attach(swallow)

    async with client.post(hook.url, data=bytes(100_000), expect100=True) as response:
        assert (response.status, await response.text()) == (200, "100000 bytes")


async def test_an_unknown_expectation_is_refused(serve, client):
    """Only 100-continue can be expected (RFC 9110, 10.1.1)."""
    hook = await (await serve()).attach(swallow)

    async with client.get(hook.url, headers={"Expect": "a miracle"}) as response:
        assert response.status == 417


async def test_beyond_the_last_connection_comes_503(serve, connect):
    """Where all connections are in use a new one is turned away; once one has ended there is room."""
    go, entered = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(request: web.Request) -> web.Response:
        entered.release()
        await go.wait()
        return web.Response()

    hook = await (await serve(max_connections=3)).attach(wait)
    raws = [await connect(hook.url) for _ in range(3)]
    for raw in raws:
        await raw.send(head(hook, "Connection: close", method="GET"))
        await entered.acquire()

    turned_away = await (await connect(hook.url)).rest()
    go.set()
    for raw in raws:
        assert await raw.head() == b"HTTP/1.1 200 OK"
        await raw.rest()
    again = await connect(hook.url)
    await again.send(head(hook, method="GET"))

    assert turned_away.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert turned_away.endswith(b"\r\n\r\n503: too many connections\n")
    assert await again.head() == b"HTTP/1.1 200 OK"


async def test_idle_connections_give_way(serve, connect):
    """Nobody locks others out by holding connections: the one that is idle longest is closed for a new one."""
    hook = await (await serve(max_connections=5)).attach(swallow)
    hoard = [await connect(hook.url) for _ in range(5)]
    await hoard[0].send(head(hook)[:30])  # arriving is idle, too

    raw = await connect(hook.url)
    await raw.send(head(hook, "Content-Length: 0"))

    assert await raw.head() == b"HTTP/1.1 200 OK"
    assert await hoard[0].rest() == b""


async def test_silent_clients_are_asked_whether_they_are_there(serve, client):
    """The kernel probes a connection on which nothing moves: a client that vanished is found out."""
    options = {"SO_KEEPALIVE": socket.SOL_SOCKET, "TCP_KEEPIDLE": socket.IPPROTO_TCP}

    async def tell(request: web.Request) -> web.Response:
        used = request.get_extra_info("socket")
        return web.json_response([used.getsockopt(at, getattr(socket, name)) for name, at in options.items()])

    hook = await (await serve(idle_timeout=7)).attach(tell)

    async with client.get(hook.url) as response:
        assert await response.json() == [1, 7]


async def test_pipelined_requests_are_answered_in_order(serve, connect):
    """A client may ask ahead; the answers come in turn."""

    async def tell(request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(text=f"<{request.path}>")

    hook = await (await serve()).attach(tell)
    raw = await connect(hook.url)
    path = urlsplit(hook.url).path

    await raw.send(b"".join(f"GET {path}{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for n in range(100)))
    answers = [await raw.until(b"</%d>" % n) for n in range(100)]

    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


async def test_running_out_of_descriptors_passes(serve, client, monkeypatch, caplog):
    """A connection that cannot be accepted waits until it can."""
    server = await serve()
    hook = await server.attach(swallow)
    failures = iter([OSError(24, "Too many open files")] * 2)
    accept = socket.socket.accept

    def failing(self):
        for failure in failures:
            raise failure
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    begun = time.monotonic()

    async with client.get(hook.url) as response:
        assert response.status == 200

    assert time.monotonic() - begun >= 2 * listening.PAUSE  # and does not try without a pause meanwhile

    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["cannot accept a connection: Too many open files"] * 2


async def test_descriptors_are_left_for_the_runs(monkeypatch, serve, connect, monitor):
    """Where the process may open fewer files than there may be connections, a quarter of them is not for clients."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (8, 8))

    hook = await (await serve(max_connections=100)).attach(swallow)
    raws = [await connect(hook.url) for _ in range(8)]

    assert monitor.logs == [
        (
            "the limit of open files allows fewer connections to web hooks than configured",
            {"configured": 100, "allowed": 6},
        )
    ]
    assert [await raw.rest() for raw in raws[:2]] == [b"", b""]
