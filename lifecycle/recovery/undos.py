"""Finds and calls the function that undoes a lease: the entry-point group `stagecall.undos`, by the lease's kind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..barrier import leave_behind
from ..errors import NonFatalInternalError
from ..folders import remove_folder
from ..journal.lease import Lease, Undo
from ..resolution import describe
from ..threads import POOL

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "stagecall.undos"
UNDO_SECONDS = 60.0
"""How long one undo, or one report, may take."""
GRACE_SECONDS = 1.0
"""How long one that was cancelled then has to end."""


async def undo_folder(lease: Lease) -> None:
    """Remove the folder `path`, whatever a task has put into it.

    Raises: NonFatalInternalError that names what stays.
    """
    path = Path(str(lease.data["path"]))
    if not _removable(path):
        raise NonFatalInternalError(f"{path} is no folder that a worker would have made: it is left alone")
    await remove_folder(path)


def _removable(path: Path) -> bool:
    """Return whether a path leads to a folder in a folder: not to the root by `..`, nor to what lies right in it."""
    return path.is_absolute() and path.name != ".." and len(Path(os.path.normpath(path)).parts) > 2


async def undo(lease: Lease, more: Mapping[str, Undo]) -> str | None:
    """Undo a lease; return why that was not possible, None if it was.

    What is installed may be anybody's: it is imported and called on a loop of its own, in a thread, so that one that
    blocks, or stops its loop, holds up nothing here. What the caller gave may need the caller's loop.
    """
    try:
        if (function := more.get(lease.kind)) is not None:
            await bounded(partial(function, lease))
        else:
            await bounded(_Apart(partial(_undo_installed, lease)).run)
    except Exception as error:  # the others are undone all the same
        return describe(error)
    return None


async def bounded(call: Callable[[], Awaitable[Any]]) -> None:
    """Await what `call` returns for UNDO_SECONDS at most; leave behind what does not even end when it is cancelled.

    Raises: NonFatalInternalError when it took too long, and what it raises itself; its own CancelledError and what is
    no Exception as NonFatalInternalError, so that nobody takes it for ours.
    """
    task = asyncio.ensure_future(_contained(call))
    try:
        await asyncio.wait([task], timeout=UNDO_SECONDS)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=GRACE_SECONDS)
            if not task.done():
                leave_behind(task)
            raise NonFatalInternalError(f"it took more than {UNDO_SECONDS:g} seconds")
    except asyncio.CancelledError:
        task.cancel()
        raise
    error = task.result()
    if error is not None:
        raise error if isinstance(error, Exception) else NonFatalInternalError(describe(error))


@attrs.define(eq=False)
class _Apart:
    """A call on a loop of its own, in a thread kept for cleaning up; a cancellation reaches it there."""

    call: Callable[[], Awaitable[Any]]
    _there: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = attrs.field(default=None, init=False)
    _cancelled: bool = attrs.field(default=False, init=False)

    async def run(self) -> None:
        """Call, and raise what it raises."""
        job = POOL.submit_reserved(lambda: asyncio.run(self._called()))
        try:
            await asyncio.wait([job.future])
        except asyncio.CancelledError:
            self._cancel()
            await asyncio.wait([job.future], timeout=GRACE_SECONDS / 2)
            raise
        finally:
            if not job.future.done():
                POOL.abandon(job)
                job.future.cancel()
        if (error := job.future.result()) is not None:
            raise error

    async def _called(self) -> BaseException | None:
        task = asyncio.current_task()
        assert task is not None
        self._there = asyncio.get_running_loop(), task
        if self._cancelled:
            raise asyncio.CancelledError
        return await _contained(self.call)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._there is not None:
            loop, task = self._there
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)


async def _undo_installed(lease: Lease) -> None:
    result = _installed(lease.kind)(lease)
    if inspect.isawaitable(result):
        await result


async def _contained(call: Callable[[], Awaitable[Any]]) -> BaseException | None:
    """Return what was raised, as SystemExit and the like would leave through the event loop."""
    try:
        result = call()
        if inspect.isawaitable(result):
            await result
    except BaseException as error:
        return error
    return None


def _installed(kind: str) -> Undo:
    points = _entry_points().get(kind, [])
    places = {point.value for point in points}
    if len(places) != 1:
        why = (
            "nothing is installed that undoes it"
            if not places
            else f"several undo it: {', '.join(sorted(places))}"
        )
        raise NonFatalInternalError(f"{why}; it is kept")
    function: Undo = points[0].load()
    return function


@cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found
