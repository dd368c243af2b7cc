"""The library's threads: hooks do not block the work that they wait for, and nothing is kept."""

import asyncio
import gc
import threading
import weakref

import pytest

from stagecall.lifecycle import threads
from stagecall.lifecycle.context import run_on_loop
from stagecall.lifecycle.offload import offload
from stagecall.lifecycle.threads import POOL, PoolThread, ThreadPool

BOUND = 30.0


class Thing:
    """Something that a call is given, to see whether it is forgotten."""


@pytest.mark.parametrize("reserved", [False, True])
async def test_hooks_that_fill_their_threads_can_wait_for_file_work(reserved):
    """As many plain `def` hooks as there are threads may all wait, on the loop, for work done in a thread."""
    loop = asyncio.get_running_loop()
    submit = POOL.submit_reserved if reserved else POOL.submit
    hooks = POOL._bounds[reserved]
    all_there = threading.Barrier(hooks)

    def hook() -> str:
        all_there.wait(BOUND)
        return run_on_loop(loop, offload(lambda stop: "done", reserved=reserved))

    jobs = [submit(hook) for _ in range(hooks)]

    assert await asyncio.wait_for(asyncio.gather(*(job.future for job in jobs)), BOUND) == ["done"] * hooks


async def test_idle_thread_keeps_nothing_of_the_last_call():
    """What a call was given is gone when the call is over, not when the next one comes."""
    pool, thing = ThreadPool(size=1), Thing()
    known = weakref.ref(thing)

    job = pool.submit(id, thing)
    await job.future
    del job, thing
    async with asyncio.timeout(BOUND):
        while known() is not None:
            gc.collect()
            await asyncio.sleep(0.001)

    assert known() is None


class NoThread(PoolThread):
    """A thread that the system refuses."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


async def test_call_that_gets_no_thread_fails_and_leaves_the_bound_as_it_was(monkeypatch):
    """Where the system gives no thread the caller hears of it, and the next call finds its place."""
    pool = ThreadPool(size=1)
    with monkeypatch.context() as refused:
        refused.setattr(threads, "PoolThread", NoThread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(print, "never")

    assert await asyncio.wait_for(pool.submit(max, 1, 2).future, BOUND) == 2


async def test_call_that_gets_no_thread_of_its_own_waits_for_another(monkeypatch):
    """Where the system gives no more threads, those that are there do the work."""
    pool, go_on = ThreadPool(size=2), threading.Event()
    first = pool.submit(go_on.wait, BOUND)
    with monkeypatch.context() as refused:
        refused.setattr(threads, "PoolThread", NoThread)
        second = pool.submit(max, 1, 2)
    go_on.set()

    assert list(await asyncio.wait_for(asyncio.gather(first.future, second.future), BOUND)) == [True, 2]
