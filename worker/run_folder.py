"""The temporary folder of one run: made when it is first asked for, removed in dispose."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..lifecycle.errors import LifecycleError
from ..lifecycle.folders import remove_folder

if TYPE_CHECKING:
    from ..lifecycle.journal.lease import Lease
    from ..lifecycle.surroundings import Environment
    from ..specs.task import TaskInfo

LOG_NAME = "task.log"
"""What the log is called in the run's temporary folder."""

_CREATING = threading.Lock()
"""Held while a run's folder is created, as any thread may be the first to ask for it; one lock serves all runs."""


class RunFolder:
    """A private folder that need not exist: most runs that print nothing never have one.

    `path` is where it is, None as long as it is not made and once it is removed. With a journal (`leased`) its
    name is chosen, and leased, before anything is made.
    """

    __slots__ = ("_closed", "_environment", "_leased", "_prefix", "lease", "path")

    def __init__(self, environment: Environment, info: TaskInfo, *, leased: bool) -> None:
        self._environment = environment
        self._prefix = f"{info.task_id}-{info.run_id}-"
        self._leased = leased
        self._closed = False
        self.path: Path | None = None
        self.lease: Lease | None = None

    def reserve(self) -> Mapping[str, Any]:
        """Choose where the folder will be; return what its lease says. Raises: as the environment."""
        return {"path": str(self._environment.reserve_folder(self._prefix)), "log": LOG_NAME}

    def make(self, made: Callable[[Path], object]) -> Path:
        """Return the folder; if it is created now, `made` is told. From any thread.

        Raises: LifecycleError once it would stay behind.
        """
        with _CREATING:
            if self.path is None:
                if self._closed:
                    raise LifecycleError("the run is over: it has no temporary folder any more")
                self.path = self._new()
                made(self.path)
            return self.path

    def _new(self) -> Path:
        if not self._leased:
            return self._environment.temporary_folder(self._prefix)
        if self.lease is None:
            raise LifecycleError("the run's temporary folder could not be leased: it gets none")
        folder = Path(self.lease.data["path"])
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> bool:
        """Make no folder from now on; return whether there is one to remove."""
        with _CREATING:
            self._closed = True
        return self.path is not None

    async def remove(self, ordered: Callable[[asyncio.Task[Any]], bool]) -> None:
        """Remove the folder and all that is in it; a cancellation that `ordered` does not know of is passed over.

        Raises: as `remove_folder`.
        """
        folder, self.path = self.path, None
        assert folder is not None
        try:
            folder.rmdir()  # often nothing is left in it, and a thread would take ten times as long
        except OSError:
            await _remove_in_spite_of_strangers(folder, ordered)

    def take_lease(self) -> Lease | None:
        """Return the lease, once, if the folder is gone or was never made; None if it must be kept."""
        lease, self.lease = self.lease, None
        return None if lease is None or os.path.lexists(lease.data["path"]) else lease


async def _remove_in_spite_of_strangers(folder: Path, ordered: Callable[[asyncio.Task[Any]], bool]) -> None:
    """Remove a folder, also if somebody but the driver cancels that, as a program does with all its tasks."""
    task = asyncio.current_task()
    assert task is not None
    while True:
        try:
            await remove_folder(folder)
        except asyncio.CancelledError:
            if ordered(task):
                raise
            task.uncancel()
        else:
            return
