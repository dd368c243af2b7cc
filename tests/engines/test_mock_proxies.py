"""Proxies: requests of the task reach the plugin's handler."""

import asyncio

import pytest
from aiohttp import web

from stagecall.lifecycle.errors import MalformedPayloadError

from .mock_support import BOUND, House, turn_loop

URL = "http://proxy/v1/ping?q=a%2Fb"


def attached(handler, hostname="proxy"):
    async def prepare(builder):
        await builder.attach_proxy(hostname, handler)

    return prepare


async def ping(house, handler, url=URL):
    return await house.result(attached(handler), function="ping-proxy", argument=url)


async def test_request_reaches_the_handler(tmp_path):
    """The handler sees method, host, path and query; its answer is in the log after `Pinging`."""
    house = House(tmp_path)
    seen = []

    async def handler(request):
        seen.append((request.method, request.host, request.path, request.query_string))
        return web.Response(text="secret=42")

    result = await ping(house, handler)

    assert seen == [("GET", "proxy", "/v1/ping", "q=a/b")]
    assert (result.success, house.log()) == (True, "Pinging\nsecret=42\n")


@pytest.mark.parametrize(
    ("status", "success"), [(200, True), (204, True), (302, False), (404, False), (500, False)]
)
async def test_only_2xx_is_a_success(tmp_path, status, success):
    """Any other status fails the task; a redirect is not followed."""
    house = House(tmp_path)

    async def handler(request):
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    result = await ping(house, handler)

    assert result.success is success


async def test_body_of_a_404_is_in_the_log(tmp_path):
    """The task's author can read why it failed."""
    house = House(tmp_path)

    async def handler(request):
        raise web.HTTPNotFound(text="no secret=42 here")

    result = await ping(house, handler)

    assert result.success is False
    assert "no secret=42 here\n" in house.log()


async def test_handler_that_raises_is_a_500(tmp_path):
    """A defect of the handler fails the request, not the engine."""
    house = House(tmp_path)

    async def handler(request):
        raise RuntimeError("a defect")

    result = await ping(house, handler)

    assert result.success is False
    assert "500 Internal Server Error" in house.log()


async def test_streamed_answer_is_logged_as_it_comes(tmp_path):
    """What the handler has sent is in the log before it goes on."""
    house = House(tmp_path)

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"first\n", b"second\n"):
            size = house.logs[0].size
            await response.write(piece)
            async with asyncio.timeout(BOUND):
                async for _ in house.logs[0].reader(size):
                    break
        return response

    result = await ping(house, handler)

    assert (result.success, house.log()) == (True, "Pinging\nfirst\nsecond\n")


async def test_pings_of_two_sandboxes_run_side_by_side(tmp_path):
    """Both requests are under way before either is answered."""
    house = House(tmp_path)
    both = asyncio.Barrier(2)

    async def handler(request):
        async with asyncio.timeout(BOUND):
            await both.wait()
        return web.Response(text="together")

    results = await asyncio.gather(ping(house, handler), ping(house, handler))

    assert [result.success for result in results] == [True, True]


async def test_each_host_has_its_own_handler(tmp_path):
    """The host of the URL decides, its port does not matter."""
    house = House(tmp_path)

    def handler_of(name):
        async def handler(request):
            return web.Response(text=name)

        return handler

    async def prepare(builder):
        for name in ("one", "two"):
            await builder.attach_proxy(f"proxy{name}", handler_of(name))

    await house.result(prepare, function="ping-proxy", argument="http://proxytwo:8080/")

    assert house.log() == "Pinging\ntwo\n"


@pytest.mark.parametrize("url", ["http://other/", "proxy", "", "/v1/ping"])
async def test_host_without_a_proxy_fails(tmp_path, url):
    """Nothing is requested from anywhere, and the log says why."""
    house = House(tmp_path)

    async def handler(request):
        raise AssertionError("never called")

    result = await ping(house, handler, url)

    assert result.success is False
    assert house.log() == f"[stagecall:error] no proxy is attached at the host of {url!r}\n"


async def test_argument_that_is_no_url_is_malformed(tmp_path):
    """The error quotes the argument."""
    with pytest.raises(MalformedPayloadError, match=r"'http://\[proxy' is no URL"):
        await House(tmp_path).result(function="ping-proxy", argument="http://[proxy")


@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_ending_the_sandbox_ends_the_request(tmp_path, end):
    """A handler that hangs is cancelled, and nothing is left when the call returns."""
    house = House(tmp_path)
    called, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request):
        called.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    sandbox = await house.sandbox(attached(handler), function="ping-proxy", argument=URL)
    await asyncio.wait_for(called.wait(), BOUND)

    await asyncio.wait_for(getattr(sandbox, end)(), BOUND)
    await turn_loop()

    assert cancelled.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
