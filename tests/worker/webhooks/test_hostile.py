"""Whoever connects may send anything: no request slips in beside another, and no secret into a log."""

import asyncio
import contextlib
import logging
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MARK = b"marker-7f3a"
"""Stands in hostile requests: it may be in no answer and no log."""

NOT_SERVED = {
    "both lengths": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a list of lengths": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a negative length": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello",
    "a length with a sign": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "an unknown coding": b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: marker-7f3a\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
    "a folded header": b"GET %s HTTP/1.1\r\nHost: x\r\nX: a\r\n marker-7f3a\r\n\r\n",
    "a NUL": b"GET %s HTTP/1.1\r\nHost: x\r\nX: a\0marker-7f3a\r\n\r\n",
    "a bare CR": b"GET %s HTTP/1.1\r\nHost: x\r\nX: a\rmarker-7f3a: b\r\n\r\n",
    "a bad name": b"GET %s HTTP/1.1\r\nHost: x\r\nma(rker-7f3a: a\r\n\r\n",
    "a bad method": b"marker-7f3a\x01 %s HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"GET %s RTSP/1.0 marker-7f3a\r\n\r\n",
    "a version to come": b"GET %s HTTP/9.9\r\nX: marker-7f3a\r\n\r\n",
    "no version": b"GET %s\r\nX: marker-7f3a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%s marker-7f3a",
}


@pytest.fixture
def lines(caplog):
    """Every line that is logged by anybody, tracebacks and all, as one text."""
    caplog.set_level(logging.DEBUG)

    def text() -> str:
        return "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])

    return text


def status(answer: bytes) -> int | None:
    """Return the status of an answer, None if there is none."""
    return int(answer.split(b" ")[1]) if answer else None


class Witness:
    """A handler that remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.path_qs))
        await request.read()
        return web.Response(text="well done")


@pytest.mark.parametrize("request_", NOT_SERVED.values(), ids=list(NOT_SERVED))
async def test_what_is_ambiguous_is_refused(serve, connect, lines, monitor, request_):
    """Where two readers could see two requests, or none, the connection ends: nothing behind it is served."""
    witness = Witness()
    hook = await (await serve(idle_timeout=1)).attach(witness)
    path = urlsplit(hook.url).path.encode()
    raw = await connect(hook.url)

    await raw.send(request_ % path + b"GET " + path + b"smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await raw.rest()

    assert status(answer) in (None, 400)
    assert witness.seen in ([], [("POST", "/")])
    assert b"well done" not in answer
    assert MARK not in answer
    assert MARK.decode() not in lines()
    assert hook.url[-23:-1] not in lines()
    assert monitor.errors == []


@pytest.mark.parametrize(
    "body", [b"5\r\nhelloX", b"zz\r\n", b"-1\r\n", b"fffffffffffffffffff\r\n", b"5;\nhello"]
)
async def test_broken_chunks_end_the_connection(serve, connect, monitor, body):
    """A body that breaks off is no end of a request: what follows is not taken for one."""
    witness = Witness()
    hook = await (await serve()).attach(witness)
    path = urlsplit(hook.url).path.encode()
    raw = await connect(hook.url)

    await raw.send(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    await raw.send(b"\r\n0\r\n\r\nGET " + path + b"smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(OSError):  # the other side may have closed already
        raw.writer.write_eof()
    answer = await raw.rest()

    assert b"well done" not in answer
    assert ("GET", "/smuggled") not in witness.seen


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"x:443",
        b"http://",
        b"http://[/",
        b"ftp://x/%s/",
        b"//%s/",
        b"/%%2f%s/",
        b"/./%s/",
        b"/a/../%s/",
        b"/%s%%2f",
    ],
)
async def test_other_spellings_lead_nowhere(serve, connect, target):
    """Only the slug between the first two slashes is one; nothing is decoded or resolved before."""
    witness = Witness()
    hook = await (await serve()).attach(witness)
    target = target % hook.url[-23:-1].encode() if b"%s" in target else target
    answers = []
    for method in (b"GET", b"OPTIONS", b"CONNECT"):
        raw = await connect(hook.url)
        await raw.send(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers.append(await raw.rest())

    assert {status(answer) for answer in answers} <= {404, 400}
    assert witness.seen == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=200), behind=st.booleans())
def test_any_bytes_leave_the_server_serving(junk, behind):
    """Whatever is sent, before or behind a request, others are served, and nothing is raised or left."""

    async def play() -> None:
        from stagecall.testing.doubles import RecordingMonitor
        from stagecall.worker.webhooks import WebHookOptions, WebHookServer

        errors = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        monitor = RecordingMonitor()
        async with WebHookServer(WebHookOptions(drain=0, idle_timeout=5), monitor) as server:
            hook = await server.attach(Witness())
            request = f"GET {urlsplit(hook.url).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request + junk if behind else junk + request)
            async with aiohttp.ClientSession() as client, client.get(hook.url) as response:
                assert await response.text() == "well done"
            writer.transport.abort()
        assert (errors, monitor.errors) == ([], [])

    asyncio.run(play())


async def test_no_log_holds_a_slug(serve, client, connect, lines, caplog, monitor):
    """Neither found nor missed, failed nor refused, attached nor detached: lines name the hook otherwise."""

    async def fail(request: web.Request) -> web.Response:
        raise ValueError(f"cannot serve {request.url} {request!r} {request.raw_path}")

    server = await serve(max_header_bytes=2000)
    good, bad = await server.attach(Witness()), await server.attach(fail)
    slugs = [hook.url[-23:-1] for hook in (good, bad)]
    urls = [
        *(
            f"{hook.url}{rest}"
            for hook in (good, bad)
            for rest in ("", "a?b=c", slugs[0], f"x/{slugs[1]}/", "y" * 3000)
        ),
        *(
            f"http://127.0.0.1:{server.port}/{rest}"
            for rest in (slugs[0], f"x/{slugs[1]}/", f"{slugs[0]}%2F")
        ),
    ]
    for url in urls:
        try:
            async with client.get(url) as response:
                text = await response.text()
                assert not any(slug in text for slug in slugs)
        except aiohttp.ClientError:
            pass
    raw = await connect(good.url)
    await raw.send(b"\x00" + good.url.encode() + b"\r\n\r\n")
    await raw.rest()
    await bad.detach()
    async with client.get(bad.url) as response:
        assert response.status == 404
    assert [repr(hook) for hook in (good, bad)] == [f"<web hook {hook.name}>" for hook in (good, bad)]

    said = lines()
    assert f"hook {good.name} GET /a 200" in said
    assert f"hook {bad.name} GET /a 500" in said
    assert "no hook GET / 404" in said
    for slug in slugs:
        assert slug not in said
    assert {record.levelname for record in caplog.records if record.name.startswith("stagecall")} == {"DEBUG"}


async def test_links_on_a_hooks_page_do_not_tell_its_address(serve, client):
    """Every answer asks for no referrer, unless its handler says otherwise; none says what serves it."""

    async def page(request: web.Request) -> web.Response:
        headers = {"Referrer-Policy": "same-origin"} if request.path == "/own" else {}
        return web.Response(headers=headers)

    hook = await (await serve()).attach(page)

    found = []
    for path in ("", "own"):
        async with client.get(hook.url + path) as response:
            found.append((response.headers["Referrer-Policy"], response.headers["Server"]))

    assert found == [("no-referrer", "stagecall"), ("same-origin", "stagecall")]


async def test_an_answer_that_fails_half_way_is_no_whole_one(serve, client, monitor):
    """The connection breaks off: nobody takes the first half for all of it; the error is reported once."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first half")
        raise ValueError("no second half")

    hook = await (await serve()).attach(half)

    with pytest.raises(aiohttp.ClientPayloadError):
        async with client.get(hook.url) as response:
            await response.read()

    assert monitor.errors == [("ValueError", None)]


@pytest.mark.parametrize("wrong", [None, "text", web.HTTPNotFound])
async def test_a_handler_that_returns_no_response_is_reported(serve, client, monitor, wrong):
    """The client is not told what it returned."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return wrong

    hook = await (await serve()).attach(handler)

    async with client.get(hook.url) as response:
        assert (response.status, await response.text()) == (500, "500: internal error, incident incident-1\n")

    assert monitor.errors == [("TypeError", None)]


async def test_a_body_that_cannot_be_made_is_reported(serve, client, monitor):
    """An error while the answer is sent, after its handler returned, is the handler's too."""

    async def pieces():
        yield b"one"
        raise ValueError("no more")

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=pieces())

    hook = await (await serve()).attach(handler)

    with pytest.raises(aiohttp.ClientError):
        async with client.get(hook.url) as response:
            await response.read()

    assert monitor.errors == [("ValueError", None)]
