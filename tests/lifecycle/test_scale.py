"""Thousands of runs fit into one process, and nothing stays of those that have ended."""

import asyncio
import gc
import os
import tracemalloc
import weakref
from collections import Counter

import pytest

from stagecall.engines.mock.engine import MockEngine
from stagecall.plugins.manager import PluginManager
from stagecall.plugins.success import SuccessPlugin
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import HookRecorder, RecordingEnvironment
from stagecall.worker.runtime import Runtime

RUNS = 10_000
KB = 1024
LONG = {"payload": {"function": "true", "delay": 300_000}}
SHORT = {"payload": {"function": "true"}}


@pytest.fixture
def surroundings(tmp_path):
    """An environment whose every folder is to be seen."""
    return RecordingEnvironment(tmp_path)


def runtime_of(surroundings, *plugins):
    """A runtime on the mock engine."""
    return Runtime(MockEngine(surroundings), PluginManager.of(plugins), surroundings)


def open_files():
    """How many files this process has open, where the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0


class Arrivals:
    """An observer that tells when so many runs have entered the stage `waiting`."""

    def __init__(self, expected):
        self.left = expected
        self.all_there = asyncio.Event()

    def __call__(self, event):
        self.left -= event.kind is Kind.MOVE and event.stage == "waiting"
        if self.left == 0:
            self.all_there.set()


async def test_ten_thousand_runs_are_in_flight_at_once(surroundings, tmp_path):
    """Each waits in under 10 KB, without a file and without a folder; when aborted, each is disposed."""
    runtime = runtime_of(surroundings, SuccessPlugin())
    await runtime.new_run(SHORT).wait()  # whatever is made once and kept
    files, arrivals = open_files(), Arrivals(RUNS)
    gc.collect()
    tracemalloc.start(1)
    try:
        runs = [runtime.new_run({"payload": {**LONG["payload"]}}, observers=[arrivals]) for _ in range(RUNS)]
        waiters = [asyncio.create_task(run.wait()) for run in runs]
        async with asyncio.timeout(60):
            await arrivals.all_there.wait()
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / RUNS
    finally:
        tracemalloc.stop()

    assert Counter(run.stage for run in runs) == {"waiting": RUNS}
    assert each < 10 * KB
    assert open_files() == files
    assert list(tmp_path.iterdir()) == []

    accepted = [run.abort() for run in runs]
    async with asyncio.timeout(60):
        resolutions = await asyncio.gather(*waiters)

    assert all(accepted)
    assert Counter((r.state, str(r.reason)) for r in resolutions) == {("exception", "canceled"): RUNS}
    assert Counter(run.stage for run in runs) == {"dispose": RUNS}


async def test_nothing_is_kept_of_a_finished_run(surroundings):
    """Once its user lets go of a run it is gone, and there are as many objects of each type as before."""
    runtime = runtime_of(surroundings, SuccessPlugin(), HookRecorder())

    async def many(count):
        return [await one() for _ in range(count)]

    async def one():
        run = runtime.new_run(SHORT)
        await run.wait()
        return weakref.ref(run), weakref.ref(run.context.info)

    async def measured(count):
        kept = await many(count)
        gc.collect()
        alive = sum(reference() is not None for references in kept for reference in references)
        del kept
        runtime.manager.members[1].plugin.calls.clear()
        gc.collect()
        return alive, Counter(type(thing).__qualname__ for thing in gc.get_objects())

    await measured(20)
    _, before = await measured(20)
    alive, after = await measured(500)

    assert alive == 0
    assert {name: more for name, more in (after - before).items() if more >= 25} == {}
