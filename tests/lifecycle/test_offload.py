"""Blocking work in a thread stops when nobody waits for it any more."""

import asyncio
import threading

import pytest

from stagecall.lifecycle import offload as module
from stagecall.lifecycle.offload import StoppedError, offload
from stagecall.lifecycle.threads import WORK, Job, ThreadPool


async def test_result_and_error_are_the_callers():
    """What the work returns or raises the caller gets."""

    def fail(stop):
        raise KeyError("missing")

    assert await offload(lambda stop: threading.current_thread().name) == "stagecall"
    assert await offload(lambda stop: threading.current_thread().name, reserved=True) == "stagecall-dispose"
    with pytest.raises(KeyError, match="missing"):
        await offload(fail)


async def test_cancelled_caller_goes_on_when_the_work_has_let_go():
    """The work is told to stop, and is over before the cancellation arrives."""
    begun, over = threading.Event(), threading.Event()

    def work(stop):
        begun.set()
        assert stop.wait(30)
        over.set()
        raise StoppedError

    waiting = asyncio.create_task(offload(work))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert over.is_set()


async def test_work_that_hangs_does_not_hold_up_its_caller(monkeypatch):
    """After a while the caller goes on, and the thread's place in the pool is given away."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.01)
    begun, end = threading.Event(), threading.Event()
    abandoned: list[Job] = []
    monkeypatch.setattr(WORK, "abandon", abandoned.append)

    def hang(stop):
        begun.set()
        assert end.wait(30)

    waiting = asyncio.create_task(offload(hang))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert [job.started for job in abandoned] == [True]
    end.set()


async def test_work_that_has_not_begun_never_does(monkeypatch):
    """In a full pool a cancelled call leaves the queue."""
    pool = ThreadPool(size=1, reserved=1)
    monkeypatch.setattr(module, "WORK", pool)
    begun, end = threading.Event(), threading.Event()
    called: list[threading.Event] = []

    def block(stop):
        begun.set()
        assert end.wait(30)

    blocking = asyncio.create_task(offload(block))
    await asyncio.to_thread(begun.wait, 30)
    waiting = asyncio.create_task(offload(called.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    end.set()
    await blocking

    assert await offload(lambda stop: list(called)) == []
