"""An abort in any stage, from anywhere, ends in bounded time; what does not end is named and holds up nobody."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagecall.lifecycle.errors import ExceptionReason, MalformedPayloadError
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import (
    HookRecorder,
    RecordingMonitor,
    ScriptedEngine,
    ScriptedPlugin,
    outcomes,
    path,
)
from stagecall.testing.virtual_time import hang, virtual_time
from stagecall.worker.task_run import TaskRun

CANCELED = ExceptionReason.CANCELED

PLACES = {
    "new_sandbox_builder": "prepare",
    "new_task_plugin": "prepare",
    "build_sandbox": "build",
    "start_sandbox": "start",
    "started": "started",
    "wait_for_result": "waiting",
    "stopped": "stopped",
    "finished": "finished",
    "exception": "exception",
    "report": "resolved",
    "dispose": "dispose",
}
"""Every call in which a run can be found, and its stage."""
OF_ENGINE = ("new_sandbox_builder", "start_sandbox", "wait_for_result")
TOO_LATE = ("exception", "report", "dispose")


async def block(*arguments: Any) -> Any:
    """Wait for what never comes, until cancelled."""
    await asyncio.Event().wait()


async def malformed(*arguments: Any) -> Any:
    raise MalformedPayloadError("m")


def blocking_at(where: str) -> tuple[ScriptedEngine, ScriptedPlugin, dict[str, Any]]:
    """Return engine, plugin and options of a run that blocks at one place."""
    hooks: dict[str, Any] = {}
    if where == "exception":
        hooks["started"] = malformed
    if where not in (*OF_ENGINE, "report"):
        hooks[where] = block
    engine = ScriptedEngine(deeds={where: block} if where in OF_ENGINE else {})
    return engine, ScriptedPlugin("blocker", **hooks), {"report": block} if where == "report" else {}


def from_thread(abort: Callable[[], bool]) -> bool:
    """Abort from another thread."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(abort()))
    thread.start()
    thread.join(30)
    return answers[0]


def from_loop(abort: Callable[[], bool]) -> bool:
    """Abort on the run's loop."""
    return abort()


@pytest.mark.parametrize("way", [from_thread, from_loop])
@pytest.mark.parametrize("where", PLACES)
@virtual_time
async def test_abort_in_every_stage(make_run, where, way):
    """Wherever an abort finds the run, the sandbox is aborted at once, hooks have their grace, dispose comes last."""
    engine, plugin, options = blocking_at(where)
    recorder = HookRecorder()
    run = make_run(recorder, plugin, engine=engine, **options)
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    stage = run.stage

    accepted = way(run.abort)
    resolution = await waiter

    assert (stage, accepted) == (PLACES[where], where not in TOO_LATE)
    assert path(run.trace)[-2:] == ["resolved", "dispose"]
    assert recorder.calls.count(("dispose",)) == 1
    if accepted:
        aborted = next(place for place, event in enumerate(run.trace) if event.kind is Kind.ABORT)
        halts = [(Kind.CALL, "abort_sandbox")] if stage in ("started", "waiting") else []
        assert [(e.kind, e.call) for e in run.trace[aborted + 1 :][: len(halts)]] == halts
        assert asyncio.get_running_loop().time() == 1 + 5  # cancel_grace
        assert "cancelled" in outcomes(run.trace, where).values()
        assert resolution.cause == "aborted: canceled"
    else:
        assert resolution.reason is not CANCELED


SIGNALLED = """
    import asyncio, os, signal
    from pathlib import Path

    from stagecall.lifecycle.limits import Limits
    from stagecall.testing.doubles import Bench, ScriptedEngine, ScriptedPlugin, path

    PLACES = {places}
    OF_ENGINE = {of_engine}
    LIMITS = Limits(cancel_grace=0.02, abandon_grace=5)


    async def aborted_at(bench, where):
        async def block(*arguments):
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.Event().wait()

        deeds, hooks = ({{where: block}}, {{}}) if where in OF_ENGINE else ({{}}, {{where: block}})
        run = bench(ScriptedPlugin(**hooks), engine=ScriptedEngine(deeds=deeds), limits=LIMITS)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, run.abort)
        resolution = await run.wait()
        aborts = [event.stage for event in run.trace if event.kind == "abort"]
        print(where, *aborts, resolution.cause, path(run.trace)[-1], sep=",")


    async def main():
        with Bench(Path.cwd()) as bench:
            for where in PLACES:
                await aborted_at(bench, where)


    asyncio.run(main())
"""


def run_program(program: str, folder: Path, **values: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of its own to its end, which has to come by itself."""
    text = textwrap.dedent(program).format(**values) if values else textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_abort_by_a_signal(tmp_path):
    """A signal that finds the run in any stage up to finished aborts it there, and dispose comes last."""
    places = {where: stage for where, stage in PLACES.items() if where not in TOO_LATE}

    ended = run_program(SIGNALLED, tmp_path, places=list(places), of_engine=OF_ENGINE)

    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        f"{where},{stage},aborted: canceled,dispose" for where, stage in places.items()
    ]


async def let_return(run: TaskRun, release: threading.Event) -> None:
    """Let the thread of an abandoned hook come back, and wait until it has."""
    loop: Any = asyncio.get_running_loop()
    late = asyncio.Event()
    run.observe(lambda event: late.set())
    release.set()
    loop.expect_again()
    await late.wait()


@virtual_time
async def test_abandoned_thread_is_named(make_run, monkeypatch):
    """Trace and worker's log name a `def` hook that did not end, and that its thread is left behind."""
    loop: Any = asyncio.get_running_loop()
    release = threading.Event()
    run = make_run(ScriptedPlugin("hung", started=lambda sandbox: hang(loop, release)))
    loop.call_later(1, run.abort)
    told: list[str] = []

    def keep(monitor: RecordingMonitor, error: BaseException, **fields: Any) -> str:
        told.append(str(error))
        return "incident"

    monkeypatch.setattr(RecordingMonitor, "report_error", keep)

    await run.wait()
    await let_return(run, release)

    assert [
        (event.plugin, event.call, event.get("outcome"), event.get("error"))
        for event in run.trace.of(Kind.RETURN)
        if event.get("outcome") == "abandoned"
    ] == [("hung", "started", "abandoned", "was cancelled and did not end")]
    assert told == [
        "started of plugin hung was cancelled and did not end: abandoned, its thread is left behind"
    ]


@virtual_time
async def test_overrun_that_is_abandoned_is_named(make_run):
    """A hook that overran its time and could not be cancelled is told as both, once."""
    loop: Any = asyncio.get_running_loop()
    release = threading.Event()
    run = make_run(ScriptedPlugin("hung", started=lambda sandbox: hang(loop, release)))

    resolution = await run.wait()
    await let_return(run, release)

    assert make_run.monitor.errors == [("HookTimeoutError", "started of plugin hung")]
    assert resolution.cause == (
        "started of plugin hung: HookTimeoutError: started of plugin hung overran its time and did not end: "
        "abandoned, its thread is left behind (incident incident-1)"
    )


HANGING = """
    import asyncio, logging, threading

    from stagecall import run_task_sync
    from stagecall.lifecycle.limits import Limits
    from stagecall.plugins import Plugin
    from stagecall.testing.doubles import ScriptedPlugin

    logging.getLogger("stagecall").addHandler(logging.StreamHandler())


    def hang(*arguments):
        threading.Event().wait()


    async def refuse(*arguments):
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass


    class Thread(Plugin):
        def new_task_plugin(self, options):
            hang()


    class Task(Plugin):
        async def new_task_plugin(self, options):
            await refuse()


    hooks = [ScriptedPlugin("t-" + name, **{{name: hang}}) for name in {hooks}]
    hooks += [ScriptedPlugin("c-" + name, **{{name: refuse}}) for name in {hooks}]
    limits = Limits(hook_timeout=0.1, abandon_grace=0.1, dispose_budget=0.1)
    plugins = [*hooks, *[{creations}]]
    resolution = run_task_sync({{"payload": {{"function": "true"}}}}, engine="mock", plugins=plugins, limits=limits)
    print(resolution.state, resolution.reason)
"""


@pytest.mark.parametrize(
    ("hooks", "creations", "abandoned"),
    [
        (
            ["dispose"],
            "Thread(), Task()",
            ["new_task_plugin of plugin thread", "new_task_plugin of plugin task"],
        ),
        (["started", "exception"], "", ["started of plugin t-started", "started of plugin c-started"]),
        (
            [],
            "Task()",
            ["new_task_plugin of plugin task"],
        ),  # no thread, or Python is too busy dying to complain
    ],
)
def test_program_ends_in_spite_of_what_hangs(tmp_path, hooks, creations, abandoned):
    """Neither a thread that hangs nor a coroutine that refuses to be cancelled holds up the end of the program."""
    ended = run_program(HANGING, tmp_path, hooks=hooks, creations=creations)

    assert (ended.stdout.strip(), ended.returncode) == ("exception internal-error", 0), ended.stderr
    for name in abandoned:
        assert f"{name} overran its time and did not end: abandoned" in ended.stderr
    assert "destroyed" not in ended.stderr


LATE = """
    import asyncio

    from stagecall import run_task_sync
    from stagecall.lifecycle.limits import Limits
    from stagecall.plugins import Plugin, TaskPlugin


    class Made(TaskPlugin):
        async def dispose(self):
            print("disposed", flush=True)


    class Late(Plugin):
        async def new_task_plugin(self, options):
            loop = asyncio.get_running_loop()
            made = loop.create_future()
            loop.call_later(0.9, made.set_result, Made())
            while not made.done():
                try:
                    await asyncio.wait([made])
                except asyncio.CancelledError:
                    pass
            return made.result()


    limits = Limits(hook_timeout=0.1, abandon_grace=0.5)
    print(run_task_sync({"payload": {"function": "true"}}, engine="mock", plugins=[Late()], limits=limits).reason)
"""


def test_what_comes_as_the_program_ends_is_disposed(tmp_path):
    """A program that ends gives an abandoned call a last moment: what that returns is disposed."""
    ended = run_program(LATE, tmp_path)

    assert ended.stdout.splitlines() == ["disposed", "internal-error"], ended.stderr


AT_THE_COMMAND_LINE = """
    import sys, threading

    from stagecall.plugins import Plugin, PluginProvider, TaskPlugin, register
    from stagecall.worker.cli import main


    class Hanging(TaskPlugin):
        def started(self, sandbox):
            threading.Event().wait()


    class HangingPlugin(Plugin):
        def new_task_plugin(self, options):
            return Hanging()


    class Provider(PluginProvider):
        def new_plugin(self, options):
            return HangingPlugin()


    register("hanging", Provider())
    sys.exit(main(sys.argv[1:]))
"""


def test_command_ends_in_spite_of_what_hangs(tmp_path):
    """`stagecall run` ends by itself, names the hook that it abandoned, and keeps the trace that tells it."""
    (tmp_path / "task.yml").write_text("payload: {function: 'true'}")
    config = {
        "engine": "mock",
        "plugins": {"hanging": {}},
        "limits": {"hookTimeout": 0.2, "abandonGrace": 0.1},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))

    ended = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(AT_THE_COMMAND_LINE)),
            *("run", "task.yml", "--config", "config.yml", "--out", "out"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 4
    assert (
        "started of plugin hanging overran its time and did not end: abandoned, its thread is left behind"
        in ended.stderr
    )
    events = json.loads((tmp_path / "out" / "run.json").read_text())["events"]
    assert [(event["plugin"], event["call"]) for event in events if event.get("outcome") == "abandoned"] == [
        ("hanging", "started")
    ]
