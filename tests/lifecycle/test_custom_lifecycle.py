"""A test runs a lifecycle with two invented stages: driver, order, rules and pictures need nothing else."""

import re

import pytest
import yaml

from stagecall.lifecycle.diagram import dot, mermaid
from stagecall.lifecycle.errors import ExceptionReason, LifecycleError, MalformedPayloadError
from stagecall.plugins.base import TaskPlugin
from stagecall.specs.lifecycle import TASK_RUN, Combine, Stage
from stagecall.specs.lifecycle_yaml import lifecycle_document, load_lifecycle
from stagecall.testing.doubles import ScriptedEngine, ScriptedPlugin, errors, hooks, outcomes, path
from stagecall.testing.virtual_time import virtual_time

INSERTED = TASK_RUN.insert(
    Stage("scan", action="scan", does="looks at the builder"), after="build", name="scanned-task-run"
).insert(
    Stage("review", hook="reviewed", arguments=("result_set",), combine=Combine.ALL, does="a second opinion"),
    after="stopped",
)
WRITTEN = load_lifecycle(yaml.safe_load(yaml.safe_dump(lifecycle_document(INSERTED))))
MAIN_PATH = [
    "prepare",
    "build",
    "scan",
    "start",
    "started",
    "waiting",
    "stopped",
    "review",
    "finished",
    "resolved",
    "dispose",
]

both = pytest.mark.parametrize("lifecycle", [INSERTED, WRITTEN], ids=["inserted", "yaml"])


async def scan(run):
    """The invented action: it can do what a hook can."""
    run.context.log(f"scanned in {run.stage}")
    assert run.builder is not None


def test_yaml_says_the_same_as_code():
    """A lifecycle written down and read again is the one that was inserted into."""
    assert WRITTEN.name == INSERTED.name
    assert WRITTEN.stages == INSERTED.stages


@both
@virtual_time
async def test_invented_stages_are_driven_like_all_others(make_run, lifecycle):
    """Action and hook of the invented stages come where the table says, and every rule holds."""
    calls = []

    async def reviewed(result_set):
        calls.append((run.stage, result_set is run.result_set))
        return True

    plugin = ScriptedPlugin(lifecycle=lifecycle, reviewed=reviewed, stopped=lambda result_set: True)
    run = make_run(plugin, lifecycle=lifecycle, actions={"scan": scan}, strict=True)

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert path(run.trace) == MAIN_PATH
    assert calls == [("review", True)]
    assert hooks(run.trace) == [
        ("-", "new_sandbox_builder", "ok"),
        ("plugin", "new_task_plugin", "ok"),
        ("-", "scan", "ok"),
        ("-", "start_sandbox", "ok"),
        ("-", "wait_for_result", "ok"),
        ("plugin", "stopped", "ok"),
        ("plugin", "reviewed", "ok"),
        ("-", "dispose:result_set", "ok"),
        ("-", "dispose:sandbox", "ok"),
        ("-", "dispose:temporary_folder", "ok"),
    ]


@both
@virtual_time
async def test_verdicts_of_an_invented_hook_are_combined(make_run, lifecycle):
    """The task has failed if any plugin says so, in an invented stage as in `stopped`."""
    plugins = [
        ScriptedPlugin(name, lifecycle=lifecycle, reviewed=lambda result_set, name=name: name != "b")
        for name in "abc"
    ]
    run = make_run(*plugins, lifecycle=lifecycle, actions={"scan": scan}, strict=True)

    assert (await run.wait()).state == "failed"
    assert outcomes(run.trace, "reviewed") == {"a": "ok", "b": "ok", "c": "ok"}


@both
@virtual_time
async def test_error_in_invented_hook_is_an_exception(make_run, lifecycle):
    """It leads to the exception stage, past what is left of the main path."""

    async def reviewed(result_set):
        raise MalformedPayloadError("rejected")

    plugin = ScriptedPlugin(lifecycle=lifecycle, reviewed=reviewed)
    run = make_run(plugin, lifecycle=lifecycle, actions={"scan": scan}, strict=True)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", ExceptionReason.MALFORMED_PAYLOAD)
    assert path(run.trace) == [*MAIN_PATH[:8], "exception", "resolved", "dispose"]


@both
@virtual_time
async def test_error_in_invented_action_is_an_exception(make_run, lifecycle):
    """The sandbox is then never started, and its builder is discarded."""

    async def refuse(run):
        raise OSError("no scanner")

    engine = ScriptedEngine()
    run = make_run(engine=engine, lifecycle=lifecycle, actions={"scan": refuse}, strict=True)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", ExceptionReason.INTERNAL_ERROR)
    assert path(run.trace) == ["prepare", "build", "scan", "exception", "resolved", "dispose"]
    assert errors(run.trace) == [("fatal", "scan: OSError: no scanner (incident incident-1)", True)]
    assert engine.asked == ["new_sandbox_builder", "discard_builder"]


@both
def test_pictures_show_the_invented_stages(lifecycle):
    """Both diagrams have the stages and the edges in and out of them."""
    text = mermaid(lifecycle)

    assert re.search(r"build --> scan\b", text)
    assert re.search(r"scan --> start\b", text)
    assert re.search(r"stopped --> review\b", text)
    for stage in ("scan", "review"):
        assert stage in dot(lifecycle)
        assert stage not in dot(TASK_RUN)


@virtual_time
async def test_shipped_example_runs(make_run, root):
    """The lifecycle among the examples can be driven as it is."""
    lifecycle = load_lifecycle(yaml.safe_load((root / "examples" / "lifecycle.yml").read_text("utf-8")))
    calls = []

    async def scanned(builder):
        calls.append("scanned")

    async def reviewed(result_set):
        calls.append("reviewed")
        return True

    plugin = ScriptedPlugin(lifecycle=lifecycle, scanned=scanned, reviewed=reviewed)
    run = make_run(plugin, lifecycle=lifecycle, strict=True)

    assert (await run.wait()).state == "completed"
    assert calls == ["scanned", "reviewed"]
    assert path(run.trace) == MAIN_PATH


def test_unknown_action_is_refused(make_run):
    """A stage whose action nobody brings could never be driven, so no runtime is made of it."""
    with pytest.raises(LifecycleError, match="stage 'scan': no action is called 'scan'; pass it in actions"):
        make_run.runtime(lifecycle=INSERTED)


def test_unknown_argument_is_refused(make_run):
    """A hook that wants what a run does not have could never be called."""
    lifecycle = TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("weather",)), after="build")

    with pytest.raises(LifecycleError, match="stage 'scan': a run has no 'weather' to give to 'scanned'"):
        make_run.runtime(lifecycle=lifecycle)


def test_invented_hooks_are_checked_when_the_class_is_made():
    """A misspelt hook, or one with other arguments, is refused in a lifecycle of one's own too."""
    with pytest.raises(TypeError, match=r"Typo\.reviewd looks like the hook 'reviewed' but is not one"):

        class Typo(TaskPlugin, lifecycle=INSERTED):
            async def reviewd(self, result_set): ...

    with pytest.raises(TypeError, match=r"Wrong\.reviewed is a hook and must take \(self, result_set\)"):

        class Wrong(TaskPlugin, lifecycle=INSERTED):
            async def reviewed(self): ...

    class Right(TaskPlugin, lifecycle=INSERTED):
        async def reviewed(self, result_set): ...

    class Heir(Right):
        async def started(self, sandbox): ...

    assert Right.hook_names == {"reviewed"}
    assert Heir.hook_names == {"reviewed", "started"}
