"""The cases that the reference tests on its mock engine: what each becomes, its hooks, and its way."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from stagecall.engines.base import EngineOptions
from stagecall.engines.mock import MockEngine, provider
from stagecall.lifecycle.errors import ExceptionReason, FatalInternalError, NonFatalInternalError
from stagecall.testing.doubles import Bench, HookRecorder, ScriptedPlugin, path
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.task_run import TaskRun

STAGES = ["prepare", "build", "start", "started", "waiting", "stopped", "finished"]
GIVEN_UP = ["exception", "resolved", "dispose"]
SANDBOX_HOOKS = [("build_sandbox",), ("started",)]


@attrs.frozen
class Record:
    """All that is to be known of a run that is over."""

    state: str
    reason: str | None
    calls: list[tuple[Any, ...]]
    path: list[str]
    stop_worker: bool = False

    @classmethod
    def of(cls, run: TaskRun, recorder: HookRecorder) -> "Record":
        assert run.resolution is not None
        reason = run.resolution.reason
        reason_text = None if reason is None else reason.value
        return cls(run.resolution.state, reason_text, recorder.calls, path(run.trace), run.stop_worker)


def ended(state: str) -> Record:
    """A run that took the main path."""
    calls = [*SANDBOX_HOOKS, ("stopped",), ("finished", state == "completed"), ("dispose",)]
    return Record(state, None, calls, [*STAGES, "resolved", "dispose"])


def given_up(reason: str, after: str, *, stop_worker: bool = False) -> Record:
    """A run that became an exception in the stage `after`."""
    stages = STAGES[: STAGES.index(after) + 1]
    met = {"prepare": 0, "build": 1, "start": 1}.get(after, 2)
    calls = [*SANDBOX_HOOKS[:met], ("exception", reason), ("dispose",)]
    return Record("exception", reason, calls, [*stages, *GIVEN_UP], stop_worker)


def mock_engine(bench: Bench) -> MockEngine:
    """Return the real mock engine."""
    engine = provider.new_engine(EngineOptions(bench.environment, bench.monitor, {}))
    assert isinstance(engine, MockEngine)
    return engine


BY_PAYLOAD = {
    "success": ({"function": "true"}, ended("completed")),
    "delay": ({"function": "true", "delay": 250}, ended("completed")),
    "failed": ({"function": "false"}, ended("failed")),
    "failed after a delay": ({"function": "false", "delay": 250}, ended("failed")),
    "malformed initial": (
        {"function": "malformed-payload-initial"},
        given_up("malformed-payload", "prepare"),
    ),
    "malformed after start": (
        {"function": "malformed-payload-after-start", "delay": 50},
        given_up("malformed-payload", "waiting"),
    ),
    "fatal from engine": (
        {"function": "fatal-internal-error"},
        given_up("internal-error", "waiting", stop_worker=True),
    ),
    "non-fatal from engine": ({"function": "nonfatal-internal-error"}, given_up("internal-error", "waiting")),
}


@pytest.mark.parametrize(("payload", "expected"), BY_PAYLOAD.values(), ids=BY_PAYLOAD)
@virtual_time
async def test_payload_decides(make_run, payload, expected):
    """What a task asks of the mock engine decides what the run becomes, and which hooks it meets."""

    recorder = HookRecorder()
    run = make_run(recorder, engine=mock_engine(make_run), payload=payload)

    resolution = await run.wait()

    assert resolution is run.resolution
    assert Record.of(run, recorder) == expected


@virtual_time
async def test_delay_is_waited_for(make_run):
    """A task with a delay takes that long, not more."""
    loop = asyncio.get_running_loop()
    run = make_run(engine=mock_engine(make_run), payload={"function": "true", "delay": 250})

    await run.wait()

    assert loop.time() == pytest.approx(0.25)


ERRORS: dict[str, tuple[Callable[[], Exception], bool]] = {
    "fatal": (lambda: FatalInternalError("the host is broken"), True),
    "non-fatal": (lambda: NonFatalInternalError("a hiccup"), False),
}


@pytest.mark.parametrize(("make_error", "stops"), ERRORS.values(), ids=ERRORS)
@virtual_time
async def test_plugin_raises_in_started(make_run, make_error, stops):
    """An internal error of a plugin's ends the run as internal-error; only a fatal one stops the worker."""

    async def started(sandbox: object) -> None:
        raise make_error()

    recorder = HookRecorder()
    plugins = [recorder, ScriptedPlugin("broken", started=started)]
    run = make_run(*plugins, engine=mock_engine(make_run), payload={"function": "true"})

    await run.wait()

    assert Record.of(run, recorder) == given_up("internal-error", "started", stop_worker=stops)
    assert run.non_fatal_errors == (not stops)


ABORTS = [(ExceptionReason.CANCELED, False), (ExceptionReason.WORKER_SHUTDOWN, True)]


@pytest.mark.parametrize(("reason", "stops"), ABORTS)
@virtual_time
async def test_abort_from_inside_started(make_run, reason, stops):
    """A hook may abort its own run: no later stage is entered, and the reason is the run's."""

    accepted = []

    async def started(sandbox: object) -> None:
        accepted.append(run.abort(reason))

    recorder = HookRecorder()
    plugins = [recorder, ScriptedPlugin("aborter", started=started)]
    run = make_run(*plugins, engine=mock_engine(make_run), payload={"function": "true", "delay": 60_000})

    await run.wait()

    assert accepted == [True]
    assert Record.of(run, recorder) == given_up(reason.value, "started", stop_worker=stops)


@pytest.mark.parametrize(("reason", "stops"), ABORTS)
@virtual_time
async def test_abort_from_waiting(make_run, reason, stops):
    """An abort while the sandbox runs ends it at once, without waiting for the task."""

    recorder = HookRecorder()
    run = make_run(recorder, engine=mock_engine(make_run), payload={"function": "true", "delay": 60_000})
    waiter = asyncio.create_task(run.wait())
    await asyncio.sleep(1)
    where = run.stage

    accepted = run.abort(reason)
    await waiter

    assert (where, accepted) == ("waiting", True)
    assert Record.of(run, recorder) == given_up(reason.value, "waiting", stop_worker=stops)
    assert asyncio.get_running_loop().time() == 1
