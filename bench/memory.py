"""Memory of runs: while ten thousand of them are in flight, and after they have ended."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.forks import in_fork
from bench.measure import Series
from bench.surroundings import MOCK_TASK, MOCK_TASK_OF_THREE, SUCCESS, THREE, complete, definition, runtime_of
from stagecall.worker.task_run import TaskRun

KB = 1000.0
LONG = {"delay": 300_000}
"""Longer than any measurement: these runs end by being aborted."""


def in_flight(effort: Effort) -> Result:
    """Resident memory per run that waits for its sandbox."""
    count, rounds = effort.of(10_000, 200), effort.of(3, 1)
    variants: Mapping[str, Callable[[bool], Awaitable[dict[str, float]]]] = {
        "success": partial(_hold_runs, count, SUCCESS, {**MOCK_TASK, **LONG}),
        "three": partial(_hold_runs, count, THREE, {**MOCK_TASK_OF_THREE, **LONG}),
        "bare": partial(_hold_tasks, count),
    }
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, hold in variants.items():
            measured[name].append(in_fork(partial(hold, False)))
    allocated = {name: in_fork(partial(hold, True))["allocated"] for name, hold in variants.items()}
    success, three, bare = (Series(tuple(one["resident"] for one in measured[name])) for name in variants)
    files = max(one["files"] for one in measured["success"] + measured["three"])
    folders = max(one["folders"] for one in measured["success"] + measured["three"])
    return Result.of(
        success,
        "a bare asyncio task that waits",
        bare,
        "KB",
        (
            Figure("of it allocated by Python (tracemalloc)", allocated["success"], "KB"),
            Figure("a bare task, by tracemalloc", allocated["bare"], "KB"),
            Figure("with success, env, maxruntime", three.median, "KB"),
            Figure("of it allocated by Python (tracemalloc)", allocated["three"], "KB"),
            Figure(f"open files of all {count:,} runs", files, ""),
            Figure(f"temporary files and folders of all {count:,} runs", folders, ""),
        ),
    )


def kept(effort: Effort) -> Result:
    """Python memory that is left of every finished run."""
    count, rounds = effort.of(8000, 50), effort.of(3, 1)
    variants = {"runs": _finish_runs, "tasks": _finish_tasks}
    measured: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, finish in variants.items():
            measured[name].append(in_fork(partial(finish, count))["kept"])
    runs, tasks = (Series(tuple(values)) for values in measured.values())
    bare = Figure("a bare asyncio task", tasks.median, "B")
    return Result(runs.median, runs.spread, bare, None)


async def _hold_runs(
    count: int, plugins: Mapping[str, Mapping[str, Any]], payload: Mapping[str, Any], traced: bool
) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(runtime_of("mock", plugins))
        root = runtime.environment.temporary_folder("probe-").parent.parent
        before_folders = _entries(root)
        task = definition(payload)
        await _abort([runtime.new_run(task)])  # whatever is only made once
        runs: list[TaskRun] = []
        async with _Growth(count, traced) as growth:
            runs += [runtime.new_run(definition({**payload})) for _ in range(count)]
            tasks = [asyncio.create_task(run.wait()) for run in runs]
            while any(run.stage != "waiting" for run in runs):
                await asyncio.sleep(0.05)
            growth.values["folders"] = _entries(root) - before_folders
        await _abort(runs)
        await asyncio.gather(*tasks)
        return growth.values


async def _hold_tasks(count: int, traced: bool) -> dict[str, float]:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    async with _Growth(count, traced) as growth:
        tasks = [asyncio.create_task(wait()) for _ in range(count)]
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return growth.values


async def _abort(runs: list[TaskRun]) -> None:
    tasks = [asyncio.create_task(run.wait()) for run in runs]
    await asyncio.sleep(0)
    for run in runs:
        run.abort()
    await asyncio.gather(*tasks)


class _Growth:
    """What is more after the block than before, for each of `count`: `values` in KB, open files in all."""

    def __init__(self, count: int, traced: bool) -> None:
        self._count = count
        self._traced = traced
        self.values: dict[str, float] = {}

    async def __aenter__(self) -> _Growth:
        gc.collect()
        if self._traced:
            tracemalloc.start(1)
        self._files, self._resident = _open_files(), _resident()
        return self

    async def __aexit__(self, *_: object) -> None:
        gc.collect()
        self.values["resident"] = (_resident() - self._resident) / self._count / KB
        self.values["files"] = _open_files() - self._files
        if self._traced:
            self.values["allocated"] = tracemalloc.get_traced_memory()[0] / self._count / KB
            tracemalloc.stop()


async def _finish_runs(count: int) -> dict[str, float]:
    async with runtime_of("mock", SUCCESS) as runtime:
        return await _left_by(count, lambda: complete(runtime, definition(MOCK_TASK)))


async def _finish_tasks(count: int) -> dict[str, float]:
    return await _left_by(count, lambda: asyncio.sleep(0))


async def _left_by(count: int, work: Callable[[], Coroutine[Any, Any, None]]) -> dict[str, float]:
    tracemalloc.start(1)
    for _ in range(count // 4):  # until caches are full
        await asyncio.create_task(work())
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        await asyncio.create_task(work())
    gc.collect()
    return {"kept": (tracemalloc.get_traced_memory()[0] - before) / count}


def _resident() -> int:
    if not sys.platform.startswith("linux"):
        raise UnavailableError("resident memory is read from /proc, which only Linux has")
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _entries(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))
