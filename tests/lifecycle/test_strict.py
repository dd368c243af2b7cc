"""Strict mode: a run that leaves something behind ends in an error that names it; a clean one does not."""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.errors import LeakError
from stagecall.lifecycle.leaks import LeakKind
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.strict import FLIGHT
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import ScriptedEngine, ScriptedPlugin
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import DEFAULT_PLUGINS, Runtime

pytestmark = pytest.mark.usefixtures("briefly")


@pytest.fixture
def briefly(monkeypatch):
    """Let leaks that are planted be found soon."""
    from stagecall.lifecycle import strict
    from stagecall.lifecycle.leaks.snapshot import settled

    monkeypatch.setattr(strict, "settled", lambda find: settled(find, 0.3))


@attrs.define(eq=False)
class Planter:
    """Leaves things behind from a hook, and takes them up again at the end."""

    context: Any = None
    undo: list[Callable[[], Any]] = attrs.field(factory=list)

    def process(self) -> str:
        process = subprocess.Popen(["sleep", "1005"])
        self.undo += [process.kill, process.wait]
        return f"process {process.pid} is running: sleep 1005"

    def descriptor(self) -> str:
        number = os.open(os.devnull, os.O_RDONLY)
        self.undo.append(lambda: os.close(number))
        return f"descriptor {number} open on /dev/null"

    def descriptor_in_the_folder(self) -> str:
        folder = self.context.temporary_folder.resolve()
        number = os.open(folder / "left", os.O_CREAT)
        self.undo.append(lambda: os.close(number))
        return f"descriptor {number} open on {folder}/left (deleted)"

    def socket(self) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        self.undo.append(server.close)
        return f"socket {server.fileno()} (inet stream) listening on 127.0.0.1:{server.getsockname()[1]}"

    def thread(self) -> str:
        go_on = threading.Event()
        thread = threading.Thread(target=go_on.wait, name="lost")
        thread.start()
        self.undo += [go_on.set, thread.join]
        return "thread lost is running, now at "

    def task(self) -> str:
        task = asyncio.create_task(asyncio.sleep(1000), name="lost")
        self.undo.append(task.cancel)
        return "task lost (sleep), waiting at "


PLANTS = [name for name in vars(Planter) if not name.startswith("_") and name not in ("context", "undo")]


@pytest.fixture
def planter():
    made = Planter()
    yield made
    for undo in made.undo:
        undo()


def planting(planter: Planter, plant: str, told: list[str]) -> ScriptedPlugin:
    """Return a plugin that leaves something behind in `started`."""

    async def started(sandbox: object) -> None:
        planter.context = plugin.context
        told.append(getattr(planter, plant)())

    plugin = ScriptedPlugin("leaky", started=started)
    return plugin


@pytest.mark.parametrize("plant", PLANTS)
async def test_leak_of_a_run(make_run, planter, plant):
    """Whatever a plugin leaves behind, the waiter learns what it is, when the run is disposed; a second one too."""
    told: list[str] = []
    run = make_run(planting(planter, plant, told), strict=True)

    with pytest.raises(LeakError) as raised:
        await run.wait()
    with pytest.raises(LeakError):
        await run.wait()

    assert len(raised.value.leaks) == 1
    assert str(raised.value.leaks[0]).startswith(told[0])
    assert str(raised.value).startswith("left behind by the run")
    assert (run.stage, run.resolution.state) == ("dispose", "completed")


@pytest.mark.parametrize("plant", PLANTS)
async def test_run_that_is_not_strict_tells_nothing(make_run, planter, plant):
    """Who does not ask pays nothing and hears nothing."""
    run = make_run(planting(planter, plant, []))

    assert (await run.wait()).state == "completed"


async def test_folder_that_stays(make_run, planter, monkeypatch):
    """A temporary folder that dispose did not remove is a leak."""

    async def remove_nothing(folder: Path) -> None:
        pass

    monkeypatch.setattr("stagecall.worker.run_folder.remove_folder", remove_nothing)
    make_run.broken_on_purpose = True
    told: list[str] = []
    run = make_run(planting(planter, "descriptor_in_the_folder", told), strict=True)

    with pytest.raises(LeakError) as raised:
        await run.wait()

    folder = next(make_run.folder.iterdir()).resolve()
    assert [str(leak) for leak in raised.value.leaks] == [
        f"file {folder}/",
        told[0].removesuffix(" (deleted)"),
    ]


async def test_abandoned_hook(make_run):
    """A hook that was abandoned is left behind until it comes back: its task and its thread."""
    release = threading.Event()
    limits = Limits(hook_timeout=0.05, abandon_grace=0.05)
    run = make_run(ScriptedPlugin("hung", started=lambda _: release.wait(30)), limits=limits, strict=True)

    with pytest.raises(LeakError) as raised:
        await run.wait()
    release.set()

    assert {leak.kind for leak in raised.value.leaks} == {LeakKind.TASK, LeakKind.THREAD}
    assert "stagecall is busy" in str(raised.value)


async def test_runs_side_by_side(make_run, planter):
    """A run is not accused of what another that is still under way holds; what is its own it answers for."""
    told: list[str] = []
    holding = ScriptedEngine(holds=True)
    leaky = planting(planter, "process", told)
    runtime = make_run.runtime(leaky, engine=holding, strict=True)
    slow, quick = runtime.new_run({"payload": {}}), make_run(strict=True)
    lost = make_run(planting(planter, "task", told), strict=True)
    waiting = asyncio.Event()
    slow.observe(lambda event: waiting.set() if event.stage == "waiting" else None)
    slow_ends = asyncio.create_task(slow.wait())
    await waiting.wait()

    quick_ended = await quick.wait()
    with pytest.raises(LeakError) as lost_task:
        await lost.wait()
    holding.sandboxes[0].finish()
    with pytest.raises(LeakError) as process:
        await slow_ends

    assert quick_ended.state == "completed"
    assert [leak.kind for leak in lost_task.value.leaks] == [LeakKind.TASK]
    assert [str(leak) for leak in process.value.leaks] == [told[0]]


async def test_factory_of_tasks(make_run):
    """A loop's own factory of tasks goes on making them, and is the loop's alone again after the run."""
    loop, made = asyncio.get_running_loop(), []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(asyncio.Task(coro, loop=loop, **options))
        return made[-1]

    loop.set_task_factory(factory)

    await asyncio.gather(make_run(strict=True).wait(), make_run(strict=True).wait())
    after = loop.get_task_factory()
    loop.set_task_factory(None)

    assert after is factory
    assert "start_sandbox" in {task.get_name() for task in made}


async def test_error_of_the_run_comes_out(make_run, planter):
    """Where the run raises something itself, what is left behind is a note on it."""

    class Foreign(BaseException):
        pass

    async def started(sandbox: object) -> None:
        planter.descriptor()
        raise Foreign

    run = make_run(ScriptedPlugin("bad", started=started), strict=True)

    with pytest.raises(Foreign) as raised:
        await run.wait()

    assert "open on /dev/null" in raised.value.__notes__[0]


async def test_cancelled_while_it_is_audited(make_run, planter):
    """A cancellation that comes during the audit is raised as it is; a second waiter gets the resolution."""
    run = make_run(planting(planter, "task", []), strict=True)
    ended = asyncio.Event()
    run.observe(lambda event: ended.set() if event.kind is Kind.END else None)
    waiter = asyncio.create_task(run.wait())
    await ended.wait()

    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert (await run.wait()).state == "completed"


@pytest.mark.parametrize("strict", [True, False])
def test_run_whose_loop_is_gone(make_run, strict):
    """A run that is let go of in the middle, as its loop was closed, is not under way any more."""
    before = FLIGHT.under_way
    make_run.broken_on_purpose = True

    async def begin() -> None:
        run = make_run(ScriptedPlugin("slow", started=lambda _: asyncio.sleep(1000)), strict=strict)
        waiting = run.wait()
        waiting.send(None)
        under_way.append(FLIGHT.under_way)
        waiting.close()

    under_way: list[int] = []

    asyncio.run(begin())

    assert (under_way, FLIGHT.under_way) == ([before + 1], before)


@pytest.mark.parametrize(
    ("engine", "payload"),
    [
        ("mock", {"function": "true"}),
        ("mock", {"function": "false"}),
        ("process", {"command": ["sh", "-c", "echo hello; sleep 0.05"], "env": {"A": "b"}}),
        ("process", {"command": ["sh", "-c", "sleep 1000 & exit 1"]}),
        ("process", {"command": ["/no/such/program"]}),
    ],
)
async def test_clean_runs(tmp_path, engine, payload):
    """The engines and plugins that ship leave nothing behind, one after another and side by side."""
    async with (
        LocalEnvironment(root=tmp_path) as environment,
        await Runtime.create(engine, DEFAULT_PLUGINS, environment=environment, strict=True) as runtime,
    ):
        alone = await runtime.new_run({"payload": payload}).wait()
        beside = await asyncio.gather(*(runtime.new_run({"payload": payload}).wait() for _ in range(3)))

    assert {one.state for one in beside} == {alone.state}


async def test_clean_run_with_a_journal(tmp_path):
    """What the journal holds is the worker's, not the run's."""
    async with (
        LocalEnvironment(root=tmp_path) as environment,
        await Runtime.create(
            "process", DEFAULT_PLUGINS, environment=environment, journal=tmp_path / "journal.db", strict=True
        ) as runtime,
    ):
        runs = [runtime.new_run({"payload": {"command": ["true"]}}) for _ in range(3)]

        resolutions = await asyncio.gather(*(run.wait() for run in runs))

    assert [one.state for one in resolutions] == ["completed"] * 3


async def test_clean_abort(tmp_path):
    """So do runs that are aborted in the middle."""
    async with (
        LocalEnvironment(root=tmp_path) as environment,
        await Runtime.create("process", DEFAULT_PLUGINS, environment=environment, strict=True) as runtime,
    ):
        run = runtime.new_run({"payload": {"command": ["sh", "-c", "sleep 1000 & sleep 1000"]}})
        entered = asyncio.Event()
        run.observe(lambda event: entered.set() if event.stage == "waiting" else None)
        waiter = asyncio.create_task(run.wait())
        await entered.wait()
        run.abort()

        assert (await waiter).reason == "canceled"
