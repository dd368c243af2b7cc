"""Plain `def` hooks run in threads of the library's own, which can hang and hold up nobody."""

import asyncio
import inspect
import subprocess
import sys
import threading
from typing import Any

import pytest

from stagecall.lifecycle import calls
from stagecall.lifecycle.context import run_on_loop
from stagecall.lifecycle.errors import ExceptionReason, LifecycleError
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.threads import ThreadPool
from stagecall.plugins.base import Plugin, TaskPlugin
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import ScriptedPlugin, errors, outcomes
from stagecall.testing.virtual_time import hang, sleep_for_thread, virtual_time

BOUND = 30.0
"""Real seconds after which a test gives up."""


@pytest.fixture
def release():
    """What hanging threads wait for; they are let go at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@virtual_time
async def test_def_hook_runs_in_a_thread_and_async_on_the_loop(make_run):
    """Only a plain `def` leaves the loop's thread."""
    seen: dict[str, Any] = {}
    run = make_run(
        ScriptedPlugin("plain", started=lambda sandbox: seen.update(plain=threading.current_thread())),
        ScriptedPlugin("coroutine", started=_note(seen)),
    )

    await run.wait()

    assert seen["coroutine"] is threading.main_thread()
    assert seen["plain"].name == "stagecall"
    assert seen["plain"].daemon


def _note(seen):
    async def started(sandbox):
        seen["coroutine"] = threading.current_thread()

    return started


@virtual_time
async def test_stop_iteration_of_a_def_hook_is_an_error(make_run):
    """What a future refuses to carry does not get lost."""

    def started(sandbox):
        next(iter(()))

    run = make_run(ScriptedPlugin("bad", started=started))

    resolution = await run.wait()

    assert resolution.cause.startswith("started of plugin bad: RuntimeError: a def hook raised StopIteration")


@virtual_time
async def test_hung_thread_is_abandoned_and_gets_only_dispose(make_run, release):
    """A thread cannot be cancelled: after both graces the run goes on without it, and its place is given away."""
    loop: Any = asyncio.get_running_loop()
    disposed: list[Any] = []
    run = make_run(
        ScriptedPlugin(
            "hung",
            started=lambda sandbox: hang(loop, release),
            exception=disposed.append,
            dispose=lambda: disposed.append("dispose"),
        )
    )
    loop.call_later(1, run.abort)

    resolution = await run.wait()

    assert loop.time() == 1 + 5 + 1
    assert resolution.reason is ExceptionReason.CANCELED
    assert disposed == ["dispose"]
    assert outcomes(run.trace, "started") == {"hung": "abandoned"}
    late = asyncio.Event()
    run.observe(lambda event: late.set())
    release.set()
    loop.expect_again()
    await late.wait()
    assert [event.plugin for event in run.trace.of(Kind.LATE)] == ["hung"]


@virtual_time
async def test_cancelled_hook_leaves_run_on_loop(make_run):
    """A thread that waits for the loop is cancelled as a coroutine is: run_on_loop raises CancelledError."""
    loop: Any = asyncio.get_running_loop()
    seen: list[Any] = []

    def started(sandbox):
        try:
            plugin.context.run_on_loop(sleep_for_thread(10_000))
        except BaseException as error:
            seen.append(type(error))
            raise

    plugin = ScriptedPlugin("waits", started=started)
    run = make_run(plugin)
    loop.call_later(1, run.abort)

    await run.wait()

    assert seen == [asyncio.CancelledError]
    assert outcomes(run.trace, "started") == {"waits": "cancelled"}
    assert loop.time() == 1 + 5


async def test_coroutine_that_is_cancelled_before_it_begins_is_closed(make_run):
    """A program that cancels all its tasks may do so just when a thread has handed over a coroutine."""
    seen: list[str] = []
    coro = asyncio.sleep(BOUND)

    def started(sandbox):
        try:
            plugin.context.run_on_loop(coro)
        except asyncio.CancelledError:
            seen.append(inspect.getcoroutinestate(coro))
            raise

    def sweep():
        for task in asyncio.all_tasks() - before:
            if "_on_behalf" in repr(task.get_coro()):
                task.cancel()
                return
        loop.call_soon(sweep)

    plugin = ScriptedPlugin("swept", started=started)
    run = make_run(plugin)
    loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
    sweep()

    resolution = await run.wait()

    assert seen == ["CORO_CLOSED"]
    assert resolution.reason is ExceptionReason.INTERNAL_ERROR


@virtual_time
async def test_coroutine_from_a_cancelled_thread_is_cancelled(make_run, release):
    """What a `def` returns to be awaited is cancelled if the hook was while its thread ran."""
    loop: Any = asyncio.get_running_loop()
    seen: list[Any] = []

    def started(sandbox):
        hang(loop, release)
        return forever()

    async def forever():
        try:
            await loop.create_future()
        finally:
            seen.append("cancelled")

    def let_go():
        release.set()
        loop.expect_again()

    run = make_run(ScriptedPlugin("waits", started=started))
    loop.call_later(1, run.abort)
    loop.call_later(6.5, let_go)

    await run.wait()

    assert seen == ["cancelled"]
    assert outcomes(run.trace, "started") == {"waits": "cancelled"}
    assert loop.time() == 6.5


async def test_hook_that_never_got_a_thread_never_begins(make_run, monkeypatch, release):
    """With all threads taken, a hook that waits for one is cancelled at once; dispose has threads of its own."""
    monkeypatch.setattr(calls, "POOL", ThreadPool(size=1, reserved=1))
    seen: list[Any] = []

    def started(sandbox):
        run.abort()
        release.wait(BOUND)

    run = make_run(
        ScriptedPlugin("first", started=started),
        ScriptedPlugin("second", started=seen.append, dispose=lambda: seen.append("dispose")),
        limits=Limits(cancel_grace=0.02, abandon_grace=1),  # real seconds: enough for a busy host
    )

    await run.wait()

    assert seen == ["dispose"]
    assert outcomes(run.trace, "started") == {"first": "abandoned", "second": "cancelled"}


@virtual_time
async def test_hung_dispose_keeps_no_other_from_its_thread(make_run, monkeypatch, release):
    """A dispose that hangs gives its place away when it is abandoned."""
    monkeypatch.setattr(calls, "POOL", ThreadPool(size=1, reserved=1))
    loop: Any = asyncio.get_running_loop()
    seen: list[Any] = []
    run = make_run(
        ScriptedPlugin("first", dispose=lambda: seen.append("first")),
        ScriptedPlugin("second", dispose=lambda: hang(loop, release)),
    )

    resolution = await run.wait()

    assert resolution.success
    assert seen == ["first"]
    assert outcomes(run.trace, "dispose") == {"second": "abandoned", "first": "ok"}
    assert errors(run.trace)[0][1].startswith("dispose of plugin second: HookTimeoutError")


async def test_abandoned_calls_free_their_places(release):
    """As many calls as the pool has threads may hang: once abandoned they are not in the way of the next."""
    pool = ThreadPool(size=2, reserved=1)
    begun = threading.Semaphore(0)

    def stuck():
        begun.release()
        release.wait(BOUND)

    hung = [pool.submit(stuck) for _ in range(2)]
    for _ in hung:
        assert begun.acquire(timeout=BOUND)

    waiting = pool.submit(int, "7")
    for job in hung:
        pool.abandon(job)

    assert await asyncio.wait_for(waiting.future, BOUND) == 7


async def test_call_that_has_not_begun_can_be_withdrawn_once(release):
    """A call that waits for a thread is taken back; one that runs is not."""
    pool = ThreadPool(size=1, reserved=1)
    begun = threading.Event()
    running = pool.submit(lambda: begun.set() or release.wait(BOUND))  # type: ignore[func-returns-value]
    waiting = pool.submit(pytest.fail, "it was withdrawn")
    assert await asyncio.to_thread(begun.wait, BOUND)

    assert [pool.withdraw(running), pool.withdraw(waiting), pool.withdraw(waiting)] == [False, True, False]

    release.set()
    await asyncio.wait_for(running.future, BOUND)


@pytest.mark.parametrize("closed", [False, True])
async def test_coroutine_from_a_thread_that_nobody_awaits_is_closed(release, closed):
    """What a plain `def` returns to be awaited, when nobody waits for it any more, is closed without a warning."""
    loop = asyncio.get_running_loop()
    made = asyncio.sleep(1)
    began = asyncio.Event()

    def late():
        loop.call_soon_threadsafe(began.set)
        release.wait(BOUND)
        return made

    job = ThreadPool(size=1).submit(late)
    await began.wait()
    job.future.cancel()
    if closed:
        job.future = _closed_future()
    release.set()
    while inspect.getcoroutinestate(made) != inspect.CORO_CLOSED:
        await asyncio.to_thread(threading.Event().wait, 0.001)

    assert inspect.getcoroutinestate(made) == inspect.CORO_CLOSED


def _closed_future():
    loop = asyncio.new_event_loop()
    loop.close()
    return loop.create_future()


async def test_coroutine_that_never_begins_is_closed():
    """Where a stranger cancels all tasks, what a thread has just handed to the loop never begins: it is closed then."""
    loop = asyncio.get_running_loop()
    coro, seen = asyncio.sleep(0), []

    def cancelled_at_once(loop, coro):
        task = asyncio.Task(coro, loop=loop)
        task.cancel()
        return task

    def thread():
        calls.CURRENT.set(calls.Call("stopped", "plugin", thread))
        try:
            run_on_loop(loop, coro)
        except asyncio.CancelledError:
            seen.append(inspect.getcoroutinestate(coro))

    loop.set_task_factory(cancelled_at_once)

    await asyncio.wait_for(loop.run_in_executor(None, thread), BOUND)

    loop.set_task_factory(None)
    assert seen == [inspect.CORO_CLOSED]


def test_run_on_loop_says_that_the_loop_is_closed():
    """A thread that outlives the loop gets a clear error, and its coroutine is closed."""
    loop = asyncio.new_event_loop()
    loop.close()

    async def never():
        pytest.fail("nothing runs on a closed loop")

    with pytest.raises(LifecycleError, match="the run's loop is closed"):
        run_on_loop(loop, never())


HANGING = """
import asyncio, sys, threading
from stagecall.lifecycle.limits import Limits
from stagecall.plugins.base import Plugin, TaskPlugin
from stagecall.worker.runtime import run_task_sync

class Hanging(TaskPlugin):
    def started(self, sandbox):
        threading.Event().wait()

class Stubborn(TaskPlugin):
    async def started(self, sandbox):
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

class HangingPlugin(Plugin):
    async def new_task_plugin(self, options):
        return {"Hanging": Hanging, "Stubborn": Stubborn}[sys.argv[1]]()

limits = Limits(hook_timeout=0.05, abandon_grace=0.05)
print(run_task_sync({"payload": {}}, engine="mock", plugins=[HangingPlugin()], limits=limits).reason)
"""


@pytest.mark.parametrize("kind", ["Hanging", "Stubborn"])
def test_hook_that_hangs_does_not_hold_up_the_end_of_the_program(kind, tmp_path):
    """A program whose hook hangs for ever, in a thread or on the loop, ends as soon as its run is disposed."""
    done = subprocess.run(
        [sys.executable, "-c", HANGING, kind], capture_output=True, text=True, timeout=BOUND, cwd=tmp_path
    )

    assert (done.returncode, done.stdout) == (0, "internal-error\n")


@virtual_time
async def test_late_dispose_from_a_thread_is_bounded(make_run, release):
    """A task plugin that comes late has `dispose_budget`, also for what a `def` dispose returns when that is over."""
    loop: Any = asyncio.get_running_loop()
    over, hanging = asyncio.Event(), threading.Event()

    async def creation(options):
        while not release.is_set():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

    def dispose():
        hang(loop, hanging)
        return forever()

    async def forever():
        await loop.create_future()

    def let_go():
        hanging.set()
        loop.expect_again()

    run = make_run(ScriptedPlugin("late", new_task_plugin=creation, dispose=dispose))
    loop.call_later(1, run.abort)
    await run.wait()
    run.observe(lambda event: over.set())

    release.set()
    loop.call_at(1500, let_go)
    await over.wait()

    assert [event.get("disposed") for event in run.trace.of(Kind.LATE)] == ["CancelledError"]
    assert loop.time() == 1500


@virtual_time
async def test_what_a_thread_makes_without_any_grace_is_disposed(make_run, release):
    """A creation that is abandoned before it hears of its cancellation still hands over what its thread makes late.

    It is, where somebody is in a hurry just when its time is over: cancelled and abandoned in one turn of the loop.
    """
    loop: Any = asyncio.get_running_loop()
    over, disposed = asyncio.Event(), list[str]()

    class Made(TaskPlugin):
        async def dispose(self):
            disposed.append("late")

    class Slow(Plugin):
        def new_task_plugin(self, options):
            hang(loop, release)
            return Made()

    run = make_run(Slow(), limits=Limits(hook_timeout=1, abandon_grace=0))
    loop.call_at(
        1, run.hurry
    )  # before the timeout, in the same turn: timers of one time come as they were set
    resolution = await run.wait()
    run.observe(lambda event: over.set())

    release.set()
    loop.expect_again()
    await over.wait()

    assert resolution.reason is ExceptionReason.WORKER_SHUTDOWN
    assert outcomes(run.trace, "new_task_plugin") == {"slow": "abandoned"}
    assert [event.get("disposed") for event in run.trace.of(Kind.LATE)] == ["ok"]
    assert disposed == ["late"]


async def test_abandoning_tells_whether_a_call_will_never_begin(release):
    """A call that is abandoned while it waits for a thread never begins; one that runs goes on for itself."""
    pool = ThreadPool(size=1, reserved=1)
    begun = threading.Event()
    running = pool.submit(lambda: begun.set() or release.wait(BOUND))  # type: ignore[func-returns-value]
    waiting = pool.submit(pytest.fail, "it was abandoned")
    assert await asyncio.to_thread(begun.wait, BOUND)

    assert [pool.abandon(waiting), pool.abandon(running)] == [True, False]

    release.set()
    await asyncio.wait_for(running.future, BOUND)
