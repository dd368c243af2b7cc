"""What the process holds at one moment, and what it holds more of later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from ..errors import LeakError, LifecycleError
from .activities import is_current, tasks, threads
from .descriptors import descriptors, without_moved
from .leak import Held, Leak, LeakKind
from .places import files, mounts, topmost
from .processes import processes

SETTLE_SECONDS = 1.0
"""How long what is about to end may take, unless somebody says otherwise."""
PAUSE_SECONDS = 0.01
"""Between two looks at whether it has ended."""

Place = str | Path
Roots = tuple[Path, ...]

_SOURCES: Mapping[LeakKind, Callable[[Roots], Held]] = {
    LeakKind.PROCESS: processes,
    LeakKind.DESCRIPTOR: lambda roots: descriptors(LeakKind.DESCRIPTOR),
    LeakKind.SOCKET: lambda roots: descriptors(LeakKind.SOCKET),
    LeakKind.MOUNT: mounts,
    LeakKind.FILE: files,
    LeakKind.THREAD: lambda roots: threads(),
    LeakKind.TASK: lambda roots: tasks(),
}


@attrs.frozen(eq=False)
class Snapshot:
    """What the process held when it was taken; `roots` are the folders that were looked into."""

    roots: Roots
    held: Mapping[LeakKind, Held] = attrs.field(repr=False)

    def compare(self) -> list[Leak]:
        """Return what the process holds now and did not hold then, at once; see `settle`."""
        return [leak for kind, held in self.held.items() for leak in self._grown(kind, held)]

    async def settle(self, seconds: float = SETTLE_SECONDS) -> list[Leak]:
        """Return what is left when nothing is any more, or after `seconds`: some things end a moment after dispose."""
        return await settled(self.compare, seconds)

    def settle_blocking(self, seconds: float = SETTLE_SECONDS) -> list[Leak]:
        """Do what `settle` does, in a program without a running loop. Raises: LifecycleError beside one."""
        _refuse_loop("settle_blocking would block", "await settle")
        end = time.monotonic() + seconds
        while (leaks := self.compare()) and time.monotonic() < end:
            time.sleep(PAUSE_SECONDS)
        return leaks

    def _grown(self, kind: LeakKind, before: Held) -> list[Leak]:
        now = _SOURCES[kind](self.roots)
        new: list[Any] = [one for one in now if one not in before]
        if kind in (LeakKind.DESCRIPTOR, LeakKind.SOCKET):
            new = without_moved(new, [one for one in before if one not in now])  # type: ignore[misc]
        elif kind is LeakKind.FILE:
            above = set(topmost([path for path, _ in new]))
            new = [(path, inode) for path, inode in new if path in above]
        elif kind is LeakKind.TASK:
            new = [task for task in new if not is_current(task)]
        return [now[one]() for one in new]


def take(roots: Iterable[Place] = (), *, kinds: Iterable[LeakKind] = tuple(LeakKind)) -> Snapshot:
    """Return what the process holds now, of these `kinds`; tasks only on a running loop.

    Files are looked for below `roots` only, which are walked whole; so are mounts, and everywhere if there are none.
    A process counts if it descends from this one, or has a file or folder below `roots` open.

    >>> before = take()
    >>> file = open("/dev/null")
    >>> [leak.what.partition(" ")[2] for leak in before.compare()]
    ['open on /dev/null']
    >>> file.close()
    >>> before.compare()
    []
    """
    places = tuple(Path(root).resolve() for root in roots)
    return Snapshot(places, {kind: _SOURCES[kind](places) for kind in kinds})


class audit:
    """`with audit(roots=...)`, on a loop `async with`: raises LeakError for what the block leaves behind.

    It names each thing, once `settle` seconds have not made it go. The process is taken for the block's alone: what
    other parts of the program begin meanwhile counts too. Where the block raises an error itself, that comes out, with
    a note of what was left behind. A wrong use raises LifecycleError.

    >>> with audit():
    ...     open("/dev/null").close()
    """

    def __init__(self, roots: Iterable[Place] = (), *, settle: float = SETTLE_SECONDS) -> None:
        self._take = partial(take, tuple(roots))
        self._settle = settle
        self._before: Snapshot | None = None

    def __enter__(self) -> Snapshot:
        _refuse_loop("with audit() would block", "use async with audit()")
        return self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._before is not None
        self._judge(self._before.settle_blocking(self._settle), error)

    async def __aenter__(self) -> Snapshot:
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._before is not None
        self._judge(await self._before.settle(self._settle), error)

    def _begin(self) -> Snapshot:
        self._before = self._take()
        return self._before

    def _judge(self, leaks: list[Leak], error: BaseException | None) -> None:
        if not leaks:
            return
        found = LeakError(leaks, "by what was audited")
        if error is None:
            raise found
        error.add_note(str(found))


async def settled(find: Callable[[], list[Leak]], seconds: float = SETTLE_SECONDS) -> list[Leak]:
    """Return what `find` finds when that is nothing, or after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (leaks := find()) and loop.time() < end:  # noqa: ASYNC110 (what is about to end tells nobody)
        await asyncio.sleep(PAUSE_SECONDS)
    return leaks


def _refuse_loop(what: str, instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LifecycleError(f"{what} the event loop it is called in; {instead} instead")
