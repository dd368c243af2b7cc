"""The main path: what is called in which stage, of plugins and of the engine."""

from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.base import Plugin
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import HookRecorder, ScriptedEngine, path
from stagecall.testing.virtual_time import virtual_time

MAIN_PATH = ["prepare", "build", "start", "started", "waiting", "stopped", "finished", "resolved", "dispose"]


@virtual_time
async def test_good_task_passes_every_stage_and_hook(make_run):
    """A task that succeeds takes the main path, and each hook is called once, in the order of the table."""
    recorder, engine = HookRecorder(), ScriptedEngine()
    run = make_run(recorder, engine=engine)

    resolution = await run.wait()

    assert resolution == Resolution("completed")
    assert recorder.calls == [
        ("build_sandbox",),
        ("started",),
        ("stopped",),
        ("finished", True),
        ("dispose",),
    ]
    assert path(run.trace) == MAIN_PATH
    assert engine.asked == [
        "new_sandbox_builder",
        "start_sandbox",
        "wait_for_result",
        "dispose_result_set",
        "dispose_sandbox",
    ]


@virtual_time
async def test_failed_task_still_reaches_every_hook(make_run):
    """A non-zero exit is a failed task, not a broken run: no hook is skipped."""
    recorder = HookRecorder()
    run = make_run(recorder, exit_code=1)

    resolution = await run.wait()

    assert resolution == Resolution("failed")
    assert recorder.calls == [
        ("build_sandbox",),
        ("started",),
        ("stopped",),
        ("finished", False),
        ("dispose",),
    ]
    assert path(run.trace) == MAIN_PATH


@virtual_time
async def test_run_without_plugins_ends_as_completed(make_run):
    """Nobody judges, so nobody finds fault, and every stage is passed all the same."""
    run = make_run(exit_code=1)

    resolution = await run.wait()

    assert resolution == Resolution("completed")
    assert path(run.trace) == MAIN_PATH


@virtual_time
async def test_plugin_that_returns_no_task_plugin_takes_no_part(make_run):
    """None from new_task_plugin means that a plugin needs no hooks for this task."""

    class Unneeded(Plugin):
        async def new_task_plugin(self, options):
            return None

    run = make_run(Unneeded(), HookRecorder())

    resolution = await run.wait()

    assert resolution.success
    assert [event.plugin for event in run.trace.of(Kind.CREATED, Kind.NOT_CREATED)] == ["hookrecorder"]
