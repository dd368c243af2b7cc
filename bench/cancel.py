"""How long it takes from a cancellation until nothing of a task is alive."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.measure import take_turns
from bench.surroundings import SUCCESS, definition, runtime_of
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.worker.runtime import Runtime

PATIENCE = 60.0
TREE = "sleep 1000 & echo $!; sleep 1000 & echo $!; {detached} sleep 1000 & echo $!; echo $$; wait"
"""Four processes, which tell their numbers; the task's third child leaves for a session of its own."""
STUBBORN = f"trap '' TERM; {TREE}"
"""The same, deaf to SIGTERM, as what they start is too."""
PROCESSES = 4
GRACE = 0.5
"""The seconds that stubborn tasks get between SIGTERM and SIGKILL."""

Signal = Callable[[int], None]
"""Ends the process group of that number."""

KILLED = "a bare killpg of four processes"


async def to_death(effort: Effort) -> Result:
    """Seconds from `abort` until all processes of a task are dead, one of them in a session of its own."""
    return await _measure(effort, TREE, 5.0, _kill_group, KILLED)


async def to_death_journaled(effort: Effort) -> Result:
    """The same with a journal."""
    return await _measure(effort, TREE, 5.0, _kill_group, KILLED, journal=True)


async def to_forced_death(effort: Effort) -> Result:
    """The same for a task that ignores SIGTERM and is killed after its grace."""
    floor = f"killpg with SIGTERM and, {GRACE:g} s later, with SIGKILL"
    return await _measure(effort, STUBBORN, GRACE, _kill_group_late, floor)


async def _measure(
    effort: Effort, tree: str, grace: float, bare: Signal, floor: str, *, journal: bool = False
) -> Result:
    if not hasattr(os, "pidfd_open"):
        raise UnavailableError("the death of processes is seen through pidfds, which only Linux has")
    config = {"killGrace": grace}
    async with runtime_of("process", SUCCESS, config, journal=journal) as runtime:
        samples = {
            "run": partial(_cancel, runtime, tree),
            "bare": partial(_end, tree, bare),
        }
        series = await take_turns(samples, effort.rounds)
    return Result.of(series["run"], floor, series["bare"], "s", (Figure("processes", PROCESSES, ""),))


async def _cancel(runtime: Runtime, tree: str) -> float:
    run = runtime.new_run(definition({"command": ["/bin/sh", "-c", tree.format(detached="setsid")]}))
    over = asyncio.create_task(run.wait())
    told = b""
    while told.count(b"\n") < PROCESSES:
        async for piece in run.context.new_log_reader(len(told)):
            told += piece
            if told.count(b"\n") >= PROCESSES:
                break
    watched = [os.pidfd_open(int(number)) for number in told.split()]
    start = time.perf_counter()
    run.abort(ExceptionReason.CANCELED)
    await asyncio.to_thread(_wait, watched)
    seconds = time.perf_counter() - start
    await over
    return seconds


async def _end(tree: str, end: Signal) -> float:
    command = ["/bin/sh", "-c", tree.format(detached="")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as output:
        watched = [os.pidfd_open(int(output.readline())) for _ in range(PROCESSES)]
    start = time.perf_counter()
    await asyncio.to_thread(end, process.pid)
    await asyncio.to_thread(_wait, watched)
    seconds = time.perf_counter() - start
    process.wait()
    return seconds


def _kill_group(group: int) -> None:
    os.killpg(group, signal.SIGKILL)


def _kill_group_late(group: int) -> None:
    os.killpg(group, signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(group, signal.SIGKILL)


def _wait(watched: Sequence[int]) -> None:
    """Wait until the processes behind these pidfds are dead, and close them."""
    deadline = time.monotonic() + PATIENCE
    for descriptor in watched:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise RuntimeError(f"a process was still alive {PATIENCE:g} s after it was to die")
        os.close(descriptor)
