"""The plugin `maxruntime` ends tasks that run for too long, and leaves the others alone."""

import asyncio

import pytest

from stagecall.engines.errors import SandboxAbortedError
from stagecall.lifecycle.errors import ConfigurationError, ExceptionReason
from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.maxruntime import MaxRunTimePlugin, provider
from stagecall.plugins.success import provider as success
from stagecall.testing.chaos import Trial, assert_kept

from .plugin_support import StubEngine, StubSandbox, configured, run

TOO_LONG = "[stagecall:error] the task ran longer than its maxRunTime of 20ms and is killed"


def timers() -> list[asyncio.TimerHandle]:
    """The timers of this module's plugin that the loop still waits for."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled() and "maxruntime" in repr(timer)]


@pytest.mark.parametrize("engine", [StubEngine(endless=True), "mock"])
@pytest.mark.parametrize(("config", "payload"), [({"maxRunTime": 0.02}, {}), ({}, {"maxRunTime": "20 ms"})])
async def test_task_over_its_time_is_killed_and_has_failed(engine, config, payload):
    """The operator's limit and the author's do the same; the log says which it was, once."""
    wish = {"delay": 300_000} if engine == "mock" else {}

    seen = await run(engine, await configured(provider, **config), payload=payload | wish)

    assert seen.resolution == Resolution("failed")
    assert seen.log == [TOO_LONG]
    assert timers() == []


@pytest.mark.parametrize("payload", [{}, {"maxRunTime": "1 day 2 hours 3 minutes"}, {"maxRunTime": 93780}])
async def test_task_within_its_time_is_left_alone(payload):
    """A task that ends in time completes, and its timer is gone; so does one whose time nobody limits."""
    seen = await run(StubEngine(), await configured(provider), await configured(success), payload=payload)

    assert seen.resolution == Resolution("completed")
    assert seen.log == []
    assert timers() == []


async def test_aborted_task_leaves_no_timer():
    """An exception drops the timer as an end does."""
    plugin = await configured(provider, maxRunTime=3600)

    seen = await run(StubEngine(endless=True), plugin, abort_in="waiting")

    assert seen.resolution.reason is ExceptionReason.CANCELED
    assert timers() == []


@pytest.mark.parametrize("turns", range(15))
def test_timer_that_nobody_dropped_finds_the_run_over(turns):
    """A program in such a hurry that not even `exception` begins hears nothing of the timer when its time has come."""
    with Trial(plugins=lambda _: [MaxRunTimePlugin(longest=2.0)]) as trial:
        trial.wait()
        trial.turn(turns)

        trial.hurry()
        trial.cancel_everything()
        trial.hurry()
        trial.finish()

        assert_kept(trial)


async def test_engine_that_cannot_kill_aborts_the_task():
    """Without a kill that keeps the result the task is aborted, and resolved as by any missing feature."""
    engine = StubEngine(endless=True, can_kill=False)

    seen = await run(engine, await configured(provider, maxRunTime=0.02))

    assert engine.aborted
    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert "longer than its maxRunTime of 20ms, and the engine must abort it" in str(seen.resolution.cause)


async def test_kill_that_loses_to_an_abort_adds_no_error(monkeypatch):
    """A sandbox that somebody else aborted is not killed, and that is no error."""

    async def lose(sandbox):
        sandbox.engine.aborted = True
        sandbox.ended.set()
        raise SandboxAbortedError("aborted")

    monkeypatch.setattr(StubSandbox, "kill", lose)
    plugin = await configured(provider, maxRunTime=0.02)

    seen = await run(StubEngine(endless=True), plugin)

    assert "background:maxruntime" not in str(seen.resolution.cause)


@pytest.mark.parametrize("asked", [3601, "1 hour 1 second"])
async def test_payload_may_not_ask_for_more_than_the_operator_allows(asked):
    """The refusal names what was asked for and what is allowed, before there is a sandbox."""
    plugin = await configured(provider, maxRunTime="1 hour")

    seen = await run(StubEngine(), plugin, payload={"maxRunTime": asked})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert seen.log == [
        "[stagecall:error] payload.maxRunTime: 1h 1s is longer than "
        "the 1h that the worker's configuration allows"
    ]


async def test_payload_may_ask_for_exactly_what_the_operator_allows():
    """The limit itself is allowed."""
    plugin = await configured(provider, maxRunTime="1 hour")

    seen = await run(StubEngine(), plugin, payload={"maxRunTime": 3600})

    assert seen.resolution == Resolution("completed")


@pytest.mark.parametrize("asked", [0, "0 s", -1, "soon", "", "2 months", True, None, ["1 hour"]])
async def test_time_that_is_none_is_malformed(asked):
    """Zero, negative and unreadable times are refused with their path."""
    seen = await run(StubEngine(), await configured(provider), payload={"maxRunTime": asked})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert seen.log[0].startswith("[stagecall:error] payload.maxRunTime: ")


@pytest.mark.parametrize(
    ("choice", "payload", "problem"),
    [
        ("require", {}, "payload.maxRunTime: "),
        ("forbid", {"maxRunTime": 1}, "payload.maxRunTime: unknown property"),
        ("require", {"maxRunTime": 1}, None),
        ("allow", {}, None),
        ("forbid", {}, None),
    ],
)
async def test_operator_decides_whether_payloads_have_limits(choice, payload, problem):
    """`require` makes the property required, `forbid` makes it unknown, `allow` leaves the choice."""
    plugin = await configured(provider, maxRunTime="1 hour", perTaskLimit=choice)

    seen = await run(StubEngine(), plugin, payload=payload)

    if problem is None:
        assert seen.resolution == Resolution("completed")
    else:
        assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
        assert seen.log[0].startswith(f"[stagecall:error] {problem}")


@pytest.mark.parametrize(
    ("config", "problem"),
    [({"maxRunTime": 0}, "longer than 0 seconds"), ({"perTaskLimit": "forbid"}, "give it a maxRunTime")],
)
async def test_plugin_that_could_do_nothing_useful_is_refused(config, problem):
    """A limit of nothing, and no limit at all, are mistakes in the configuration."""
    with pytest.raises(ConfigurationError, match=problem):
        await configured(provider, **config)
