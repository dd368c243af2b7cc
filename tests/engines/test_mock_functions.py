"""What mock tasks do: one function after the other."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stagecall.engines.mock.functions import AT_ONCE, LASTING
from stagecall.lifecycle.errors import FatalInternalError, MalformedPayloadError, NonFatalInternalError

from .mock_support import BOUND, House, turn_loop


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize(
    ("function", "argument", "success", "log"),
    [
        ("true", "", True, ""),
        ("false", "", False, ""),
        ("write-log", "Hello World", True, "Hello World\n"),
        ("write-log", "æøå \ud800", True, "æøå \\ud800\n"),
        ("write-log", "two\nlines", True, "two\nlines\n"),
        ("write-error-log", "Hello World", False, "[stagecall:error] Hello World\n"),
        ("write-log-sleep", "Hello World", True, "Hello World\n"),
        ("write-files", "a.txt", True, ""),
        ("print-env-var", "SET", True, "its value\n"),
        ("print-env-var", "EMPTY", True, "\n"),
        ("print-env-var", "UNSET", False, "[stagecall:error] the variable 'UNSET' is not set\n"),
    ],
)
async def test_function_gives_result_and_log(tmp_path, function, argument, success, log, delay):
    """A function succeeds or fails, and writes what it is meant to, with a delay and without."""
    house = House(tmp_path)

    async def prepare(builder):
        await builder.set_environment_variable("SET", "its value")
        await builder.set_environment_variable("EMPTY", "")

    result = await house.result(prepare, function=function, argument=argument, delay=delay)

    assert (result.success, house.log()) == (success, log)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("malformed-payload-after-start", MalformedPayloadError),
        ("fatal-internal-error", FatalInternalError),
        ("nonfatal-internal-error", NonFatalInternalError),
    ],
)
async def test_function_raises_what_it_is_called_for(tmp_path, function, error, delay):
    """Waiting raises the error, again and again, with the argument as its message or one of its own."""
    sandbox = await House(tmp_path).sandbox(function=function, argument="no such thing", delay=delay)
    silent = await House(tmp_path).sandbox(function=function, delay=delay)

    for _ in range(2):
        with pytest.raises(error, match="no such thing"):
            await sandbox.wait_for_result()
    with pytest.raises(error, match="the task asked for"):
        await silent.wait_for_result()


async def test_task_takes_its_delay(tmp_path):
    """The function does its work when the delay has passed, not before."""
    house = House(tmp_path)
    clock = asyncio.get_running_loop().time
    start = clock()

    sandbox = await house.sandbox(function="write-log", argument="late", delay=30)
    await turn_loop()
    early = house.logs[0].size
    await sandbox.wait_for_result()

    assert early == 0
    assert clock() - start >= 0.029
    assert house.log() == "late\n"


async def test_task_with_a_delay_ends_although_nobody_waits(tmp_path):
    """The clock runs from the start of the sandbox."""
    house = House(tmp_path)
    await house.sandbox(function="write-log", argument="done", delay=1)

    async with asyncio.timeout(BOUND):
        async for data in house.logs[0].reader():
            assert data == b"done\n"
            break


async def test_write_log_sleep_writes_before_it_sleeps(tmp_path):
    """What it writes can be read while it still sleeps."""
    house = House(tmp_path)

    sandbox = await house.sandbox(function="write-log-sleep", argument="awake", delay=300_000)
    await turn_loop()
    written = house.logs[0].size
    await sandbox.kill()

    assert written == len("awake\n")
    assert (await sandbox.wait_for_result()).success is False


async def test_stop_now_sleep_tells_the_worker_once_and_waits_to_be_aborted(tmp_path):
    """The worker is told to stop; the task does not end by itself."""
    house = House(tmp_path)

    sandbox = await house.sandbox(function="stopNow-sleep")
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()
    stops, done = house.environment.stops, waiting.done()
    await sandbox.kill()

    assert (stops, done) == (1, False)
    assert (await waiting).success is False


async def test_stop_now_sleep_only_sleeps_where_nobody_can_be_told(tmp_path, monkeypatch):
    """An environment without `stop_now` is no error."""
    monkeypatch.setattr("stagecall.engines.mock.functions.SLEEP_SECONDS", 0.001)
    house = House(tmp_path)
    monkeypatch.delattr(type(house.environment), "stop_now")

    result = await house.result(function="stopNow-sleep")

    assert result.success is True


async def hello(request: web.Request) -> web.StreamResponse:
    if request.path == "/moved":
        raise web.HTTPFound("/hello")
    if request.path == "/missing":
        raise web.HTTPNotFound(text="nothing here")
    if request.path == "/broken":
        assert request.transport is not None
        request.transport.abort()
    return web.Response(text="Hello World")


@pytest.fixture
async def server():
    application = web.Application()
    application.router.add_get("/{path:.*}", hello)
    async with TestServer(application, host="127.0.0.1") as server:
        yield server


@pytest.mark.parametrize(
    ("path", "success", "log"),
    [
        ("/hello", True, "Hello World\n"),
        ("/moved", True, "Hello World\n"),
        ("/missing", False, "nothing here\n[stagecall:error] {url} answered 404 Not Found\n"),
        ("/broken", False, "[stagecall:error] cannot get {url}: Server disconnected\n"),
    ],
)
async def test_get_url_writes_what_it_gets(tmp_path, server, path, success, log):
    """The body is in the log; only a status of 2xx is a success, after redirects."""
    house = House(tmp_path)
    url = str(server.make_url(path))

    result = await house.result(function="get-url", argument=url)

    assert (result.success, house.log()) == (success, log.format(url=url))


@pytest.mark.parametrize("url", ["", "nowhere", "http://[::1", "ftp://localhost/", "http://localhost:99999/"])
async def test_get_url_of_what_is_no_url_fails(tmp_path, url):
    """Whatever the argument is, the task fails and says which URL it was."""
    house = House(tmp_path)

    result = await house.result(function="get-url", argument=url)

    assert result.success is False
    assert f"cannot get {url}" in house.log()


@pytest.mark.parametrize("function", ["get-url", "ping-proxy"])
async def test_functions_that_need_aiohttp_say_so(tmp_path, monkeypatch, function):
    """Without the extra that brings aiohttp, the error names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)

    async def prepare(builder):
        await builder.attach_proxy("proxy", hello)

    with pytest.raises(Exception, match=r"needs aiohttp: pip install 'stagecall\[worker\]'") as caught:
        await House(tmp_path).result(prepare, function=function, argument="http://proxy/")

    assert type(caught.value).__name__ == "FeatureNotSupportedError"


def test_no_function_is_both_at_once_and_lasting():
    """Each function has one way to run."""
    assert set(AT_ONCE) & set(LASTING) == set()
