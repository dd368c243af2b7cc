"""How fast a task's output gets into its log."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.measure import Sample, take_turns
from bench.surroundings import SUCCESS, complete, definition, runtime_of

MB = 1_000_000
PIPE_BYTES = 1_048_576


async def to_log(effort: Effort) -> Result:
    """Megabytes per second from a task's stdout into the task log, from the run's begin to its end."""
    if sys.platform != "linux":
        raise UnavailableError("the floor needs splice, which only Linux has")
    size = effort.of(512, 4) * MB
    task = definition({"command": _writer(size)})
    async with runtime_of("process", SUCCESS, {"containment": "none"}) as runtime:

        async def log() -> float:
            start = time.perf_counter()
            await complete(runtime, task)
            return size / MB / (time.perf_counter() - start)

        series = await take_turns(
            {"run": log, "splice": _speed(_splice, size), "cat": _speed(_cat, size)}, effort.of(5, 1)
        )
    return Result.of(
        series["run"],
        "a bare pipe and splice, in a thread that does nothing else",
        series["splice"],
        "MB/s",
        (Figure("the same through `cat >file`", series["cat"].median, "MB/s"),),
    )


def _writer(size: int) -> list[str]:
    return ["head", "-c", str(size), "/dev/zero"]


def _speed(work: Callable[[int, Path], None], size: int) -> Sample:
    async def sample() -> float:
        with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
            start = time.perf_counter()
            await asyncio.to_thread(work, size, Path(folder) / "output")
            return size / MB / (time.perf_counter() - start)

    return sample


def _splice(size: int, path: Path) -> None:
    with subprocess.Popen(_writer(size), stdout=subprocess.PIPE) as process, path.open("wb") as file:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        while os.splice(pipe, file.fileno(), PIPE_BYTES):
            pass


def _cat(size: int, path: Path) -> None:
    with (
        path.open("wb") as file,
        subprocess.Popen(_writer(size), stdout=subprocess.PIPE) as writer,
        subprocess.Popen(["cat"], stdin=writer.stdout, stdout=file),
    ):
        assert writer.stdout is not None
        writer.stdout.close()
