"""Abort and cancellation, whenever they come: dispose runs, nothing stays behind, every wait is bounded."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.errors import ExceptionReason, MalformedPayloadError
from stagecall.lifecycle.limits import Limits
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import (
    Bench,
    HookRecorder,
    ScriptedEngine,
    ScriptedPlugin,
    hooks,
    outcomes,
    path,
)
from stagecall.testing.sweep import Interruption, sweep
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.task_run import TaskRun

SHUTDOWN, CANCELED = ExceptionReason.WORKER_SHUTDOWN, ExceptionReason.CANCELED


async def block(*arguments: Any) -> Any:
    """Wait for what never comes, until cancelled."""
    await asyncio.Event().wait()


async def malformed(*arguments: Any) -> Any:
    raise MalformedPayloadError("m")


@attrs.define(eq=False)
class Stubborn:
    """A call that does not end when it is cancelled, only when it is released."""

    released: asyncio.Event = attrs.field(factory=asyncio.Event)
    cancellations: int = 0

    async def __call__(self) -> Any:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancellations += 1

    def hook(self) -> Callable[..., Awaitable[Any]]:
        """Return the call as a hook."""

        async def stubborn(*arguments: Any) -> Any:
            return await self()

        return stubborn


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds, which it must within ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def assert_alone() -> None:
    """Assert that no task is left but the test's own."""
    assert asyncio.all_tasks() == {asyncio.current_task()}


BLOCKING = {
    "creation": "prepare",
    "new_sandbox_builder": "prepare",
    "build_sandbox": "build",
    "start_sandbox": "start",
    "started": "started",
    "wait_for_result": "waiting",
    "stopped": "stopped",
    "finished": "finished",
    "exception": "exception",
    "report": "resolved",
    "dispose": "dispose",
    "dispose_result_set": "dispose",
    "dispose_sandbox": "dispose",
}
"""Every place where a run can wait, and its stage."""

ENGINE_PLACES = {
    "new_sandbox_builder",
    "start_sandbox",
    "wait_for_result",
    "dispose_result_set",
    "dispose_sandbox",
}


def run_that_blocks(bench: Bench, where: str) -> tuple[TaskRun, HookRecorder, ScriptedEngine]:
    """Return a run that blocks at one place, its recorder and its engine."""
    recorder, engine = HookRecorder(), ScriptedEngine()
    of_plugin: dict[str, Any] = {}
    if where in ENGINE_PLACES:
        engine.deeds[where] = block
    elif where != "report":
        of_plugin["new_task_plugin" if where == "creation" else where] = block
    if where == "exception":
        of_plugin["started"] = malformed
    report: dict[str, Any] = {"report": block} if where == "report" else {}
    return bench(recorder, ScriptedPlugin("blocker", **of_plugin), engine=engine, **report), recorder, engine


def assert_shut_down(where: str, run: TaskRun, recorder: HookRecorder, engine: ScriptedEngine) -> None:
    """Assert what a cancelled run became, and that all was disposed, once."""
    stage = BLOCKING[where]
    assert run.resolution is not None
    if stage in ("resolved", "dispose"):
        assert run.resolution.state == "completed"
    else:
        expected = ExceptionReason.MALFORMED_PAYLOAD if stage == "exception" else SHUTDOWN
        assert (run.resolution.state, run.resolution.reason) == ("exception", expected)
        assert recorder.calls[-2:] == [("exception", expected.value), ("dispose",)]
        assert path(run.trace)[-3:] == ["exception", "resolved", "dispose"]
    assert recorder.calls.count(("dispose",)) == 1
    assert (run.stage, run.trace[-1].kind) == ("dispose", Kind.END)
    sandboxes = len(engine.sandboxes) if where != "start_sandbox" else 0
    assert engine.asked.count("dispose_sandbox") == sandboxes
    builders = "start_sandbox" in engine.asked or where in ("creation", "build_sandbox")
    assert engine.asked.count("discard_builder") == int(builders and not sandboxes)


@pytest.mark.parametrize("where", BLOCKING)
@virtual_time
async def test_embedding_task_is_cancelled(make_run, where):
    """Wherever cancelling the embedding task finds the run, it is disposed, and only then is it raised."""
    run, recorder, engine = run_that_blocks(make_run, where)
    embedder = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    stage = run.stage

    embedder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedder

    assert stage == BLOCKING[where]
    assert_shut_down(where, run, recorder, engine)
    if stage not in ("exception", "resolved", "dispose"):
        assert run.stop_worker is True
    assert_alone()


@pytest.mark.parametrize("where", BLOCKING)
@virtual_time
async def test_repeated_cancellations_are_absorbed(make_run, where):
    """However often the embedding task is cancelled, the run goes its way to the end of dispose."""
    run, recorder, engine = run_that_blocks(make_run, where)
    embedder = asyncio.create_task(run.wait())
    await asyncio.sleep(1)

    cancellations = 0
    while not embedder.done():
        cancellations += embedder.cancel()
        await asyncio.sleep(0.3)

    assert embedder.cancelled()
    assert cancellations > 1 or where == "wait_for_result"
    assert_shut_down(where, run, recorder, engine)
    assert_alone()


@pytest.mark.parametrize("where", BLOCKING)
@virtual_time
async def test_all_tasks_of_the_loop_are_cancelled(make_run, where):
    """A program that cancels every task of its loop, the run's own too, finds all disposed."""
    run, recorder, engine = run_that_blocks(make_run, where)
    embedder = asyncio.create_task(run.wait())
    await asyncio.sleep(1)

    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedder

    assert_shut_down(where, run, recorder, engine)
    assert_alone()


def test_run_whose_loop_is_closed_ends_in_silence(make_run, monkeypatch):
    """A program that closes its loop over a run, although somebody has joined it, hears no more of it."""
    problems: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", problems.append)
    make_run.broken_on_purpose = True
    run = make_run(engine=ScriptedEngine(holds=True))
    loop = asyncio.new_event_loop()
    waiters = [loop.create_task(run.wait()) for _ in range(2)]
    loop.run_until_complete(asyncio.sleep(0.01))
    before = run.stage

    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # as a program that ends in a hurry
    loop.close()
    make_run.runs.clear()
    del run, waiters, task
    gc.collect()

    assert before == "waiting"
    assert problems == []


@pytest.mark.parametrize("turns", range(1, 30))
@virtual_time
async def test_all_tasks_are_cancelled_at_any_turn(make_run, turns):
    """Not even a call that is cancelled before its first step is left out: all that was made is disposed."""
    recorder, engine = HookRecorder(), ScriptedEngine()
    plugin = ScriptedPlugin("plugin")
    run = make_run(recorder, plugin, engine=engine)
    embedder = asyncio.create_task(run.wait())
    for _ in range(turns):
        await asyncio.sleep(0)

    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([embedder])

    assert (run.stage, run.trace[-1].kind) == ("dispose", Kind.END)
    assert len(plugin.options) == 1
    assert recorder.calls.count(("dispose",)) == 1
    assert engine.asked.count("dispose_sandbox") == len(engine.sandboxes)
    assert_alone()


@pytest.mark.parametrize("interruption", [Interruption.CANCEL, Interruption.CANCEL_ALL])
@virtual_time
async def test_folder_goes_whichever_task_is_cancelled(tmp_path, interruption):
    """Wherever strangers cancel one task of a run or all, the removal of its folder included, no folder stays."""

    async def scenario():
        async def started(sandbox: object) -> None:
            for number in range(100):  # not gone before a thread is told to stop
                (plugin.context.temporary_folder / str(number)).touch()

        plugin = ScriptedPlugin("plugin", started=started)
        with Bench(tmp_path) as bench:
            return await bench(plugin).wait()

    report = await sweep(scenario, interruption=interruption, every_task=True, roots=[tmp_path])

    stages = {outcome.point.stage for outcome in report.outcomes}
    removals = [outcome for outcome in report.outcomes if "remove_folder" in outcome.point.where]
    assert stages >= {"prepare", "started", "dispose"}
    assert len(removals) >= 2


@virtual_time
async def test_cancelled_before_it_began(make_run):
    """A task that is cancelled before it ever waited has no run to dispose."""
    engine = ScriptedEngine()
    run = make_run(engine=engine)
    embedder = asyncio.create_task(run.wait())

    embedder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedder

    assert (engine.asked, list(run.trace), run.stage) == ([], [], "pending")
    assert_alone()


@virtual_time
async def test_cancelled_during_dispose(make_run):
    """A cancellation that arrives in dispose waits until dispose is over; the outcome is as it was."""
    done = []

    async def dispose() -> None:
        await asyncio.sleep(3)
        done.append(asyncio.get_running_loop().time())

    run = make_run(ScriptedPlugin("slow", dispose=dispose))
    embedder = asyncio.create_task(run.wait())
    await asyncio.sleep(1)

    embedder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedder

    assert done == [3]
    assert outcomes(run.trace, "dispose") == {"slow": "ok"}
    assert (run.resolution.state, run.stop_worker) == ("completed", False)
    assert_alone()


@virtual_time
async def test_second_waiter_joins(make_run):
    """All who wait get the one resolution, before and after the end."""
    engine = ScriptedEngine(holds=True)
    run = make_run(engine=engine)
    waiters = [asyncio.create_task(run.wait()) for _ in range(3)]
    await asyncio.sleep(1)

    engine.sandboxes[0].finish()
    resolutions = [*await asyncio.gather(*waiters), await run.wait()]

    assert [one is run.resolution for one in resolutions] == [True] * 4
    assert run.resolution.state == "completed"
    assert engine.asked.count("start_sandbox") == 1
    assert_alone()


@virtual_time
async def test_cancelled_second_waiter_changes_nothing(make_run):
    """A later waiter that is cancelled only stops waiting; the run goes on."""
    engine = ScriptedEngine(holds=True)
    run = make_run(engine=engine)
    owner = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    second = asyncio.create_task(run.wait())
    await asyncio.sleep(1)

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    stage = run.stage
    engine.sandboxes[0].finish()
    resolution = await owner

    assert (stage, resolution.state) == ("waiting", "completed")
    assert run.trace.of(Kind.ABORT) == []
    assert_alone()


async def test_abort_from_another_thread(make_run):
    """Any thread may abort: what waits is woken, and the answer tells who decided."""
    engine = ScriptedEngine(holds=True)
    run = make_run(engine=engine)
    waiter = asyncio.create_task(run.wait())
    await until(lambda: run.stage == "waiting")
    answers = []

    thread = threading.Thread(target=lambda: answers.extend([run.abort(CANCELED), run.abort(SHUTDOWN)]))
    thread.start()
    thread.join(10)
    async with asyncio.timeout(10):
        resolution = await waiter

    assert answers == [True, False]
    assert (resolution.reason, run.stop_worker) == (CANCELED, False)
    told = [(event.get("reason"), event.get("accepted")) for event in run.trace.of(Kind.ABORT)]
    assert told == [("canceled", True), ("worker-shutdown", False)]
    assert_alone()


@virtual_time
async def test_abort_from_a_def_hook(make_run):
    """A plain `def` hook aborts from its thread; another one that waits for the cancellation is woken."""
    woken = []

    def aborting(sandbox: object) -> None:
        run.abort(CANCELED)

    def waiting(sandbox: object) -> None:
        woken.append(waiter.context.cancelled.wait(10))

    waiter = ScriptedPlugin("waiter", started=waiting)
    recorder = HookRecorder()
    run = make_run(recorder, waiter, ScriptedPlugin("aborter", started=aborting))

    resolution = await run.wait()

    assert (resolution.reason, woken) == (CANCELED, [True])
    assert recorder.calls[-2:] == [("exception", "canceled"), ("dispose",)]
    assert set(outcomes(run.trace, "started").values()) == {"ok"}
    assert_alone()


@virtual_time
async def test_abort_before_wait(make_run):
    """A run aborted before it began acquires nothing, and still goes through exception to dispose."""
    engine, recorder = ScriptedEngine(), HookRecorder()
    run = make_run(recorder, engine=engine)

    accepted = run.abort(CANCELED)
    resolution = await run.wait()

    assert (accepted, resolution.reason) == (True, CANCELED)
    assert path(run.trace) == ["exception", "resolved", "dispose"]
    assert (engine.asked, recorder.calls) == ([], [])


@virtual_time
async def test_first_reason_wins(make_run):
    """Of several aborts the first decides, also for the worker; the others are told that they came late."""
    run = make_run(engine=ScriptedEngine(holds=True))
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)

    answers = [run.abort("superseded"), run.abort(SHUTDOWN), run.abort(CANCELED)]
    resolution = await waiter

    assert answers == [True, False, False]
    assert (resolution.reason, run.stop_worker) == (ExceptionReason.SUPERSEDED, False)


def test_abort_with_unknown_reason(make_run):
    """An unknown reason is refused before it does anything."""
    run = make_run()

    with pytest.raises(ValueError, match="bored"):
        run.abort("bored")

    assert run.aborted is None


@virtual_time
async def test_block_is_left_early(make_run):
    """Leaving `async with run` before the end aborts with worker-shutdown, and waits for dispose."""
    engine, recorder = ScriptedEngine(holds=True), HookRecorder()
    run = make_run(recorder, engine=engine)

    async with run:
        waiter = asyncio.create_task(run.wait())
        await asyncio.sleep(1)

    assert run.trace[-1].kind is Kind.END
    assert (run.resolution.reason, run.stop_worker) == (SHUTDOWN, True)
    assert recorder.calls[-1] == ("dispose",)
    assert await waiter is run.resolution
    assert_alone()


@virtual_time
async def test_block_is_left_with_an_error(make_run):
    """An error inside `async with run` comes out as it was, after dispose."""
    run = make_run(engine=ScriptedEngine(holds=True))

    async def embed() -> None:
        async with run:
            asyncio.create_task(run.wait())  # noqa: RUF006 (it is over when the block is)
            await asyncio.sleep(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await embed()

    assert (run.stage, run.resolution.reason) == ("dispose", SHUTDOWN)
    assert_alone()


@virtual_time
async def test_never_entered_run_acquired_nothing(make_run):
    """A run that nobody waited for has asked nobody for anything."""
    engine, plugin = ScriptedEngine(), ScriptedPlugin("plugin")
    run = make_run(plugin, engine=engine)

    async with run:
        pass

    assert (engine.asked, plugin.options, list(run.trace)) == ([], [], [])
    assert_alone()


async def abort_in_started(bench: Bench, hook: Callable[..., Any]) -> tuple[TaskRun, HookRecorder, float]:
    """Abort a run one second into a hook `started`; return it, the hooks called, and when it was over."""
    recorder = HookRecorder()

    def told(name: str) -> Callable[..., Any]:
        async def tell(*arguments: Any) -> None:
            recorder.calls.append(("plugin", name))

        return tell

    plugin = ScriptedPlugin("slow", started=hook, exception=told("exception"), dispose=told("dispose"))
    run = bench(plugin, engine=ScriptedEngine())
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    run.abort(CANCELED)
    await waiter
    return run, recorder, asyncio.get_running_loop().time()


@virtual_time
async def test_hook_returns_within_the_grace(make_run):
    """After an abort a hook has `cancel_grace` to return by itself."""

    async def started(sandbox: object) -> None:
        await asyncio.sleep(5.5)

    run, recorder, time = await abort_in_started(make_run, started)

    assert time == 5.5
    assert outcomes(run.trace, "started") == {"slow": "ok"}
    assert recorder.calls == [("plugin", "exception"), ("plugin", "dispose")]


@virtual_time
async def test_hook_is_cancelled_after_the_grace(make_run):
    """A hook that overruns `cancel_grace` is cancelled, and still gets exception and dispose."""
    run, recorder, time = await abort_in_started(make_run, block)

    assert time == 1 + 5
    assert outcomes(run.trace, "started") == {"slow": "cancelled"}
    assert recorder.calls == [("plugin", "exception"), ("plugin", "dispose")]
    assert make_run.monitor.errors == []
    assert run.stop_worker is False


@virtual_time
async def test_hook_is_abandoned(make_run):
    """A hook that outlives its cancellation by `abandon_grace` is named and gets only dispose."""
    stubborn = Stubborn()

    run, recorder, time = await abort_in_started(make_run, stubborn.hook())

    assert time == 1 + 5 + 1
    assert outcomes(run.trace, "started") == {"slow": "abandoned"}
    assert recorder.calls == [("plugin", "dispose")]
    assert make_run.monitor.errors == [("HookTimeoutError", "started of plugin slow")]
    assert (run.reason, stubborn.cancellations) == (CANCELED, 1)
    assert_alone()
    stubborn.released.set()
    await until(lambda: run.trace.of(Kind.LATE))
    assert [(event.plugin, event.call) for event in run.trace.of(Kind.LATE)] == [("slow", "started")]


@virtual_time
async def test_overrun_hook_that_is_stubborn(make_run):
    """A hook that overruns `hook_timeout` and cannot be cancelled is a defect; the run goes on without it."""
    stubborn = Stubborn()
    run = make_run(
        ScriptedPlugin("slow", started=stubborn.hook()), limits=Limits(hook_timeout=7, abandon_grace=2)
    )

    resolution = await run.wait()

    assert asyncio.get_running_loop().time() == 9
    assert (resolution.reason, run.stop_worker) == (ExceptionReason.INTERNAL_ERROR, True)
    assert outcomes(run.trace, "started") == {"slow": "abandoned"}
    stubborn.released.set()
    await until(lambda: run.trace.of(Kind.LATE))


@virtual_time
async def test_dispose_budget(make_run):
    """A step of dispose has `dispose_budget`; the steps after it are taken all the same."""
    engine = ScriptedEngine(deeds={"dispose_result_set": block})
    recorder = HookRecorder()
    run = make_run(recorder, ScriptedPlugin("slow", dispose=block), engine=engine)

    resolution = await run.wait()

    assert asyncio.get_running_loop().time() == 20 + 20
    assert resolution.state == "completed"
    assert [name for name in hooks(run.trace) if "dispose" in name[1]] == [
        ("slow", "dispose", "timeout"),
        ("hookrecorder", "dispose", "ok"),
        ("-", "dispose:result_set", "timeout"),
        ("-", "dispose:sandbox", "ok"),
    ]
    assert run.stop_worker is True
    assert_alone()


@virtual_time
async def test_dispose_total(make_run):
    """All steps of dispose together have `dispose_total`; later ones begin, with no time to wait."""
    engine = ScriptedEngine()
    recorder = HookRecorder()
    slow = [ScriptedPlugin(f"slow{n}", dispose=block) for n in range(4)]
    run = make_run(recorder, *slow, engine=engine)

    await run.wait()

    assert asyncio.get_running_loop().time() == 50
    assert outcomes(run.trace, "dispose") == {f"slow{n}": "timeout" for n in range(4)} | {
        "hookrecorder": "ok"
    }
    assert recorder.calls[-1] == ("dispose",)
    assert engine.asked[-2:] == ["dispose_result_set", "dispose_sandbox"]


LATE = {
    "new_sandbox_builder": ["discard_builder"],
    "start_sandbox": ["abort_sandbox", "dispose_sandbox"],
    "wait_for_result": ["dispose_result_set"],
}
"""What an engine is asked to do with what it returned too late."""


@pytest.mark.parametrize(("call", "expected"), LATE.items())
@virtual_time
async def test_what_the_engine_returns_late_is_disposed(make_run, call, expected):
    """A builder, sandbox or result set that an abandoned call returns after all is disposed then."""
    stubborn = Stubborn()
    engine = ScriptedEngine(deeds={call: stubborn})
    run = make_run(engine=engine)
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    run.abort(CANCELED)
    await waiter
    before = len(engine.asked)

    stubborn.released.set()
    if call == "wait_for_result":  # else an aborted sandbox has no result
        engine.sandboxes[0].aborted = False
    await until(lambda: run.trace.of(Kind.LATE))

    assert outcomes(run.trace, call) == {"-": "abandoned"}
    assert engine.asked[before:] == expected
    assert [(event.call, event.get("disposed")) for event in run.trace.of(Kind.LATE)] == [(call, "ok")]
    assert_alone()


@virtual_time
async def test_task_plugin_that_comes_late_is_disposed(make_run):
    """A task plugin whose creation was abandoned gets dispose and nothing else, when it comes after all."""
    stubborn = Stubborn()
    calls = []

    async def dispose() -> None:
        calls.append("dispose")

    async def exception(reason: ExceptionReason) -> None:
        calls.append("exception")

    async def create(options: object) -> None:
        await stubborn()

    run = make_run(ScriptedPlugin("late", new_task_plugin=create, dispose=dispose, exception=exception))
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    run.abort(CANCELED)
    await waiter
    before = list(calls)

    stubborn.released.set()
    await until(lambda: run.trace.of(Kind.LATE))

    assert (before, calls) == ([], ["dispose"])
    assert [event.get("disposed") for event in run.trace.of(Kind.LATE)] == ["ok"]
    assert_alone()


HANGING_PROGRAM = """
    import threading

    from stagecall import run_task_sync
    from stagecall.lifecycle.limits import Limits
    from stagecall.plugins import Plugin, TaskPlugin


    class Hanging(TaskPlugin):
        def started(self, sandbox):
            threading.Event().wait()

        def dispose(self):
            threading.Event().wait()


    class HangingPlugin(Plugin):
        def new_task_plugin(self, options):
            return Hanging()


    limits = Limits(hook_timeout=0.1, abandon_grace=0.1, dispose_budget=0.1)
    task = {"payload": {"function": "true"}}
    resolution = run_task_sync(task, engine="mock", plugins=[HangingPlugin()], limits=limits)
    print(resolution.state, resolution.reason)
"""


def test_hanging_thread_does_not_hold_up_the_exit(tmp_path):
    """A program whose `def` hook hangs for ever ends by itself all the same."""
    program = textwrap.dedent(HANGING_PROGRAM)

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (ended.stdout.strip(), ended.returncode) == ("exception internal-error", 0), ended.stderr
