"""Tasks per second on the process engine: what the lifecycle leaves of the speed at which this machine starts
processes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.measure import Sample, rate_of, take_turns
from bench.surroundings import SUCCESS, complete, definition, runtime_of
from stagecall.lifecycle.errors import ConfigurationError

TRUE = "/bin/true"
SHELL = "/bin/sh"
KINDS = ("cgroup", "marker")
GATE = 'read -r GATE || exit 1; exec "$@"'


async def uncontained_one(effort: Effort) -> Result:
    """Tasks per second, one after another, containment none."""
    return await _uncontained(effort, 1)


async def uncontained_four(effort: Effort) -> Result:
    """Tasks per second, four at once, containment none."""
    return await _uncontained(effort, 4)


async def contained_one(effort: Effort) -> Result:
    """Tasks per second, one after another, in the best containment there is."""
    return await _contained(effort, 1)


async def contained_four(effort: Effort) -> Result:
    """Tasks per second, four at once, in the best containment there is."""
    return await _contained(effort, 4)


async def _uncontained(effort: Effort, at_once: int) -> Result:
    _check_pidfds()
    times, task = effort.of(200, 8), definition({"command": [TRUE]})
    of_engine = partial(runtime_of, "process", SUCCESS, {"containment": "none"})
    async with of_engine(in_memory=True) as runtime, of_engine() as on_disk:
        series = await take_turns(
            {
                "run": rate_of(lambda: complete(runtime, task), times, at_once),
                "on disk": rate_of(lambda: complete(on_disk, task), times, at_once),
                "bare": rate_of(_bare, times, at_once),
                "asyncio": rate_of(_asyncio, times, at_once),
            },
            effort.rounds,
        )
    return Result.of(
        series["run"],
        "bare Popen and pidfd",
        series["bare"],
        "/s",
        (
            Figure(
                "the same, its folders where the system has temporary files", series["on disk"].median, "/s"
            ),
            Figure("asyncio's own create_subprocess_exec", series["asyncio"].median, "/s"),
        ),
    )


async def _contained(effort: Effort, at_once: int) -> Result:
    _check_pidfds()
    times, task = effort.of(100, 4), definition({"command": [TRUE]})
    async with AsyncExitStack() as stack:
        samples: dict[str, Sample] = {}
        for kind in KINDS:
            with suppress(ConfigurationError):
                made = runtime_of("process", SUCCESS, {"containment": kind}, in_memory=True)
                runtime = await stack.enter_async_context(made)
                samples[kind] = rate_of(partial(complete, runtime, task), times, at_once)
        if not samples:
            raise UnavailableError("tasks can be contained neither by control groups nor by markers here")
        best, *others = samples
        bare = {
            "trampoline": rate_of(_trampoline, times, at_once),
            "python": rate_of(_python, times, at_once),
        }
        series = await take_turns(samples | bare, effort.rounds)
    beside = [
        Figure(f"containment {best}: the figure of this row", series[best].median, "/s"),
        *(Figure(f"containment {kind}", series[kind].median, "/s") for kind in others),
        Figure(
            "bare starts of python -I -S, which is what supervises a marked task",
            series["python"].median,
            "/s",
        ),
    ]
    floor = "a bare trampoline: /bin/sh waits for a line, then becomes the command"
    return Result.of(series[best], floor, series["trampoline"], "/s", tuple(beside))


def _check_pidfds() -> None:
    if not hasattr(os, "pidfd_open"):
        raise UnavailableError("the floor needs pidfds, which only Linux has")


async def _bare() -> None:
    await _ended(_popen([TRUE], subprocess.DEVNULL))


async def _trampoline() -> None:
    process = _popen([SHELL, "-c", GATE, SHELL, TRUE], subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    await _ended(process)


async def _python() -> None:
    await _ended(_popen([sys.executable, "-I", "-S", "-c", ""], subprocess.DEVNULL))


def _popen(words: list[str], stdin: int) -> subprocess.Popen[bytes]:
    null = subprocess.DEVNULL
    return subprocess.Popen(words, stdin=stdin, stdout=null, stderr=null, start_new_session=True)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    exited = loop.create_future()
    loop.add_reader(descriptor, exited.set_result, None)
    await exited
    loop.remove_reader(descriptor)
    os.close(descriptor)
    if process.wait() != 0:
        raise RuntimeError(f"{process.args!r} exited with code {process.returncode}")


async def _asyncio() -> None:
    null = subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        TRUE, stdin=null, stdout=null, stderr=null, start_new_session=True
    )
    await process.wait()
