"""What a run does with engine and plugins where they, its surroundings or its user do not do what they should."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stagecall.lifecycle.errors import ExceptionReason, LifecycleError, NonFatalInternalError
from stagecall.lifecycle.limits import Limits
from stagecall.plugins.base import TaskPlugin
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import (
    HookRecorder,
    RecordingMonitor,
    ScriptedEngine,
    ScriptedPlugin,
    errors,
    hooks,
    outcomes,
    path,
)
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.task_run import TaskRun

from ..support.invented import INVENTED

TAIL = ["exception", "resolved", "dispose"]


async def nothing(*_):
    pass


def returns(value):
    async def deed():
        return value

    return deed


def raises(error):
    async def deed(*_):
        raise error

    return deed


# What engine and plugins hand over


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("new_sandbox_builder", "SandboxBuilder"),
        ("start_sandbox", "Sandbox"),
        ("wait_for_result", "ResultSet"),
    ],
)
@virtual_time
async def test_engine_that_returns_something_else_is_a_defect(make_run, call, kind):
    """An engine call must return what the interface says; the error names the call, and nothing else breaks."""
    engine = ScriptedEngine(deeds={call: returns("something else")})
    recorder = HookRecorder()
    run = make_run(recorder, engine=engine)

    resolution = await run.wait()

    assert resolution.cause == (
        f"{call}: TypeError: {call} must return a {kind}, not 'something else' (incident incident-1)"
    )
    assert path(run.trace)[-3:] == TAIL
    assert recorder.calls[-2:] == [("exception", "internal-error"), ("dispose",)]


@virtual_time
async def test_plugin_that_makes_something_else_is_a_defect(make_run):
    """new_task_plugin must return a TaskPlugin or None; there is nothing to dispose then."""
    run = make_run(ScriptedPlugin("odd", new_task_plugin=lambda options: "no task plugin"))

    resolution = await run.wait()

    assert "must return a TaskPlugin, not 'no task plugin'" in resolution.cause
    assert [(e.plugin, e.get("why")) for e in run.trace.of(Kind.NOT_CREATED)] == [("odd", "its creation: ok")]
    assert outcomes(run.trace, "dispose") == {}


@virtual_time
async def test_trace_tells_which_plugins_were_not_created_and_why(make_run):
    """A creation may fail, may be cancelled, may never have begun."""
    run = make_run(
        ScriptedPlugin("fails", new_task_plugin=raises(OSError("no"))),
        ScriptedPlugin("waits", new_task_plugin=lambda options: asyncio.sleep(50)),
        ScriptedPlugin("queued", after={"waits"}),
    )
    asyncio.get_running_loop().call_later(1, run.abort)

    await run.wait()

    assert [(event.plugin, event.get("why")) for event in run.trace.of(Kind.NOT_CREATED)] == [
        ("fails", "its creation: failed"),
        ("waits", "its creation: cancelled"),
        ("queued", "its creation: never begun"),
    ]


@virtual_time
async def test_builder_of_an_abandoned_start_is_discarded_when_that_fails(make_run):
    """A start that was given up still uses the builder; it is discarded once the start has failed, and only then."""
    failed = asyncio.Event()

    async def fail_late():
        while not failed.is_set():
            try:
                await failed.wait()
            except asyncio.CancelledError:
                pass
        raise OSError("too late")

    engine = ScriptedEngine(deeds={"start_sandbox": fail_late})
    run = make_run(engine=engine)
    asyncio.get_running_loop().call_later(1, run.abort)
    late = asyncio.Event()

    await run.wait()
    before = list(engine.asked)
    run.observe(lambda event: late.set())
    failed.set()
    await late.wait()

    assert before == ["new_sandbox_builder", "start_sandbox"]
    assert engine.asked[2:] == ["discard_builder"]


@virtual_time
async def test_plugin_class_made_for_no_lifecycle_gets_invented_hooks_too(make_run):
    """A run calls the hooks of its own lifecycle, also where a class forgot to say which one it was made for."""
    seen = []

    class Forgetful(TaskPlugin):
        async def scanned(self, builder):
            seen.append("scanned")

    run = make_run(
        ScriptedPlugin("forgetful", new_task_plugin=lambda options: Forgetful()),
        lifecycle=INVENTED,
        actions={"scan": nothing},
    )

    assert (await run.wait()).success
    assert seen == ["scanned"]


# Background work


@virtual_time
async def test_wait_that_no_abort_ends_is_cancelled_when_background_work_failed(make_run):
    """Where the sandbox cannot be aborted, a run whose background failed still does not wait for its end."""
    engine = ScriptedEngine(holds=True, deeds={"abort_sandbox": raises(OSError("cannot"))})

    async def started(sandbox):
        plugin.context.spawn(raises(OSError("in the background"))(), "worker")

    plugin = ScriptedPlugin("spawns", started=started)
    run = make_run(plugin, engine=engine)

    resolution = await run.wait()

    assert resolution.cause.startswith("decided: background:worker: OSError: in the background")
    assert outcomes(run.trace, "wait_for_result") == {"-": "cancelled"}
    assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_background_that_waits_for_the_end_does_not_hold_up_an_error_in_finished(make_run):
    """When one background task fails at the end, the others learn that the run is cancelled, and are not timed out."""
    seen = []

    async def fail_later():
        await asyncio.sleep(30)
        raise OSError("late")

    async def until_cancelled():
        seen.append((await plugin.context.cancelled).value)

    async def started(sandbox):
        plugin.context.spawn(until_cancelled())
        plugin.context.spawn(fail_later())

    plugin = ScriptedPlugin("spawns", started=started)
    run = make_run(plugin)

    resolution = await run.wait()

    assert resolution.cause.startswith("background:background#2: OSError: late")
    assert seen == ["internal-error"]
    assert asyncio.get_running_loop().time() == 30
    assert path(run.trace)[-4:] == ["finished", *TAIL]


@virtual_time
async def test_background_that_spawns_itself_again_cannot_keep_the_run_from_dispose(make_run):
    """A task that answers its cancellation with another one is refused at last."""
    refused: list[str] = []

    async def again():
        try:
            await asyncio.sleep(1000)
        finally:
            try:
                plugin.context.spawn(again())
            except LifecycleError as error:
                refused.append(str(error))

    async def started(sandbox):
        plugin.context.spawn(again())

    plugin = ScriptedPlugin("spawns", started=started)
    run = make_run(plugin)

    resolution = await run.wait()

    assert resolution.cause.startswith("background:background: HookTimeoutError")
    assert refused == ["the run ends what it has in the background: nothing more can be spawned now"]
    assert path(run.trace)[-1] == "dispose"


# Surroundings


@virtual_time
async def test_monitor_that_fails_keeps_no_run_from_its_end(make_run):
    """Reporting an error is not worth a run: it ends as it would, only without an incident id."""
    make_run.monitor.error = OSError("the disk of the monitor is full")
    run = make_run(ScriptedPlugin("bad", started=raises(ValueError("a defect"))), HookRecorder())

    resolution = await run.wait()

    assert resolution.cause == "started of plugin bad: ValueError: a defect"
    assert path(run.trace)[-3:] == TAIL


@virtual_time
async def test_log_that_takes_nothing_keeps_no_run_from_its_end(make_run, monkeypatch):
    """An error that cannot be written to the task log still goes to the worker and to the trace."""
    run = make_run(ScriptedPlugin("bad", started=raises(ValueError("a defect"))))
    monkeypatch.setattr(run.log._sink, "_new_path", raises_now(OSError("no folder")), raising=False)

    resolution = await run.wait()

    assert resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert ("OSError", "the task log") in make_run.monitor.errors
    assert errors(run.trace)[0][1].startswith("started of plugin bad: ValueError: a defect")


def raises_now(error):
    def function(*_):
        raise error

    return function


@virtual_time
async def test_folder_that_several_threads_ask_for_is_one(make_run):
    """The first use creates the run's folder, whichever thread that is in, and none is left behind."""
    together = threading.Barrier(8)

    def ask(_):
        together.wait(10)
        return plugin.context.temporary_folder

    def started(sandbox):
        with ThreadPoolExecutor(8) as pool:
            folders.update(pool.map(ask, range(8)))

    folders: set[Path] = set()
    plugin = ScriptedPlugin("asks", started=started)
    run = make_run(plugin)

    await run.wait()

    assert len(folders) == 1
    assert not folders.pop().exists()


@virtual_time
async def test_folder_is_not_created_again_after_dispose(make_run):
    """Whoever asks for the folder of a run that is over gets an error, not one that nobody removes."""
    plugin = ScriptedPlugin("asks")
    run = make_run(plugin)
    await run.wait()

    with pytest.raises(LifecycleError, match="it has no temporary folder any more"):
        _ = plugin.context.temporary_folder


@virtual_time
async def test_plugin_that_hangs_when_told_of_errors_is_given_up(make_run):
    """`report_non_fatal_error` has `report_budget`, however it takes being cancelled."""
    released = asyncio.Event()

    async def stubborn():
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    run = make_run(
        ScriptedPlugin(
            "bad", started=raises(NonFatalInternalError("hiccup")), report_non_fatal_error=stubborn
        )
    )

    await run.wait()
    released.set()

    assert hooks(run.trace)[-1] == ("-", "dispose:report_non_fatal_error", "abandoned")
    assert asyncio.get_running_loop().time() == 10 + 1
    assert make_run.monitor.counts == {"non-fatal-errors": 1}


# Its user


@virtual_time
async def test_hurry_cuts_the_graces_short(make_run):
    """A second Ctrl-C leaves hooks no time, ends the sandbox, and everything is disposed all the same."""
    engine = ScriptedEngine(holds=True)
    run = make_run(
        ScriptedPlugin("slow", started=lambda sandbox: asyncio.sleep(50), dispose=nothing),
        HookRecorder(),
        engine=engine,
    )
    loop = asyncio.get_running_loop()
    loop.call_later(1, run.abort)
    loop.call_later(2, run.hurry)

    resolution = await run.wait()

    assert loop.time() == 2
    assert resolution.reason is ExceptionReason.CANCELED
    assert outcomes(run.trace, "started") == {"hookrecorder": "ok", "slow": "cancelled"}
    assert "abort_sandbox" in engine.asked
    assert outcomes(run.trace, "dispose") == {"hookrecorder": "ok", "slow": "ok"}


@virtual_time
async def test_hurry_without_abort_aborts(make_run):
    """Hurrying a run that nobody aborted ends it as worker-shutdown: what was cancelled cannot count as done."""
    engine = ScriptedEngine(holds=True)
    run = make_run(engine=engine)
    asyncio.get_running_loop().call_later(2, run.hurry)

    resolution = await run.wait()

    assert resolution.reason is ExceptionReason.WORKER_SHUTDOWN
    assert engine.asked[2:] == ["wait_for_result", "abort_sandbox", "dispose_sandbox"]


@virtual_time
async def test_hurry_bounds_the_hooks_that_begin_after_it(make_run):
    """What `exception` does after a second Ctrl-C, as storing a log in a store that hangs, has `cancel_grace` too."""

    async def forever(*about):
        await asyncio.Event().wait()

    run = make_run(
        ScriptedPlugin("slow", started=forever, exception=forever, dispose=nothing), HookRecorder()
    )
    loop = asyncio.get_running_loop()
    loop.call_later(1, run.abort)
    loop.call_later(2, run.hurry)

    resolution = await run.wait()

    assert loop.time() == 2 + Limits().cancel_grace
    assert resolution.reason is ExceptionReason.CANCELED
    assert outcomes(run.trace, "exception") == {"hookrecorder": "ok", "slow": "cancelled"}
    assert outcomes(run.trace, "dispose") == {"hookrecorder": "ok", "slow": "ok"}


@virtual_time
async def test_hurry_leaves_report_and_worker_their_time(make_run):
    """A hurry is about hooks: who waits for the resolution, and plugins that are told of an error, still get it."""
    told: list[str] = []

    async def tell():
        await asyncio.sleep(3)
        told.append("plugin")

    async def report(resolution):
        await asyncio.sleep(4)
        told.append(str(resolution.reason))

    async def fail(sandbox):
        await asyncio.sleep(0.5)
        raise NonFatalInternalError("hiccup")

    run = make_run(
        ScriptedPlugin("bad", started=fail, report_non_fatal_error=tell),
        ScriptedPlugin("slow", started=lambda sandbox: asyncio.Event().wait()),
        limits=Limits(cancel_grace=0),
        report=report,
    )
    asyncio.get_running_loop().call_later(1, run.hurry)

    await run.wait()

    assert told == ["worker-shutdown", "plugin"]


@virtual_time
async def test_hurry_in_exception_calls_every_hook_of_it(make_run):
    """The exception hooks that are under way are cancelled, those that wait for them are called."""
    seen = []

    async def note(reason):
        seen.append(reason.value)

    run = make_run(
        ScriptedPlugin(
            "slow", started=raises(ValueError("a defect")), exception=lambda reason: asyncio.sleep(50)
        ),
        ScriptedPlugin("next", after={"slow"}, exception=note),
    )
    asyncio.get_running_loop().call_later(3, run.hurry)

    await run.wait()

    assert asyncio.get_running_loop().time() == 3
    assert seen == ["internal-error"]
    assert outcomes(run.trace, "exception") == {"slow": "cancelled", "next": "ok"}


@virtual_time
async def test_action_of_ones_own_makes_no_calls_through_the_run(make_run):
    """A stage's action is one bounded call already; what would wait for itself is a clear error."""

    async def scan(run):
        await run.call("again", nothing)

    run = make_run(lifecycle=INVENTED, actions={"scan": scan})

    resolution = await run.wait()

    assert "scan: LifecycleError: a stage's action is one call already" in resolution.cause


@virtual_time
async def test_hooks_of_a_stage_whose_action_was_aborted_are_not_called(make_run):
    """An abort ends the stage that it finds: its hooks do not begin after the action."""

    async def scan(run):
        await asyncio.sleep(3)

    seen: list[object] = []
    run = make_run(
        ScriptedPlugin("scanner", lifecycle=INVENTED, scanned=seen.append),
        lifecycle=INVENTED,
        actions={"scan": scan},
    )
    asyncio.get_running_loop().call_later(1, run.abort)

    await run.wait()

    assert seen == []
    assert path(run.trace) == ["prepare", "build", "scan", *TAIL]


def test_runs_in_several_loops_at_once():
    """Each thread may have a loop with runs of its own."""

    async def main():
        async with LocalEnvironment(monitor=RecordingMonitor()) as environment:
            runtime = await Runtime.create(
                ScriptedEngine(), [HookRecorder()], environment=environment, strict=True
            )
            return [(await runtime.new_run({"payload": {}}).wait()).state for _ in range(30)]

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: asyncio.run(main()), range(4)))

    assert states == [["completed"] * 30] * 4


async def test_run_is_waited_for_on_its_own_loop_only(make_run):
    """Another loop cannot wait for a run; the error says so."""
    run = make_run(engine=ScriptedEngine(holds=True))
    driven = asyncio.ensure_future(run.wait())
    await asyncio.sleep(0)

    async def elsewhere():
        with pytest.raises(LifecycleError, match="a run belongs to the loop that drives it"):
            await run.wait()

    await asyncio.to_thread(asyncio.run, elsewhere())
    run.abort()
    await driven


@virtual_time
async def test_block_that_is_cancelled_while_it_is_left_waits_for_dispose(make_run):
    """Leaving `async with run` waits for another task that drives the run to dispose it, however it is cancelled."""
    run = make_run(
        ScriptedPlugin("slow", dispose=lambda: asyncio.sleep(10)), engine=ScriptedEngine(holds=True)
    )

    async def leave():
        async with run:
            await asyncio.sleep(1)

    driven = asyncio.ensure_future(run.wait())
    leaving = asyncio.ensure_future(leave())
    for moment in (2, 3):
        asyncio.get_running_loop().call_later(moment, leaving.cancel)
    await asyncio.wait([driven, leaving])

    assert asyncio.get_running_loop().time() == 11
    assert leaving.cancelled()
    assert driven.result().reason is ExceptionReason.WORKER_SHUTDOWN


@virtual_time
async def test_one_error_that_two_hooks_raise_counts_once(make_run):
    """Who waits for a background task raises its error once more; it is the same one."""

    async def fail():
        await asyncio.sleep(1)
        raise OSError("the download")

    async def build_sandbox(builder):
        await plugin.context.spawn(fail(), "download")

    plugin = ScriptedPlugin("loads", build_sandbox=build_sandbox)
    run = make_run(plugin)

    resolution = await run.wait()

    assert [message for _, message, _ in errors(run.trace)] == [resolution.cause]
    assert outcomes(run.trace, "build_sandbox") == {"loads": "failed"}


@virtual_time
async def test_stage_whose_own_wait_is_cancelled_is_followed_by_the_others(make_run, monkeypatch):
    """An action that waits for something beside its calls is cancelled with the embedding task, and dispose comes."""
    run = make_run(HookRecorder())

    async def report(run):
        await asyncio.sleep(50)

    monkeypatch.setattr(TaskRun, "report", report)
    waiter = asyncio.ensure_future(run.wait())
    asyncio.get_running_loop().call_later(1, waiter.cancel)
    await asyncio.wait([waiter])

    assert waiter.cancelled()
    assert run.resolution.success
    assert path(run.trace)[-2:] == ["resolved", "dispose"]


def test_abort_when_the_loop_is_gone_changes_nothing(make_run):
    """A run that has ended, on a loop that was closed, can still be asked to abort, and says that it cannot."""
    run = make_run()

    assert asyncio.run(run.wait()).success
    assert run.abort() is False
