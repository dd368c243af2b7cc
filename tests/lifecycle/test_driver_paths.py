"""The way of a run along the table: what is called in which stage, and what the run becomes."""

import pytest

from ..support.engine import ScriptedEngine
from ..support.plugins import HookRecorder, Scripted
from ..support.runs import hooks, path
from ..support.virtual_time import virtual_time

MAIN_PATH = ["prepare", "build", "start", "started", "waiting", "stopped", "finished", "resolved", "dispose"]


@virtual_time
async def test_good_task_passes_every_stage_and_hook(make_run):
    """A task that succeeds takes the main path, and each hook is called once, in the order of the table."""
    recorder = HookRecorder()
    run = make_run(recorder)

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert recorder.calls == [
        ("build_sandbox",),
        ("started",),
        ("stopped",),
        ("finished", True),
        ("dispose",),
    ]
    assert path(run.trace) == MAIN_PATH


@virtual_time
async def test_failed_task_still_reaches_every_hook(make_run):
    """A non-zero exit is a failed task, not a broken run: no hook is skipped."""
    recorder = HookRecorder()
    run = make_run(recorder, exit_code=1)

    resolution = await run.wait()

    assert resolution.state == "failed"
    assert recorder.calls == [
        ("build_sandbox",),
        ("started",),
        ("stopped",),
        ("finished", False),
        ("dispose",),
    ]
