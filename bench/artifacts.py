"""What the artifacts of a task cost from end to end: how fast small files are stored, what a run holds of each."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from bench.effort import Effort
from bench.figures import Result
from bench.forks import in_fork
from bench.measure import Sample, Series, take_turns
from bench.surroundings import MEMORY
from stagecall.lifecycle.surroundings import Artifact
from stagecall.specs.task import TaskInfo
from stagecall.specs.trace import Kind
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore
from stagecall.worker.task_run import TaskRun

SMALL = 4096
ARTIFACTS: dict[str, dict[str, Any]] = {"artifacts": {}}
MAKE = f'mkdir out; head -c "$(({SMALL} * $1))" /dev/zero | split -a 5 -b {SMALL} - out/'
"""A process for each file would take longer than all that is measured."""


async def directory(effort: Effort) -> Result:
    """Files per second of a directory that a task left, into a folder, digests and all."""
    count = effort.of(2000, 20)
    below = MEMORY if os.access(MEMORY, os.W_OK) else None  # a disk would be all that is measured
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-", dir=below) as place:
        folder = Path(place)
        series = await take_turns(
            {"run": _directory(folder, count), "copy": _copies(folder, count)}, effort.of(5, 1)
        )
    return Result.of(series["run"], "a loop that copies each with its digest", series["copy"], "/s")


def held(effort: Effort) -> Result:
    """Python memory that a run holds of each artifact it has stored."""
    count, rounds = effort.of(20_000, 200), effort.of(3, 1)
    runs = Series(tuple(in_fork(partial(_held, count))["run"] for _ in range(rounds)))
    bare = Series(tuple(in_fork(partial(_held, count))["bare"] for _ in range(rounds)))
    return Result.of(runs, "the artifact itself, with name and digest", bare, "B")


def _directory(folder: Path, count: int) -> Sample:
    async def sample() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            store = FolderStore(Path(place, "store"))
            async with (
                LocalEnvironment(store, root=Path(place)) as environment,
                await Runtime.create("process", ARTIFACTS, environment=environment) as runtime,
            ):
                listed = [{"type": "directory", "path": "out", "name": "public"}]
                payload = {"command": ["sh", "-c", MAKE, "sh", str(count)], "artifacts": listed}
                run = runtime.new_run({"payload": payload})
                await run.wait()
            return count / _seconds_in(run, "stopped")

    return sample


def _seconds_in(run: TaskRun, stage: str) -> float:
    moves = run.trace.of(Kind.MOVE)
    number = next(number for number, move in enumerate(moves) if move.stage == stage)
    return moves[number + 1].time - moves[number].time


def _copies(folder: Path, count: int) -> Sample:
    async def sample() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            top = Path(place)
            for number in range(count):
                (top / str(number)).write_bytes(bytes(SMALL))
            start = asyncio.get_running_loop().time()
            for number in range(count):
                data = (top / str(number)).read_bytes()
                hashlib.sha256(data).hexdigest()
                (top / f"{number}.copy").write_bytes(data)
            return count / (asyncio.get_running_loop().time() - start)

    return sample


class _Nowhere:
    """A store that completes artifacts as others do, and keeps nothing."""

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        return _completed(artifact)


def _completed(artifact: Artifact) -> Artifact:
    return attrs.evolve(artifact, bytes=SMALL, sha256=hashlib.sha256(artifact.name.encode()).hexdigest())


async def _held(count: int) -> dict[str, float]:
    async with (
        LocalEnvironment(_Nowhere()) as environment,
        await Runtime.create("mock", {}, environment=environment) as runtime,
    ):
        run = runtime.new_run({"payload": {}})
        tracemalloc.start(1)
        for number in range(count):
            await run.context.upload_artifact(f"public/{number:08}", b"")
        gc.collect()
        of_run = tracemalloc.get_traced_memory()[0]
        expires = run.info.expires
        kept = [_completed(Artifact(f"public/{n:08}", "object", "text/plain", expires)) for n in range(count)]
        of_both = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del kept
    return {"run": of_run / count, "bare": (of_both - of_run) / count}
