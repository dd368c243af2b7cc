"""How fast a task's output gets into its log."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.measure import Sample, take_turns
from bench.surroundings import SUCCESS, complete, definition, runtime_of
from stagecall.lifecycle.limits import Limits
from stagecall.worker.runtime import Runtime

MB = 1_000_000
PIPE_BYTES = 1_048_576


LINE = "[ 57%] Building CXX object src/CMakeFiles/engine.dir/parser/expression_visitor.cpp.o"
SECRETS = (
    b"ghp_n0tAT0kenAtA11ButOfItsLength0123",
    b"correct horse battery staple",
    b"AKIDEXAMPLE0SECRET0KEY",
)


async def to_log(effort: Effort) -> Result:
    """Megabytes per second from a task's stdout into the task log, from the run's begin to its end."""
    if sys.platform != "linux":
        raise UnavailableError("the floor needs splice, which only Linux has")
    size = effort.of(512, 4) * MB
    writer = ["head", "-c", str(size), "/dev/zero"]
    async with _runtime() as runtime:
        series = await take_turns(
            {
                "run": _run_speed(runtime, writer, size),
                "splice": _speed(_splice, writer, size),
                "cat": _speed(_cat, writer, size),
            },
            effort.of(5, 1),
        )
    return Result.of(
        series["run"],
        "a bare pipe and splice, in a thread that does nothing else",
        series["splice"],
        "MB/s",
        (Figure("the same through `cat >file`", series["cat"].median, "MB/s"),),
    )


async def masked(effort: Effort) -> Result:
    """Megabytes per second of text into a log that shows none of three secrets."""
    size = effort.of(512, 4) * MB
    writer = ["sh", "-c", f"yes '{LINE}' | head -c {size}"]
    async with _runtime() as plain, _runtime(secrets=SECRETS) as runtime:
        series = await take_turns(
            {
                "run": _run_speed(runtime, writer, size),
                "plain": _run_speed(plain, writer, size),
                "cat": _speed(_cat, writer, size),
            },
            effort.of(5, 1),
        )
    beside = (Figure("the same without secrets", series["plain"].median, "MB/s"),)
    return Result.of(series["run"], "the same through `cat >file`", series["cat"], "MB/s", beside)


async def limited(effort: Effort) -> Result:
    """Megabytes per second that a task writes of which its log takes only the first MiB."""
    size = effort.of(512, 4) * MB
    writer = ["head", "-c", str(size), "/dev/zero"]
    async with _runtime(limits=Limits(max_log_bytes=PIPE_BYTES)) as runtime:
        series = await take_turns(
            {"run": _run_speed(runtime, writer, size), "cat": _speed(_discard, writer, size)},
            effort.of(5, 1),
        )
    return Result.of(series["run"], "the same through `cat >/dev/null`", series["cat"], "MB/s")


def _runtime(**options: Any) -> AbstractAsyncContextManager[Runtime]:
    return runtime_of("process", SUCCESS, {"containment": "none"}, **options)


def _run_speed(runtime: Runtime, writer: Sequence[str], size: int) -> Sample:
    task = definition({"command": list(writer)})

    async def sample() -> float:
        start = time.perf_counter()
        await complete(runtime, task)
        return size / MB / (time.perf_counter() - start)

    return sample


def _speed(work: Callable[[Sequence[str], Path], None], writer: Sequence[str], size: int) -> Sample:
    async def sample() -> float:
        with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
            start = time.perf_counter()
            await asyncio.to_thread(work, writer, Path(folder) / "output")
            return size / MB / (time.perf_counter() - start)

    return sample


def _splice(command: Sequence[str], path: Path) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, path.open("wb") as file:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        while os.splice(pipe, file.fileno(), PIPE_BYTES):
            pass


def _cat(command: Sequence[str], path: Path) -> None:
    with (
        path.open("wb") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE) as writer,
        subprocess.Popen(["cat"], stdin=writer.stdout, stdout=file),
    ):
        assert writer.stdout is not None
        writer.stdout.close()


def _discard(command: Sequence[str], path: Path) -> None:
    _cat(command, Path(os.devnull))
