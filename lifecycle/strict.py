"""Strict mode: what a run must not leave behind when it is over.

Runs go side by side, and beside whatever else the program does, so a run answers for what is certainly its own:
its temporary folder with the descriptors and mounts in it and the processes that live there, and the tasks that were
created on its behalf. For that a strict run lets its loop's tasks be made by a factory that notes whose they are.

Child processes, descriptors, sockets and threads bear no run's name. They are compared when a strict run ends and no
other run of the process is under way: then none may be left that was not there when the first of them began. Where
runs of several loops were under way, whose threads and sockets come and go too, nobody is accused. Otherwise, in strict
mode, the program must not itself begin such things while runs are under way, and keep them; it is for tests.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, Token, copy_context
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

import attrs

from .errors import LeakError
from .leaks.activities import task_told
from .leaks.descriptors import descriptors_below
from .leaks.leak import Leak, LeakKind
from .leaks.places import mounts
from .leaks.processes import inhabitants
from .leaks.snapshot import Snapshot, settled, take

NAMELESS = (LeakKind.PROCESS, LeakKind.DESCRIPTOR, LeakKind.SOCKET, LeakKind.THREAD)
"""What cannot be told to be one run's."""


@attrs.define(eq=False)
class Flight:
    """All runs that are under way in the process, and what it held before the first of those that are strict.

    `loop` is the one that all of them have in common, None if they have not.
    """

    under_way: int = 0
    before: Snapshot | None = None
    loop: asyncio.AbstractEventLoop | None = None
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def begin(self, strict: bool) -> None:
        """Count a run in."""
        loop = asyncio.get_running_loop()
        with self.lock:
            if self.under_way == 0:
                self.loop = loop
            elif self.loop is not loop:
                self.loop = None
            self.under_way += 1
            if strict and self.before is None:
                self.before = take(kinds=NAMELESS)

    def end(self) -> Snapshot | None:
        """Count a run out; if it was the last, return what there was before all of them, unless that says nothing."""
        with self.lock:
            self.under_way -= 1
            if self.under_way:
                return None
            before, self.before = self.before if self.loop is not None else None, None
            self.loop = None
            return before

    async def left(self, before: Snapshot) -> list[Leak]:
        """Return what there is more than before; nothing if another run has begun meanwhile, whose end will tell."""
        leaks = await settled(lambda: [] if self.under_way else before.compare())
        with self.lock:
            if self.under_way:
                self.before = before
                return []
        return leaks


FLIGHT = Flight()

_WATCHED: ContextVar[Watch | None] = ContextVar("stagecall_strict", default=None)


class Watch:
    """Notes what belongs to one strict run; `folders` are its own, absolute and without links."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._token: Token[Watch | None] | None = None
        self._factory: _NotingFactory | None = None

    def begin(self) -> None:
        """Note, from now on, what the current task and those that it creates create."""
        self._token = _WATCHED.set(self)
        self._factory = _NotingFactory.of(asyncio.get_running_loop())
        FLIGHT.begin(strict=True)

    def created(self, task: asyncio.Task[Any]) -> None:
        """Note a task."""
        self._tasks.add(task)

    async def end(self) -> None:
        """Wait until nothing of the run is left, for a bounded time. Raises: LeakError for what is."""
        assert self._token is not None
        assert self._factory is not None
        _WATCHED.reset(self._token)
        self._factory.release(asyncio.get_running_loop())
        before = FLIGHT.end()
        leaks = await settled(self._own)
        if before is not None:
            known = {leak.what for leak in leaks}
            leaks += [leak for leak in await FLIGHT.left(before) if leak.what not in known]
        if leaks:
            raise LeakError(
                leaks, "by the run" if before is None else "by the run, or one that was under way beside it"
            )

    def _own(self) -> list[Leak]:
        leaks = [Leak(LeakKind.FILE, f"{folder}/") for folder in self.folders if os.path.lexists(folder)]
        if self.folders:
            for held in (descriptors_below(self.folders), inhabitants(self.folders), mounts(self.folders)):
                leaks += [tell() for tell in held.values()]
        return leaks + [task_told(task) for task in self._tasks if not task.done()]


class _NotingFactory:
    """Makes tasks as the loop did before, and notes those that are created on behalf of a strict run.

    The loop has it while strict runs are under way.
    """

    def __init__(self, made_by: Callable[..., Any] | None) -> None:
        self._made_by = made_by
        self._users = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _NotingFactory:
        """Return the loop's, for one more run."""
        made_by: Any = loop.get_task_factory()
        factory = made_by if isinstance(made_by, cls) else cls(made_by)
        loop.set_task_factory(cast("Any", factory))
        factory._users += 1
        return factory

    def release(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a run go; after the last the loop makes tasks as before, unless it was told otherwise since."""
        self._users -= 1
        if self._users == 0 and cast("Any", loop.get_task_factory()) is self:
            loop.set_task_factory(self._made_by)

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        make = self._made_by
        task = asyncio.Task(coro, loop=loop, **options) if make is None else make(loop, coro, **options)
        context: Context = options.get("context") or copy_context()
        if (watch := context.get(_WATCHED)) is not None:
            watch.created(task)
        return task
