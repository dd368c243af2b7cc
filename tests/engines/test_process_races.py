"""One of wait, kill and abort wins, and all say so; a cancellation leaves nothing behind."""

import asyncio
import gc
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from stagecall.engines.errors import SandboxAbortedError, SandboxTerminatedError
from stagecall.engines.process.config import ContainmentKind

from .process_support import ALL_KINDS, BOUND, alive, descriptors, until, zombies


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_sandbox_that_has_ended_cannot_be_aborted(make_house, kind):
    """After the result was given abort says that it is too late, and kill does nothing."""
    house = await make_house(kind)
    run = await house.sh("exit 0")
    result = await run.result()

    await run.sandbox.kill()
    with pytest.raises(SandboxTerminatedError):
        await run.sandbox.abort()

    assert await run.result() is result
    assert result.success


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_an_aborted_sandbox_has_no_result(make_house, kind):
    """After an abort wait and kill say so, a second abort does nothing, and the folder is gone."""
    house = await make_house(kind)
    run = await house.sh("sleep 1000")

    await run.sandbox.abort()
    await run.sandbox.abort()

    for call in (run.sandbox.wait_for_result, run.sandbox.kill):
        with pytest.raises(SandboxAbortedError):
            await call()
    with pytest.raises(SandboxAbortedError):
        await run.sandbox.new_shell([], False)
    assert not run.folder.parent.exists()


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_those_who_wait_are_told_of_an_abort(make_house, kind):
    """Everybody who waits when the sandbox is aborted gets SandboxAbortedError, a kill under way too."""
    house = await make_house(kind, killGrace=0.2)
    run = await house.sh("trap '' TERM; echo ready; while :; do sleep 1000; done")
    await run.logged("ready")
    waiting = [asyncio.ensure_future(call()) for call in (run.sandbox.wait_for_result, run.sandbox.kill)]
    await asyncio.sleep(0)

    await run.sandbox.abort()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [SandboxAbortedError, SandboxAbortedError]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_killed_sandbox_has_failed_for_all_who_wait(make_house, kind):
    """A killed sandbox has no success, even if the task exits with 0 on SIGTERM; killing twice is once."""
    house = await make_house(kind, killGrace=BOUND)
    run = await house.sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    await run.logged("ready")
    waiting = asyncio.ensure_future(run.result())

    await asyncio.gather(run.sandbox.kill(), run.sandbox.kill())

    result = await waiting
    assert (result.success, result.exit.code) == (False, 0)
    with pytest.raises(SandboxTerminatedError):
        await run.sandbox.abort()


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_whenever_an_abort_meets_the_end_one_of_them_wins(make_house, kind):
    """An abort around the task's own end leaves no result, or comes too late; never both or neither."""
    house = await make_house(kind)
    outcomes = set()

    for number in range(8 if kind is ContainmentKind.MARKER else 25):
        run = await house.sh("exit 0")
        waiting = asyncio.ensure_future(run.result())
        for _ in range(number):
            await asyncio.sleep(0.0002)
        both: Any = await asyncio.gather(run.sandbox.abort(), waiting, return_exceptions=True)
        abort, wait = both
        aborted = abort is None and isinstance(wait, SandboxAbortedError)
        terminated = isinstance(abort, SandboxTerminatedError) and wait.success
        assert aborted != terminated, (abort, wait)
        outcomes.add(aborted)
        await run.sandbox.dispose()

    assert True in outcomes


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_start_that_is_cancelled_leaves_nothing(make_house, kind):
    """Whenever `start_sandbox` is cancelled, no process, folder or descriptor is left."""
    house = await make_house(kind)
    warm = await house.sh("true")
    await warm.result()
    await warm.sandbox.dispose()
    before = descriptors()
    cancelled = 0

    for number in range(6 if kind is ContainmentKind.MARKER else 20):
        run = await house.build({"command": ["sleep", "1000"]})
        starting = asyncio.ensure_future(run.builder.start_sandbox())
        for _ in range(number):
            await asyncio.sleep(0 if number < 10 else 0.0002)
        starting.cancel()
        try:
            sandbox = await starting
        except asyncio.CancelledError:
            cancelled += 1
        else:
            await sandbox.abort()
        assert not (run.owner.folder / "sandbox").exists()

    assert cancelled > 0
    assert alive(house.folder) == []
    assert zombies() == []
    assert set(descriptors()) == set(before)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_who_stops_waiting_changes_nothing(make_house, kind):
    """Cancelling `wait_for_result` or `kill` leaves what they began to go on."""
    house = await make_house(kind, killGrace=0.1)
    run = await house.sh("trap '' TERM; echo ready; while :; do sleep 1000; done")
    await run.logged("ready")

    for call in (run.sandbox.wait_for_result, run.sandbox.kill):
        waiting = asyncio.ensure_future(call())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])

    result = await run.result()
    assert not result.success
    await run.house.check_dead(run)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_dispose_ends_what_still_runs(make_house, kind):
    """A sandbox that is disposed without an end leaves nothing alive, and disposing it again does nothing."""
    house = await make_house(kind)
    run = await house.sh("sleep 1000 & sleep 1000")

    await run.sandbox.dispose()
    await run.sandbox.dispose()

    await run.house.check_dead(run)
    assert not run.folder.parent.exists()


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_program_that_drops_its_sandboxes_kills_them(make_house, kind, tmp_path):
    """When the loop is shut down with a sandbox under way, its processes are killed before that is done."""
    await make_house(kind)
    program = f"""
import asyncio, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from pathlib import Path
from process_support import House

async def main():
    house = await House.make(Path({str(tmp_path)!r}), {{"containment": {kind.value!r}, "killGrace": 1000}})
    run = await house.sh("trap '' TERM; echo ready; sleep 1000 & sleep 1000")
    await run.logged("ready")

asyncio.run(main())
"""

    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert alive(tmp_path) == []


async def test_no_error_is_left_that_nobody_retrieved(make_house, caplog):
    """A sandbox that nobody waited for does not complain when it is collected."""
    house = await make_house()
    aborted, disposed = [await house.sh("sleep 1000") for _ in range(2)]
    await aborted.sandbox.new_shell(["sleep", "1000"], False)
    await aborted.sandbox.abort()
    await disposed.sandbox.dispose()
    house.runs.clear()
    del aborted, disposed

    gc.collect()

    assert caplog.records == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_an_abort_is_quick(make_house, kind):
    """A task that heeds SIGTERM is dead long before its grace is over."""
    house = await make_house(kind, killGrace=BOUND)
    run = await house.sh("echo ready; sleep 1000")
    await run.logged("ready")
    began = time.monotonic()

    await run.sandbox.abort()

    assert time.monotonic() - began < BOUND / 3


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("method", ["abort", "dispose"])
async def test_an_abort_that_is_cancelled_kills_at_once(make_house, kind, method):
    """Who cancels the abort is in a hurry: a task that ignores SIGTERM is dead before its grace is over."""
    house = await make_house(kind, killGrace=10 * BOUND)
    run = await house.sh("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done")
    await run.logged("ready")
    ending = asyncio.ensure_future(getattr(run.sandbox, method)())
    await run.logged("asked")

    ending.cancel()
    await asyncio.wait([ending], timeout=BOUND)

    assert ending.cancelled()
    with pytest.raises(SandboxAbortedError):
        await run.sandbox.wait_for_result()
    await run.house.check_dead(run)


async def test_the_loop_runs_while_a_task_is_killed(make_house):
    """Nothing that waits for processes to die holds up the other runs of the loop."""
    house = await make_house(ContainmentKind.MARKER, killGrace=0.3)
    run = await house.sh("trap '' TERM; echo ready; while :; do sleep 1000; done")
    await run.logged("ready")
    killing = asyncio.ensure_future(run.sandbox.kill())
    turns = 0

    while not killing.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 20
    await until(lambda: not alive(run.owner.folder), "the end")


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_life_that_was_cancelled_before_it_began_is_lived_all_the_same(make_house, kind, monkeypatch):
    """When the loop is shut down in the moment of a start, whoever starts ends what it started."""
    house = await make_house(kind)
    run = await house.build({"command": ["sleep", "1000"]})
    lives = []
    create_task = asyncio.get_running_loop().create_task

    def cancelled_task(coro, **options):
        task = create_task(coro, **options)
        if options.get("name") == "process sandbox":
            task.cancel()
            lives.append(task)
            starting.cancel()
        return task

    monkeypatch.setattr(asyncio.get_running_loop(), "create_task", cancelled_task)
    starting = asyncio.ensure_future(run.builder.start_sandbox())

    await asyncio.wait([starting])

    assert (starting.cancelled(), [life.cancelled() for life in lives]) == (True, [True])
    await house.check_dead(run)
    assert zombies() == []
    assert not (run.owner.folder / "sandbox").exists()
