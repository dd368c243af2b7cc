"""A handler is reached below its address and nowhere else, by requests and websockets, over HTTP and TLS."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest
from aiohttp import WSMsgType, web

from stagecall.lifecycle.errors import ConfigurationError, LifecycleError
from stagecall.worker.webhooks import WebHookOptions, WebHookServer


async def describe(request: web.Request) -> web.Response:
    return web.json_response([request.method, request.path, dict(request.query), await request.text()])


async def echo(request: web.Request) -> web.WebSocketResponse:
    talk = web.WebSocketResponse()
    await talk.prepare(request)
    async for message in talk:
        await talk.send_bytes(message.data)
    return talk


async def test_handler_sees_the_request_without_the_prefix(serve, client):
    """Method, path behind the slug, query and body arrive as they were sent."""
    hook = await (await serve()).attach(describe)

    async with client.post(f"{hook.url}a/b%20c?d=e", data="body") as response:
        answer = response.status, await response.json()

    assert answer == (200, ["POST", "/a/b c", {"d": "e"}, "body"])


async def test_address_is_22_characters_below_the_server(serve):
    """An address is the server's, then a slug of 22 URL-safe characters, then a slash."""
    server = await serve()

    hooks = [await server.attach(describe) for _ in range(3)]

    assert len({hook.url for hook in hooks}) == 3
    for hook in hooks:
        parts = urlsplit(hook.url)
        assert (parts.scheme, parts.netloc) == ("http", f"127.0.0.1:{server.port}")
        assert len(parts.path) == 24
        assert parts.path[1:-1].replace("-", "").replace("_", "").isalnum()


async def test_elsewhere_there_is_nothing(serve, client):
    """Without a slug, with another one, or without the slash behind it the answer is 404, and repeats nothing."""
    hook = await (await serve()).attach(describe)
    slug = hook.url[-23:-1]
    elsewhere = [
        "",
        "x",
        "A" * 22 + "/",
        slug,
        slug + "x/",
        slug[:-1] + "/",
        "/" + slug + "/",
        slug.swapcase() + "/",
    ]

    answers = []
    for path in elsewhere:
        async with client.get(hook.url[:-23] + path) as response:
            answers.append((response.status, await response.text()))

    assert answers == [(404, "404: no such hook\n")] * len(elsewhere)


async def test_hooks_come_and_go_at_any_time(serve, client):
    """Each request goes to the handler of its own slug; one that was detached is found no more."""
    server = await serve()

    async def other(request: web.Request) -> web.Response:
        return web.Response(text="other")

    async def get(url: str) -> tuple[int, str]:
        async with client.get(url) as response:
            return response.status, await response.text()

    first = await server.attach(describe)
    second = await server.attach(other)
    before = [(await get(hook.url))[0] for hook in (first, second)]
    await first.detach()
    await first.detach()

    assert before == [200, 200]
    assert [await get(first.url), await get(second.url)] == [(404, "404: no such hook\n"), (200, "other")]


async def test_head_has_no_body_and_the_connection_is_kept(serve, connect):
    """HEAD is answered with the headers of GET alone; the next request comes by the same connection."""
    hook = await (await serve()).attach(describe)
    raw = await connect(hook.url)
    path = urlsplit(hook.url).path.encode()

    await raw.send(b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    first = await raw.until(b"\r\n\r\n")
    await raw.send(b"GET " + path + b"next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    second = await raw.rest()

    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.endswith(b'["GET", "/next", {}, ""]')


async def test_websockets(serve, client):
    """A handler may turn a request into a websocket."""
    hook = await (await serve()).attach(echo)

    async with client.ws_connect(hook.url) as talk:
        await talk.send_bytes(b"\x00\xff")
        message = await talk.receive(5)

    assert (message.type, message.data) == (WSMsgType.BINARY, b"\x00\xff")


async def test_what_a_handler_fails_with_is_reported_not_told(serve, client, monitor):
    """The client gets an incident id, the worker the error; other requests go on, even after a SystemExit."""
    failures = [
        ValueError("secret"),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        TimeoutError(),
    ]

    async def fail(request: web.Request) -> web.Response:
        raise failures[int(request.query["n"])]

    hook = await (await serve()).attach(fail)

    answers = []
    for n in range(len(failures)):
        async with client.get(f"{hook.url}?n={n}") as response:
            answers.append((response.status, await response.text()))

    assert answers == [
        (500, f"500: internal error, incident incident-{n + 1}\n") for n in range(len(failures))
    ]
    assert [error for error, _ in monitor.errors] == [type(failure).__name__ for failure in failures]


async def test_a_server_that_is_closed_or_not_started_attaches_nothing():
    """Attaching needs a server that listens; the error says what is wrong."""
    server = WebHookServer()
    with pytest.raises(LifecycleError, match="has not been started"):
        await server.attach(describe)
    await server.start()
    await server.close()

    with pytest.raises(LifecycleError, match="is closed"):
        await server.attach(describe)


async def test_a_port_that_is_taken_is_a_mistake_of_the_configuration(serve):
    """The message names host and port."""
    taken = (await serve()).port

    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {taken}: "):
        await WebHookServer(WebHookOptions(port=taken)).start()


@pytest.mark.parametrize("host", ["localhost", "::1", ""])
async def test_names_and_other_families(serve, client, host):
    """A name is served on all its addresses that this host has, by one port; so is every address for none."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        if host == "::1":
            pytest.skip("this host has no IPv6")
    server = await serve(host=host, **({} if host else {"public_url": "http://localhost:1"}))
    hook = await server.attach(describe)

    async with client.get(hook.url.replace(":1/", f":{server.port}/")) as response:
        assert (response.status, await response.json()) == (200, ["GET", "/", {}, ""])


async def test_a_host_that_is_not_ours_is_a_mistake_of_the_configuration():
    """An address of somebody else cannot be listened on."""
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192.0.2.1 port 0: "):
        await WebHookServer(WebHookOptions(host="192.0.2.1")).start()
