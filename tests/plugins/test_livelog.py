"""The plugin `livelog`: a task's log can be read while the task runs, and is where it belongs afterwards."""

import asyncio
import gzip
import os
import resource
import socket
import subprocess
import tracemalloc
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from stagecall.lifecycle.errors import ConfigurationError, ExceptionReason, NonFatalInternalError
from stagecall.lifecycle.limits import Limits
from stagecall.plugins.base import Plugin, PluginOptions, TaskPlugin
from stagecall.plugins.livelog import provider
from stagecall.plugins.livelog.plugin import BACKING, LIVE
from stagecall.plugins.success import SuccessPlugin
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import RecordingMonitor, RecordingWebHooks
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore, MemoryStore
from stagecall.worker.webhooks import WebHookOptions, WebHookServer

from .livelog_support import BOUND, TEXT_HEADERS, certificate
from .plugin_support import StubEngine

SCALE = 10 if os.environ.get("STAGECALL_CI") else 1
LIMITS = Limits(cancel_grace=2, abandon_grace=1, dispose_budget=10, dispose_total=20)
BIG_LINE = bytes(range(32, 127)) * 1000


class Worker:
    """A worker with `livelog`, a real server of web hooks and a client of that."""

    def __init__(self, runtime, session, store, monitor):
        self.runtime = runtime
        self.session = session
        self.store = store
        self.monitor = monitor
        self.reported = None
        self.addresses = {}

    def begin(self, **payload):
        """Begin a task; return its run and what waits for it."""
        run = self.runtime.new_run({"payload": payload}, report=self.report)
        self.run = run
        self.addresses[run] = happening(run, lambda event: event.kind is Kind.ARTIFACT)
        return run, asyncio.create_task(run.wait())

    async def report(self, resolution):
        self.reported = {artifact.name: artifact.storage for artifact in self.run.artifacts}

    async def address(self, run):
        """Return where the live log is, once the redirect leads there."""
        event = await asyncio.wait_for(self.addresses[run], BOUND)
        assert (event.get("name"), event.get("storage")) == (LIVE, "redirect")
        return event.get("url")

    def content(self, run, name):
        """Return what is stored under a name, unpacked."""
        return gzip.decompress(self.store.entries[run.info.task_id, 0, name].content)


@asynccontextmanager
async def worker(
    tmp_path,
    *plugins,
    engine="process",
    store=None,
    options=None,
    webhooks=None,
    engine_config=None,
    strict=True,
    **config,
):
    """A worker that runs tasks uncontained, whose folders lie below `tmp_path`.

    A strict run takes the connections of clients that stay open longer than the run for leaks.
    """
    store, monitor = MemoryStore() if store is None else store, RecordingMonitor()
    server = WebHookServer(options or WebHookOptions(max_connections=5000, drain=1.0), monitor)
    if engine == "process":
        engine_config = {"containment": "none"}
    async with (
        server,
        LocalEnvironment(store, monitor, tmp_path, webhooks=webhooks or server) as environment,
        ClientSession(timeout=ClientTimeout(BOUND), connector=TCPConnector(limit=0, ssl=False)) as session,
    ):
        livelog = provider.new_plugin(PluginOptions(environment, StubEngine(), monitor, config))
        async with await Runtime.create(
            engine,
            [livelog, *plugins],
            engine_config=engine_config,
            environment=environment,
            limits=LIMITS,
            strict=strict,
        ) as runtime:
            yield Worker(runtime, session, store, monitor)


def happening(run, wanted):
    """Return a future of the first event of a run that is wanted."""
    future = asyncio.get_running_loop().create_future()

    def observe(event):
        if wanted(event) and not future.done():
            future.set_result(event)

    run.observe(observe)
    return future


class Gate:
    """A named pipe at which a task waits (`read x < gate`) until the test opens it, once for each waiting."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.file = os.open(path, os.O_RDWR)

    def __str__(self):
        return str(self.path)

    def open(self):
        os.write(self.file, b"\n")


@pytest.fixture
def gate(tmp_path):
    """A gate for one task."""
    gate = Gate(tmp_path / "gate")
    yield gate
    os.close(gate.file)


async def ended(waiter):
    """Return what a run became."""
    return await asyncio.wait_for(waiter, BOUND)


def shell(script):
    """Return the payload that runs a script."""
    return {"command": ["sh", "-c", script]}


@pytest.mark.parametrize("tls", [False, True])
async def test_line_is_seen_while_the_task_runs(tmp_path, gate, tls):
    """What a task has written arrives although the task waits for what comes after it."""
    script = f"printf 'one\\377\\n'; read x < {gate}; echo two; read x < {gate}; echo three"
    options = WebHookOptions()
    if tls:
        paths = certificate(tmp_path)
        options = WebHookOptions(tls_certificate=str(paths[0]), tls_key=str(paths[1]))

    async with worker(tmp_path, options=options) as here:
        run, waiter = here.begin(**shell(script))
        async with here.session.get(await here.address(run)) as response:
            headers = {name: response.headers[name] for name in TEXT_HEADERS}
            async with asyncio.timeout(BOUND):
                first = await response.content.readexactly(5)
                gate.open()
                second = await response.content.readexactly(4)
                stage = run.stage
                gate.open()
                rest = await response.read()
        resolution = await ended(waiter)

    assert (first, second, rest, stage) == (b"one\xff\n", b"two\n", b"three\n", "waiting")
    assert headers == TEXT_HEADERS
    assert resolution.success
    assert here.content(run, BACKING) == b"one\xff\ntwo\nthree\n"


async def test_log_is_resumed_after_the_connection_broke(tmp_path, gate):
    """A reader that was cut off goes on where it was, by Range or by Last-Event-ID."""
    async with worker(tmp_path) as here:
        run, waiter = here.begin(**shell(f"echo 0123456789; read x < {gate}; echo end"))
        url = await here.address(run)
        async with here.session.get(url) as response:
            async with asyncio.timeout(BOUND):
                await response.content.readexactly(11)
        async with (
            here.session.get(url, headers={"Range": "bytes=4-"}) as text,
            here.session.get(f"{url}events", headers={"Last-Event-ID": "8"}) as events,
        ):
            gate.open()
            rest, told = await text.read(), await events.text()
        await ended(waiter)

    assert rest == b"456789\nend\n"
    assert told == (
        'id: 11\ndata: "89\\n"\n\nid: 15\ndata: "end\\n"\n\nid: end\nevent: end\ndata: {"bytes": 15}\n\n'
    )


class Saboteur(Plugin):
    """Ends a run in its own way: `deed` is called in `started`."""

    after = frozenset({"livelog"})

    def __init__(self, deed):
        self.deed = deed

    async def new_task_plugin(self, options):
        return SaboteurTaskPlugin(self.deed, options.context)


class SaboteurTaskPlugin(TaskPlugin):
    def __init__(self, deed, context):
        self.deed = deed
        self.context = context

    async def started(self, sandbox):
        self.context.log("begun")
        await self.deed(sandbox)


async def succeed(sandbox):
    pass


async def fail(sandbox):
    await sandbox.kill()


async def break_down(sandbox):
    raise NonFatalInternalError("broken")


async def crash(sandbox):
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("deed", "outcome"),
    [
        (succeed, ("completed", None)),
        (fail, ("failed", None)),
        (break_down, ("exception", ExceptionReason.INTERNAL_ERROR)),
        (crash, ("exception", ExceptionReason.INTERNAL_ERROR)),
    ],
)
async def test_redirect_is_swapped_before_the_resolution_is_reported(tmp_path, deed, outcome):
    """However a run ends, its log is stored and led to when whoever waits for the resolution gets it."""
    engine = StubEngine(endless=deed is fail)

    async with worker(tmp_path, Saboteur(deed), SuccessPlugin(), engine=engine) as here:
        run, waiter = here.begin()
        resolution = await ended(waiter)

    stored = {artifact.name: artifact for artifact in run.artifacts}
    assert (resolution.state, resolution.reason) == outcome
    assert here.reported == {LIVE: "link", BACKING: "object"}
    assert stored[LIVE].target == BACKING
    assert (stored[BACKING].content_type, stored[BACKING].content_encoding) == (
        "text/plain; charset=utf-8",
        "gzip",
    )
    assert b"begun" in here.content(run, BACKING)


async def test_malformed_task_has_a_log_to_read(tmp_path):
    """What is wrong with a payload stands in the log, which is where it always is."""
    async with worker(tmp_path, engine=StubEngine()) as here:
        run, waiter = here.begin(unknown=1)
        resolution = await ended(waiter)

    assert resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert here.reported == {LIVE: "link", BACKING: "object"}
    assert b"payload.unknown" in here.content(run, BACKING)


async def test_aborted_run_ends_the_readers_answer(tmp_path):
    """Who follows a run that is cancelled gets all of its log, and the end."""
    async with worker(tmp_path) as here:
        run, waiter = here.begin(**shell("echo begun; exec sleep 1000"))
        async with here.session.get(await here.address(run)) as response:
            async with asyncio.timeout(BOUND):
                await response.content.readexactly(6)
            run.abort()
            rest = await response.read()
        resolution = await ended(waiter)

    assert resolution.reason is ExceptionReason.CANCELED
    assert here.reported == {LIVE: "link", BACKING: "object"}
    assert b"begun\n" + rest == here.content(run, BACKING)


async def test_redirect_leads_to_where_the_store_has_it(tmp_path):
    """A store whose objects have addresses is what the redirect leads to."""
    store = FolderStore(tmp_path / "store")

    async with worker(tmp_path, Saboteur(succeed), engine=StubEngine(), store=store) as here:
        run, waiter = here.begin()
        await ended(waiter)

    stored = {artifact.name: artifact for artifact in run.artifacts}
    assert here.reported == {LIVE: "redirect", BACKING: "object"}
    assert stored[LIVE].url == (tmp_path / "store" / run.info.task_id / "0" / BACKING).as_uri()


class FailingStore(MemoryStore):
    """Refuses the artifacts in `refusals`, each as often as that says."""

    def __init__(self, **refusals):
        super().__init__()
        self.refusals = refusals

    async def put(self, task, artifact, content):
        if self.refusals.get(artifact.storage, 0) > 0:
            self.refusals[artifact.storage] -= 1
            raise NonFatalInternalError("the store is down")
        return await super().put(task, artifact, content)


@pytest.mark.parametrize(
    ("refusals", "reported"),
    [
        ({"object": 1}, {LIVE: "link", BACKING: "object"}),
        ({"link": 1}, {LIVE: "link", BACKING: "object"}),
        ({"object": 2}, {LIVE: "redirect"}),
        ({"redirect": 1}, {}),
    ],
)
async def test_failed_upload_is_an_internal_error_that_everybody_sees(tmp_path, refusals, reported):
    """It stands in the worker's log and in the trace, and what can still be stored is tried once more."""
    async with worker(tmp_path, engine=StubEngine(), store=FailingStore(**refusals)) as here:
        run, waiter = here.begin()
        resolution = await ended(waiter)

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert here.reported == reported
    seen = [str(event.get("message")) for event in run.trace.of(Kind.ERROR)]
    assert seen
    assert all("the store is down" in message for message in seen)
    assert {error for error, _ in here.monitor.errors} == {"NonFatalInternalError"}
    assert here.runtime.non_fatal_errors == len(seen)


async def test_run_that_cannot_lead_anywhere_keeps_no_address(tmp_path):
    """Where the redirect cannot be stored, the hook is detached at once: nobody would dispose it."""
    hooks = RecordingWebHooks()

    async with worker(tmp_path, engine=StubEngine(), store=FailingStore(redirect=1), webhooks=hooks) as here:
        await ended(here.begin()[1])

    assert hooks.attached == {}


async def test_address_is_gone_with_the_run(tmp_path):
    """After dispose nobody answers there."""
    async with worker(tmp_path, engine=StubEngine()) as here:
        run, waiter = here.begin()
        url = await here.address(run)
        await ended(waiter)
        async with here.session.get(url) as response:
            status = response.status

    assert status == 404


async def test_reader_has_a_while_to_take_the_rest(tmp_path):
    """Dispose waits for a reader that still reads, and gets everything."""
    script = "head -c 20000000 /dev/zero"

    async with worker(tmp_path, drain=10) as here:
        run, waiter = here.begin(**shell(script))
        disposing = happening(run, lambda event: event.stage == "dispose")
        async with here.session.get(await here.address(run)) as response:
            await asyncio.wait_for(disposing, BOUND)
            body = await response.read()
        await ended(waiter)

    assert len(body) == 20_000_000


async def test_reader_that_takes_nothing_does_not_keep_a_run(tmp_path):
    """Dispose waits for `drain` seconds, then the connection is cut: what came must not pass for everything."""
    async with worker(tmp_path, strict=False, drain=0.2) as here:
        run, waiter = here.begin(**shell("head -c 20000000 /dev/zero"))
        async with here.session.get(await here.address(run)) as response:
            resolution = await ended(waiter)
            with pytest.raises(ClientError):
                await response.read()

    assert resolution.success


async def test_slow_readers_cost_no_memory_and_never_slow_the_task(tmp_path, gate):
    """A task writes its megabytes and ends although fifty readers have taken nothing of them."""
    readers, size = 50, 20_000_000

    async with worker(tmp_path, strict=False, drain=0) as here:
        run, waiter = here.begin(**shell(f"read x < {gate}; head -c {size} /dev/zero"))
        url = URL(await here.address(run))
        stuck = [socket.create_connection((url.host, url.port)) for _ in range(readers)]
        for one in stuck:
            one.sendall(f"GET {url.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        tracemalloc.start(1)
        gate.open()
        resolution = await ended(waiter)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for one in stuck:
            one.close()

    assert resolution.success
    assert here.content(run, BACKING) == bytes(size)
    assert peak < 3_000_000 + 40_000 * readers, "what packs the log, and a connection for each reader"


@pytest.mark.parametrize("readers", [100 * SCALE, pytest.param(1000, marks=pytest.mark.soak)])
async def test_many_readers_of_one_log(tmp_path, gate, readers):
    """However many follow a log, each gets every line, and the task is not held up."""
    _allow_files(3 * readers + 200)
    script = f"echo begin; read x < {gate}; for i in 1 2 3 4 5 6 7 8 9; do echo $i; done"

    async with worker(tmp_path, strict=False, drain=BOUND) as here:
        run, waiter = here.begin(**shell(script))
        url = await here.address(run)

        async def follow():
            async with here.session.get(url) as response:
                begin = await response.content.readexactly(6)
                there.append(begin)
                if len(there) == readers:
                    gate.open()
                return begin + await response.read()

        there: list[bytes] = []
        async with asyncio.timeout(2 * BOUND):
            texts = await asyncio.gather(*(follow() for _ in range(readers)))
        resolution = await ended(waiter)

    assert resolution.success
    assert set(texts) == {b"begin\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"}


def _allow_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, count), hard), hard))


@pytest.mark.parametrize("runs", [500 * SCALE, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_runs_in_flight_open_no_file_until_they_log(tmp_path, runs):
    """Thousands of runs wait without a file or folder each, also when somebody reads the log of one."""
    task = {"function": "true", "delay": 300_000}

    async with worker(tmp_path, engine="mock") as here:
        before = len(os.listdir("/proc/self/fd")), set(tmp_path.iterdir())
        begun = [here.begin(**task) for _ in range(runs)]
        waiting = [happening(run, lambda event: event.stage == "waiting") for run, _ in begun]
        async with asyncio.timeout(2 * BOUND):
            await asyncio.gather(*waiting)
        files = len(os.listdir("/proc/self/fd")), set(tmp_path.iterdir())
        async with here.session.get(await here.address(begun[0][0])) as response:
            watched = len(os.listdir("/proc/self/fd"))
            for run, _ in begun:
                run.abort()
            async with asyncio.timeout(4 * BOUND):
                await asyncio.gather(*(waiter for _, waiter in begun))
            assert await response.read() == b""

    assert files == before
    assert watched == before[0] + 2, "the two ends of the connection"


async def test_nothing_can_be_served_without_web_hooks():
    """The operator is told where to get them."""
    async with LocalEnvironment() as environment:
        options = PluginOptions(environment, StubEngine(), environment.monitor)

        with pytest.raises(
            ConfigurationError, match=r"worker\.webhooks.*--serve.*LocalEnvironment\(webhooks="
        ):
            provider.new_plugin(options)


async def test_missing_library_is_named(monkeypatch):
    """Without the extra that brings aiohttp, the error names the extra."""
    monkeypatch.delitem(__import__("sys").modules, "stagecall.plugins.livelog.serving", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'stagecall\[worker\]'"):
        async with LocalEnvironment(webhooks=RecordingWebHooks()) as environment:
            provider.new_plugin(PluginOptions(environment, StubEngine(), environment.monitor))


async def test_secret_reaches_no_reader(tmp_path, gate):
    """What is masked is masked for those who follow a task as well, also where it comes in two pieces."""
    secret = Secret("correct horse battery")

    async with worker(tmp_path, secret) as here:
        run, waiter = here.begin(**shell(f"printf 'it is correct ho'; read x < {gate}; echo 'rse battery!'"))
        url = await here.address(run)
        async with here.session.get(url) as text, here.session.get(f"{url}events") as events:
            async with asyncio.timeout(BOUND):
                begin = await text.content.readexactly(6)
            gate.open()
            rest, told = await text.read(), await events.text()
        await ended(waiter)

    assert begin + rest == b"it is [masked]!\n" == here.content(run, BACKING)
    assert "correct" not in told
    assert "battery" not in told


class Secret(Plugin):
    """Has something masked that nobody must see."""

    def __init__(self, secret):
        self.secret = secret

    async def new_task_plugin(self, options):
        options.context.mask(self.secret)


async def test_curl_follows_a_task(tmp_path, need, gate):
    """A common program shows a log until the task has ended, and ends then itself."""
    curl = need("curl")

    async with worker(tmp_path) as here:
        run, waiter = here.begin(**shell(f"echo one; read x < {gate}; echo two"))
        command = [curl, "-sSN", await here.address(run)]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(BOUND):
            first = await process.stdout.readline()
            gate.open()
            rest = await process.stdout.read()
            code = await process.wait()
        await ended(waiter)

    assert (first, rest, code) == (b"one\n", b"two\n", 0)
