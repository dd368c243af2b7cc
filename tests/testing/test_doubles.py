"""The doubles do as they are told, and a bench convicts every run that breaks a promise."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from stagecall.lifecycle.errors import ExceptionReason
from stagecall.specs.trace import Kind, Trace
from stagecall.testing.doubles import (
    CALLS,
    Bench,
    HookRecorder,
    RecordingEnvironment,
    RecordingMonitor,
    ScriptedEngine,
    ScriptedPlugin,
    assert_sound,
    errors,
    hooks,
    outcomes,
    path,
    task_plugin_class,
)
from stagecall.testing.virtual_time import virtual_time


@virtual_time
async def test_scripted_engine_ends_at_once_and_says_what_it_was_asked(make_run):
    """Untold, a task succeeds; every call of the engine is remembered in order, each that there is for such a run."""
    engine, recorder = ScriptedEngine(), HookRecorder()

    resolution = await make_run(recorder, engine=engine).wait()

    assert resolution.success
    assert engine.asked == [
        "new_sandbox_builder",
        "start_sandbox",
        "wait_for_result",
        "dispose_result_set",
        "dispose_sandbox",
    ]
    assert len(engine.contexts) == len(engine.sandboxes) == 1


@pytest.mark.parametrize("how", ["finish", "abort"])
@virtual_time
async def test_scripted_sandbox_holds_until_told(make_run, how):
    """A sandbox that holds lasts until it is finished, which is a result, or aborted, which is none."""
    engine = ScriptedEngine(holds=True)
    run = make_run(engine=engine)
    waiting = asyncio.ensure_future(run.wait())
    await asyncio.sleep(100)
    before = run.stage

    engine.sandboxes[0].finish() if how == "finish" else run.abort()

    resolution = await waiting
    assert before == "waiting"
    assert resolution.state == ("completed" if how == "finish" else "exception")
    assert engine.sandboxes[0].aborted is (how == "abort")


@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("abort_sandbox", "discard_builder")])
@virtual_time
async def test_scripted_call_does_its_deed_first(make_run, call):
    """Whichever call is told to fail fails, under its own name in the list of what was asked."""

    async def fails() -> None:
        raise OSError("as told")

    engine = ScriptedEngine(deeds={call: fails})
    run = make_run(engine=engine)

    await run.wait()

    assert "as told" in errors(run.trace)[0][1]
    assert call in engine.asked


def test_deed_of_no_call_is_refused():
    """A misspelt call would never do its deed."""
    with pytest.raises(ValueError, match="no call start; calls are new_sandbox_builder, start_sandbox"):
        ScriptedEngine(deeds={"start": asyncio.sleep})  # type: ignore[dict-item]


def test_function_for_no_hook_is_refused():
    """A misspelt hook would never be called."""
    with pytest.raises(TypeError, match="no hook is called start; hooks are build_sandbox, started"):
        task_plugin_class(start=print)
    with pytest.raises(TypeError, match="no hook is called start"):
        ScriptedPlugin("plugin", start=print)


@virtual_time
async def test_scripted_plugin_declares_what_it_is_told(make_run):
    """Name, order, schema and functions are those it was made with, and it keeps what each run brought."""
    seen: list[object] = []
    first = ScriptedPlugin(
        "first", schema={"x": {"type": "integer"}}, started=lambda sandbox: seen.append("1")
    )
    second = ScriptedPlugin(
        "second", after={"first"}, started=_noting(seen, "2"), new_task_plugin=seen.append
    )
    run = make_run(second, first, payload={"x": 1})

    await run.wait()

    assert seen == [second.options[0], "1", "2"]
    assert [first.options[0].payload, second.options[0].payload] == [{"x": 1}, {}]
    assert first.context is run.context


def _noting(seen, what):
    async def note(sandbox):
        seen.append(what)

    return note


@virtual_time
async def test_what_creation_returns_takes_the_place_of_the_task_plugin(make_run):
    """`new_task_plugin` may bring another task plugin, made in a coroutine or not."""
    seen: list[str] = []
    other = task_plugin_class(dispose=lambda: seen.append("other"))

    async def creation(options):
        return other()

    run = make_run(
        ScriptedPlugin("a", new_task_plugin=creation, dispose=lambda: seen.append("own")),
        ScriptedPlugin("b", new_task_plugin=lambda options: other()),
    )

    await run.wait()

    assert seen == ["other", "other"]


def test_monitor_keeps_everything_or_fails():
    """Logs, counts, measures and errors are kept in order; with `error` set reporting fails."""
    monitor = RecordingMonitor()

    monitor.bind(engine="mock").log("hello", run=1)
    monitor.count("runs", 2)
    monitor.measure("seconds", 0.5)
    incidents = [monitor.report_error(ValueError(), where="here"), monitor.report_error(OSError())]

    assert attrs.asdict(monitor) == {
        "logs": [("hello", {"run": 1})],
        "counts": {"runs": 2},
        "measures": [("seconds", 0.5)],
        "errors": [("ValueError", "here"), ("OSError", None)],
        "error": None,
    }
    assert incidents == ["incident-1", "incident-2"]
    monitor.error = OSError("the monitor's disk is full")
    with pytest.raises(OSError, match="disk is full"):
        monitor.report_error(ValueError())


@virtual_time
async def test_store_keeps_artifacts_in_order(make_run):
    """What a hook uploads arrives in the bench's store."""
    plugin: ScriptedPlugin

    async def stopped(result_set):
        await plugin.context.upload_artifact("public/a.txt", b"a")
        return True

    plugin = ScriptedPlugin("uploads", stopped=stopped)
    run = make_run(plugin)

    await run.wait()

    assert [artifact.name for artifact in make_run.environment.store.artifacts] == ["public/a.txt"]


def test_temporary_folders_lie_below_the_bench(tmp_path):
    """Each is a new one, so that a test can count what was left."""
    environment = RecordingEnvironment(tmp_path)

    made = [environment.temporary_folder("a-") for _ in range(2)]

    assert sorted(tmp_path.iterdir()) == sorted(made)
    assert len(set(made)) == 2


@virtual_time
async def test_readings_of_a_trace(make_run):
    """Path, hooks, outcomes and errors tell a broken run as it was."""

    async def started(sandbox):
        raise ValueError("a defect")

    run = make_run(ScriptedPlugin("bad", started=started))

    await run.wait()

    assert path(run.trace) == ["prepare", "build", "start", "started", "exception", "resolved", "dispose"]
    assert outcomes(run.trace, "started") == {"bad": "failed"}
    assert outcomes(run.trace, "start_sandbox") == {"-": "ok"}
    assert errors(run.trace) == [
        ("fatal", "started of plugin bad: ValueError: a defect (incident incident-1)", True)
    ]
    assert hooks(run.trace)[:3] == [
        ("-", "new_sandbox_builder", "ok"),
        ("bad", "new_task_plugin", "ok"),
        ("-", "start_sandbox", "ok"),
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@virtual_time
async def test_bench_lets_a_sound_run_pass(bench):
    """A run that kept its promises, and one that was never waited for, are judged without complaint."""
    with bench:
        await bench(HookRecorder()).wait()
        bench(HookRecorder())

    assert len(bench.runs) == 2


@virtual_time
async def test_bench_convicts_a_run_that_never_ended(bench):
    """A run that was begun and left in the middle is told, with the stage it was left in."""
    run = bench(engine=ScriptedEngine(holds=True))
    waiting = asyncio.ensure_future(run.wait())
    await asyncio.sleep(1)

    with pytest.raises(
        AssertionError, match=f"run {run.info.task_id} was begun and never ended; it is in 'waiting'"
    ):
        bench.judge()

    run.abort()
    assert (await waiting).reason is ExceptionReason.CANCELED
    bench.judge()


@virtual_time
async def test_bench_convicts_a_trace_that_breaks_a_rule(bench):
    """A trace without its dispose is told by the rule's name; not where it was broken on purpose."""
    run = bench(HookRecorder())
    await run.wait()
    run.trace.events[:] = [e for e in run.trace if (e.kind, e.stage) != (Kind.MOVE, "dispose")]

    with pytest.raises(
        AssertionError, match=r"the trace breaks rules:\nrule .*\n(.*\n)*rule 3 \(dispose-last\)"
    ):
        bench.judge()

    bench.broken_on_purpose = True
    bench.judge()


def test_bench_convicts_a_folder_left_behind(bench):
    """Whatever lies in its folder at the end was left by a run."""
    (bench.folder / "a-0-x").mkdir()

    with pytest.raises(AssertionError, match=r"folders are left in .*: a-0-x"), bench:
        pass


def test_bench_does_not_hide_the_error_of_the_test(bench):
    """What fails inside is what the test shows, not what it left behind because of that."""
    (bench.folder / "left").mkdir()

    with pytest.raises(ZeroDivisionError), bench:
        raise ZeroDivisionError


@virtual_time
async def test_trace_that_run_json_cannot_keep_is_convicted(make_run):
    """A trace that reads differently once stored is told as such."""
    run = make_run()
    await run.wait()
    clashing = attrs.evolve(run.trace.events[-1], detail={"seq": 0})
    changed = Trace(datetime.now(UTC), [*run.trace.events[:-1], clashing])

    with pytest.raises(AssertionError, match="the trace changes when it is stored"):
        assert_sound(changed)
