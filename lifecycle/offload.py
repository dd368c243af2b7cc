"""Blocking work in the library's threads that stops when it is no longer wanted.

A thread cannot be cancelled, so work that may last is told to stop and looks now and then. Whoever waits for
it is cancelled only when the work has let go of its files, or has not done so in half a second: then it
hangs, and its place in the pool is given away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from .threads import WORK

T = TypeVar("T")

STOP_SECONDS = 0.5
"""Less than a run's `abandon_grace`, so that a cancelled hook still ends in time."""


class StoppedError(Exception):
    """What the work raises when it was told to stop; nobody sees it, as whoever waited was cancelled."""


async def offload(work: Callable[[threading.Event], T], *, reserved: bool = False) -> T:
    """Call `work(stop)` in a thread and return its result; `stop` is set when the caller is cancelled.

    `reserved` lets it use the threads kept for dispose. What `work` returns after it was told to stop is
    dropped, so it must not return what somebody has to close. Raises: what `work` raises.

    >>> asyncio.run(offload(lambda stop: stop.is_set()))
    False
    """
    stop = threading.Event()
    job = WORK.submit_reserved(work, stop) if reserved else WORK.submit(work, stop)
    try:
        await asyncio.wait([job.future])
    except asyncio.CancelledError:
        stop.set()
        if job.started:
            await asyncio.wait([job.future], timeout=STOP_SECONDS)
        raise
    finally:
        if job.future.done():
            job.future.exception()  # seen, also where nobody asks for the result any more
        else:
            WORK.abandon(job)
            job.future.cancel()
    result: T = job.future.result()
    return result
