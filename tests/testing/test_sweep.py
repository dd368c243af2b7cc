"""The sweep finds every point where a scenario can be cancelled, and what a run loses there."""

import asyncio
import os

import pytest

from stagecall import run_task
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.testing.doubles import Bench, HookRecorder, ScriptedEngine, ScriptedPlugin
from stagecall.testing.sweep import Ended, Interruption, Moment, SweepFailedError, sweep
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.runtime import Runtime
from stagecall.worker.task_run import TaskRun


async def pause(*arguments):
    """What a hook does that takes its time."""
    await asyncio.sleep(1)
    return True


def _give(future, value):
    """What a timer does to a future that may have been cancelled."""
    if not future.done():
        future.set_result(value)


HOOKS = ("build_sandbox", "started", "stopped", "finished", "exception", "dispose")


def scenario_of(make_run, **hooks):
    """A scenario: a run of two plugins that are busy in every stage, the second one after the first."""

    async def scenario():
        busy = dict.fromkeys(HOOKS, pause) | hooks
        first, second = ScriptedPlugin("first", **busy), ScriptedPlugin("second", after=["first"], **busy)
        return await make_run(HookRecorder(), first, second).wait()

    return scenario


@pytest.mark.parametrize("interruption", Interruption)
@pytest.mark.parametrize("every_task", [False, True])
@virtual_time
async def test_the_driver_keeps_all_rules_at_every_point(make_run, interruption, every_task):
    """Cancelled or aborted wherever a task can be, a run keeps every rule and leaves nothing behind."""
    report = await sweep(scenario_of(make_run), interruption=interruption, every_task=every_task)

    assert (report.bad, report.missed) == ([], [])
    assert report.points >= (45 if every_task else 12)
    assert len(report.outcomes) >= report.points
    ended = {outcome.ended for outcome in report.outcomes}
    if not every_task:
        assert ended == {Ended.RETURNED if interruption is Interruption.ABORT else Ended.CANCELLED}


@virtual_time
async def test_an_abort_decides_until_the_outcome_is_final(make_run):
    """Aborted at a point before the resolution, the run is canceled; at one behind it, the resolution stays."""
    report = await sweep(scenario_of(make_run), interruption="abort")

    late = {outcome.point.stage: outcome.value.state for outcome in report.outcomes if outcome.value.success}
    early = {outcome.value.reason for outcome in report.outcomes if not outcome.value.success}
    assert (set(late), early) == ({"dispose"}, {ExceptionReason.CANCELED})


@virtual_time
async def test_a_stray_cancellation_of_a_hook_is_a_defect(make_run):
    """Where only a hook's task is cancelled, by a stranger, the run becomes an internal error, and is disposed."""
    report = await sweep(scenario_of(make_run), every_task=True)

    of_hook = [
        outcome
        for outcome in report.outcomes
        if outcome.point.task == "started of plugin first" and outcome.point.waits
    ]
    assert [(outcome.moment, outcome.value.reason) for outcome in of_hook] == [
        (Moment.SUSPENDED, ExceptionReason.INTERNAL_ERROR),
        (Moment.WOKEN, ExceptionReason.INTERNAL_ERROR),
    ]


@virtual_time
async def test_points_are_the_suspensions_of_the_scenario():
    """Each time the scenario's task stops counts once, and the report says where in the code that was."""

    async def inner(future):
        await asyncio.sleep(0)
        await future

    async def scenario():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, _give, future, None)
        await inner(future)
        await asyncio.sleep(1)

    report = await sweep(scenario)

    first = inner.__code__.co_firstlineno
    places = [outcome.point.where.partition(" ")[0].rpartition("/")[2] for outcome in report.outcomes]
    moments = [(outcome.point.number, outcome.moment.value) for outcome in report.outcomes]
    assert report.points == 3
    assert moments == [(1, "suspended"), (2, "suspended"), (2, "woken"), (3, "suspended"), (3, "woken")]
    assert places == [f"test_sweep.py:{first + line}" for line in (1, 2, 2, 8, 8)]
    assert [outcome.point.where.count(" < ") for outcome in report.outcomes] == [1, 1, 1, 0, 0]


@virtual_time
async def test_woken_is_when_the_result_has_come():
    """The second moment finds code that loses what it was just given; the first does not."""
    lost = []

    async def scenario():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(1, _give, future, "a lease")
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                lost.append(future.result())
            raise

    await sweep(scenario, moments=[Moment.SUSPENDED])
    early = list(lost)
    await sweep(scenario, moments=[Moment.WOKEN])

    assert (early, lost) == ([], ["a lease"])


class Unshielded(TaskRun):
    """Gives up where it stands when the task that drives it is cancelled."""

    def interrupted(self, error):
        raise error


class Forgetful(TaskRun):
    """Skips the plugins' dispose when it was cancelled."""

    async def dispose(self):
        if self.aborted is not None:
            self.participants.clear()
        await super().dispose()


@pytest.mark.parametrize(
    ("broken", "rule"), [(Unshielded, "rule 3 (dispose-last)"), (Forgetful, "rule 7 (disposed-once)")]
)
@virtual_time
async def test_a_driver_that_loses_its_dispose_is_convicted(make_run, monkeypatch, broken, rule):
    """A run that breaks a rule at some point fails the sweep, which names the points and the rule."""
    make_run.broken_on_purpose = True
    monkeypatch.setattr("stagecall.worker.runtime.TaskRun", broken)

    with pytest.raises(SweepFailedError, match="went wrong") as caught:
        await sweep(scenario_of(make_run))

    report = caught.value.report
    assert {outcome.point.stage for outcome in report.bad} >= {"build", "started", "stopped"}
    assert all(rule in " ".join(outcome.broken) for outcome in report.bad if outcome.point.stage == "started")
    assert "point " in str(caught.value)
    assert rule in str(caught.value)


@virtual_time
async def test_a_run_that_never_ends_has_lost_its_dispose(make_run):
    """A scenario that is cancelled while nobody waits for its run any more is told that dispose is missing."""
    make_run.broken_on_purpose = True

    async def scenario():
        run = make_run(engine=ScriptedEngine(holds=True))
        waiter = asyncio.create_task(run.wait(), name="waiter")
        await asyncio.sleep(1)
        run.sandbox.finish()
        await waiter

    report = await sweep(scenario, check=False)

    first = report.bad[0]
    assert (first.point.number, first.ended) == (1, Ended.CANCELLED)
    assert any(line.startswith("rule 3 (dispose-last)") for line in first.broken)
    assert first.leaked == ("left behind: task wait_for_result", "left behind: task waiter")


@virtual_time
async def test_what_is_wrong_with_a_scenario_itself():
    """Swallowing the cancellation, raising something else, leaving a task and hanging are told apart."""
    kept = []

    async def swallows():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "nothing happened"

    async def raises():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise OSError("no disk") from None

    async def leaves():
        kept.append(asyncio.create_task(asyncio.sleep(1000), name="forgotten"))
        await asyncio.sleep(1)
        kept.pop().cancel()

    async def hangs():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.sleep(1_000_000)

    async def complains():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_soon([].pop)
            raise

    scenarios = [swallows, raises, leaves, hangs, complains]
    reports = [await sweep(scenario, moments=[Moment.SUSPENDED], check=False) for scenario in scenarios]

    faults = [outcome.faults for report in reports for outcome in report.outcomes]
    assert faults[:4] == [
        ["the cancellation was swallowed: the scenario returned 'nothing happened'"],
        ["the scenario raised OSError: no disk"],
        ["left behind: task forgotten"],
        ["the scenario did not end"],
    ]
    assert faults[4][0].endswith("IndexError: pop from empty list")


@virtual_time
async def test_what_a_cancelled_scenario_holds_on_to(tmp_path):
    """A file that is not closed where a scenario is cancelled is named, and so is one that stays in a folder."""
    opened = []

    async def scenario():
        path = tmp_path / "part"
        path.touch()
        opened.append(open(path))  # noqa: ASYNC230, SIM115 (that it stays open is the point)
        await asyncio.sleep(1)
        opened.pop().close()
        path.unlink()

    report = await sweep(scenario, moments=[Moment.SUSPENDED], roots=[tmp_path], check=False)
    opened.pop().close()

    leaked = report.outcomes[0].leaked
    assert len(leaked) == 2
    assert leaked[0].startswith("left behind: descriptor ")
    assert leaked[1] == f"left behind: file {tmp_path / 'part'}"


@virtual_time
async def test_allowed_errors_are_no_fault():
    """What an interrupted scenario may raise can be said."""

    async def scenario():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise OSError("no disk") from None

    report = await sweep(scenario, allowed=(OSError,))

    assert [outcome.ended for outcome in report.outcomes] == [Ended.RAISED] * 2


@virtual_time
async def test_an_undisturbed_scenario_that_fails_fails_the_sweep():
    """What a scenario raises by itself comes out as it is; nothing is swept."""

    async def scenario():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sweep(scenario)


@virtual_time
async def test_limit_draws_points_by_seed():
    """With a limit so many points are tried, the same ones for the same seed."""

    async def scenario():
        for _ in range(100):
            await asyncio.sleep(1)

    first, again, other = [await sweep(scenario, limit=7, seed=seed) for seed in (1, 1, 2)]

    numbers = [sorted({o.point.number for o in report.outcomes}) for report in (first, again, other)]
    assert (first.points, len(numbers[0])) == (100, 7)
    assert numbers[0] == numbers[1] != numbers[2]


@virtual_time
async def test_points_that_are_not_reached_again_are_told():
    """A scenario that is shorter the second time misses points, which is said and no failure."""
    lengths = iter([3, 1, 1, 1])

    async def scenario():
        for _ in range(next(lengths)):
            await asyncio.sleep(0)

    report = await sweep(scenario)

    assert [outcome.point.number for outcome in report.missed] == [2, 3]
    assert "2 of them not reached again" in str(report)


async def test_sweep_of_real_processes(tmp_path):
    """On a real loop the process engine with the default plugins is swept, and no folder of a run stays."""
    more = bool(os.environ.get("STAGECALL_CI"))

    async def scenario():
        with Bench(tmp_path) as bench:
            runtime = await Runtime.create("process", environment=bench.environment, strict=True)
            async with runtime:
                return await runtime.new_run({"payload": {"command": ["sleep", "0.02"]}}).wait()

    report = await sweep(scenario, limit=None if more else 4, seed=os.getpid())

    assert report.points >= 8
    assert report.bad == []
    assert os.listdir(tmp_path) == []


@virtual_time
async def test_sweep_of_the_default_plugins_on_the_mock_engine():
    """Every task of a run with the default plugins is cancelled at every point, and each run keeps all rules."""

    async def scenario():
        payload = {"function": "write-log", "argument": "hello", "delay": 20}
        return await run_task({"payload": payload}, engine="mock")

    report = await sweep(scenario, every_task=True, limit=None if os.environ.get("STAGECALL_CI") else 40)

    assert report.points >= 20
    assert report.bad == []


@pytest.mark.soak
@pytest.mark.parametrize("interruption", Interruption)
async def test_sweep_of_every_task_of_real_processes(tmp_path, interruption):
    """Every task of a run on the process engine with the default plugins, at every point: nothing is left of it."""

    async def scenario():
        with Bench(tmp_path) as bench:
            runtime = await Runtime.create("process", environment=bench.environment, strict=True)
            async with runtime:
                command = ["sh", "-c", "echo hello > out; sleep 0.02"]
                return await runtime.new_run({"payload": {"command": command}}).wait()

    report = await sweep(scenario, interruption=interruption, every_task=True, roots=[tmp_path])

    print(f"{interruption.value}: {report}")
    assert report.points >= 20
