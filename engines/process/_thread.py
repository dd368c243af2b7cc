"""Blocking calls in a thread whose results are never lost: whoever waits is held until the thread is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ...lifecycle.threads import WORK, Job

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a thread and return what it returns.

    A cancellation waits until the call has returned, so that must be short, or bounded. Raises: what it
    raises.
    """
    return await settled(WORK.submit(call, *args, **kwargs))


async def in_reserved_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call as `in_thread` does, in a thread kept for cleaning up, which hooks that hang cannot take."""
    return await settled(WORK.submit_reserved(call, *args, **kwargs))


async def settled(job: Job, undo: Callable[[T], None] | None = None) -> T:
    """Wait for a job to its end, also if cancelled; `undo` is then given what it returned, to close it."""
    cancelled: asyncio.CancelledError | None = None
    while not job.future.done():
        try:
            await asyncio.wait([job.future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        result: T = job.future.result()
        return result
    if job.future.exception() is None and undo is not None:
        undo(job.future.result())
    raise cancelled
