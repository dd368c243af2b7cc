"""One of wait, kill and abort wins, and all say so."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.engines.errors import SandboxAbortedError, SandboxTerminatedError
from stagecall.lifecycle.errors import FatalInternalError

from .mock_support import BOUND, House, turn_loop

FOREVER = 300_000


async def outcome(call, turns=0, cancel=False):
    """Return what an operation gives or raises, begun after some turns of the loop."""
    await turn_loop(turns)
    task = asyncio.ensure_future(call())
    await asyncio.sleep(0)
    if cancel:
        task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    return task.exception() or task.result()


async def test_waiting_twice_gives_the_same_result_set(tmp_path):
    """However many wait, together or one after the other, there is one result set."""
    sandbox = await House(tmp_path).sandbox(delay=1)

    together = await asyncio.gather(*(sandbox.wait_for_result() for _ in range(3)))
    after = await sandbox.wait_for_result()

    assert {id(result) for result in together} == {id(after)}


async def test_killed_task_has_failed(tmp_path):
    """All who wait get the same result set, which says that the task failed."""
    sandbox = await House(tmp_path).sandbox(delay=FOREVER)
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()

    await sandbox.kill()
    await sandbox.kill()

    assert await waiting is await sandbox.wait_for_result()
    assert (await waiting).success is False
    with pytest.raises(SandboxTerminatedError):
        await sandbox.abort()


async def test_aborted_task_has_no_result(tmp_path):
    """All who wait, and who kill it later, hear that it was aborted; aborting again does nothing."""
    sandbox = await House(tmp_path).sandbox(delay=FOREVER)
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()

    await sandbox.abort()
    await sandbox.abort()

    for call in (lambda: waiting, sandbox.wait_for_result, sandbox.kill):
        with pytest.raises(SandboxAbortedError):
            await call()


async def test_ended_task_can_be_killed_in_vain_but_not_aborted(tmp_path):
    """A result that is there stays."""
    sandbox = await House(tmp_path).sandbox()
    result = await sandbox.wait_for_result()

    await sandbox.kill()
    with pytest.raises(SandboxTerminatedError):
        await sandbox.abort()

    assert await sandbox.wait_for_result() is result
    assert result.success is True


async def test_task_that_met_an_error_has_ended(tmp_path):
    """An error is an end as good as any: nothing is left to abort, and the error stays."""
    sandbox = await House(tmp_path).sandbox(function="fatal-internal-error", delay=1)
    with pytest.raises(FatalInternalError):
        await sandbox.wait_for_result()

    await sandbox.kill()
    with pytest.raises(SandboxTerminatedError):
        await sandbox.abort()

    with pytest.raises(FatalInternalError):
        await sandbox.wait_for_result()


@pytest.mark.parametrize("payload", [{}, {"delay": 1}, {"function": "write-log-sleep", "delay": 1}])
async def test_cancelled_wait_leaves_the_result_for_the_next(tmp_path, payload):
    """Cancelling one who waits ends that wait, not the task."""
    sandbox = await House(tmp_path).sandbox(**payload)
    first = asyncio.create_task(sandbox.wait_for_result())
    first.cancel()
    second = asyncio.create_task(sandbox.wait_for_result())
    third = asyncio.create_task(sandbox.wait_for_result())
    await asyncio.sleep(0)
    second.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait([second])

    assert (await third).success is True


async def test_task_without_delay_runs_until_it_is_waited_for(tmp_path):
    """What comes between start and wait finds the sandbox running, every time."""
    house = House(tmp_path)
    sandbox = await house.sandbox(function="write-log", argument="done")
    await turn_loop()

    shell = await sandbox.new_shell(["exit-false"], tty=False)
    await shell.wait()
    before = house.logs[0].size
    result = await sandbox.wait_for_result()

    assert before == 0
    assert (result.success, house.log()) == (True, "done\n")


@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_task_ended_before_its_time_does_nothing_more(tmp_path, end):
    """Neither a delay nor a wait runs the function once the outcome stands."""
    house = House(tmp_path)
    sandboxes = [await house.sandbox(function="write-log", argument="never", delay=delay) for delay in (0, 1)]

    for sandbox in sandboxes:
        await getattr(sandbox, end)()
    said = [await outcome(sandbox.wait_for_result) for sandbox in sandboxes]
    await house.result(delay=2)  # until after the delay of the second

    assert [log.size for log in house.logs] == [0, 0, 0]
    assert all(isinstance(what, SandboxAbortedError) or what.success is False for what in said)


@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_ending_a_task_waits_for_its_work(tmp_path, end):
    """When kill or abort returns, nothing of the task runs any more."""
    sandbox = await House(tmp_path).sandbox(function="write-log-sleep", delay=FOREVER)

    await getattr(sandbox, end)()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_work_cancelled_from_outside_counts_as_aborted(tmp_path):
    """Somebody who cancels all tasks of the loop leaves no wait hanging."""
    sandbox = await House(tmp_path).sandbox(function="write-log-sleep", delay=FOREVER)
    (work,) = asyncio.all_tasks() - {asyncio.current_task()}

    work.cancel()

    with pytest.raises(SandboxAbortedError):
        await asyncio.wait_for(sandbox.wait_for_result(), BOUND)


async def test_ended_sandbox_takes_no_visitors(tmp_path):
    """No shell or display can be opened in a sandbox that has ended, and the error says how it did."""
    house = House(tmp_path)
    ended, aborted = await house.sandbox(), await house.sandbox()
    await ended.wait_for_result()
    await aborted.abort()

    for sandbox, error in ((ended, SandboxTerminatedError), (aborted, SandboxAbortedError)):
        for call in (
            sandbox.new_shell([], tty=False),
            sandbox.list_displays(),
            sandbox.open_display("MockDisplay"),
        ):
            with pytest.raises(error):
                await call


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["wait", "kill", "abort", "cancelled wait"]), st.integers(0, 4)),
    min_size=1,
    max_size=8,
)
PAYLOADS = st.fixed_dictionaries(
    {
        "function": st.sampled_from(
            ["true", "false", "write-log-sleep", "fatal-internal-error", "stopNow-sleep"]
        ),
        "delay": st.sampled_from([0, 1, FOREVER]),
    }
)


async def race(folder, payload, operations):
    """Run operations side by side; return the name of each with what it said, and what a last wait says."""
    house = House(folder)
    sandbox = await house.sandbox(**payload)
    calls = {"wait": sandbox.wait_for_result, "kill": sandbox.kill, "abort": sandbox.abort}
    async with asyncio.timeout(BOUND):
        heard = await asyncio.gather(
            *(
                outcome(calls[name.split()[-1]], turns, cancel=name.startswith("cancelled"))
                for name, turns in operations
            )
        )
        last = await outcome(sandbox.wait_for_result)
    return [(name, said) for (name, _), said in zip(operations, heard, strict=True)], last


@given(payload=PAYLOADS, operations=OPERATIONS)
def test_any_order_of_wait_kill_and_abort_has_one_winner(tmp_path_factory, payload, operations):
    """Whoever comes first decides, and all hear the same: a result, an error, or that it was aborted."""
    operations = [*operations, ("kill", 20)]  # after the others, so that every example ends

    said, last = asyncio.run(race(tmp_path_factory.getbasetemp(), payload, operations))

    aborted = isinstance(last, SandboxAbortedError)
    for name, heard in said:
        if name == "wait":
            assert heard is last
        elif name == "cancelled wait":
            assert heard == "cancelled" or heard is last
        elif name == "kill":
            assert isinstance(heard, SandboxAbortedError) if aborted else heard is None
        else:
            assert heard is None if aborted else isinstance(heard, SandboxTerminatedError)
