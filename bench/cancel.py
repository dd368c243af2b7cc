"""How long it takes from a cancellation until nothing of a task is alive."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.measure import take_turns
from bench.surroundings import SUCCESS, definition, runtime_of
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.worker.runtime import Runtime

PATIENCE = 60.0
TREE = "sleep 1000 & echo $!; sleep 1000 & echo $!; {detached} sleep 1000 & echo $!; echo $$; wait"
"""Four processes, which tell their numbers; the task's third child leaves for a session of its own."""
PROCESSES = 4


async def to_death(effort: Effort) -> Result:
    """Seconds from `abort` until all processes of a task are dead, one of them in a session of its own."""
    if not hasattr(os, "pidfd_open"):
        raise UnavailableError("the death of processes is seen through pidfds, which only Linux has")
    async with runtime_of("process", SUCCESS) as runtime:
        series = await take_turns({"run": lambda: _cancel(runtime), "bare": _kill}, effort.rounds)
    return Result.of(
        series["run"],
        "a bare killpg of four processes",
        series["bare"],
        "s",
        (Figure("processes", PROCESSES, ""),),
    )


async def _cancel(runtime: Runtime) -> float:
    run = runtime.new_run(definition({"command": ["/bin/sh", "-c", TREE.format(detached="setsid")]}))
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


async def _kill() -> float:
    command = ["/bin/sh", "-c", TREE.format(detached="")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as output:
        watched = [os.pidfd_open(int(output.readline())) for _ in range(PROCESSES)]
    start = time.perf_counter()
    os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(_wait, watched)
    seconds = time.perf_counter() - start
    process.wait()
    return seconds


def _wait(watched: Sequence[int]) -> None:
    """Wait until the processes behind these pidfds are dead, and close them."""
    deadline = time.monotonic() + PATIENCE
    for descriptor in watched:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise RuntimeError(f"a process was still alive {PATIENCE:g} s after it was to die")
        os.close(descriptor)
