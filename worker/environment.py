"""What the runs of one process share when nothing else is asked for: store, monitor, temporary folders."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from ..lifecycle.errors import LifecycleError
from ..lifecycle.folders import remove_folder
from ..lifecycle.surroundings import ArtifactStore, Monitor
from .monitor import LogMonitor
from .stores import MemoryStore


class LocalEnvironment:
    """The surroundings of runs in this process; `close` it after the last run, or use it in `async with`.

    Temporary folders lie in one folder of its own, made on first use below `root`, by default the system's.
    Nobody else may look into them.

    >>> import asyncio
    >>> async def main():
    ...     async with LocalEnvironment() as environment:
    ...         folder = environment.temporary_folder("run-")
    ...         return folder.is_dir(), oct(folder.stat().st_mode & 0o777)
    >>> asyncio.run(main())
    (True, '0o700')
    """

    def __init__(
        self,
        store: ArtifactStore | None = None,
        monitor: Monitor | None = None,
        root: Path | None = None,
        *,
        worker_group: str = "local",
        worker_id: str | None = None,
    ) -> None:
        self.store: ArtifactStore = MemoryStore() if store is None else store
        self.monitor: Monitor = LogMonitor() if monitor is None else monitor
        self.worker_group = worker_group
        self.worker_id = worker_id or os.uname().nodename
        self._root = root
        self._folder: Path | None = None
        self._closed = False
        self._lock = threading.Lock()

    def temporary_folder(self, prefix: str) -> Path:
        """Return a fresh folder with the mode 0700 whose name begins with `prefix`; from any thread.

        The caller removes it. Raises: LifecycleError once the environment is closed; OSError where no folder
        can be made.
        """
        with self._lock:
            if self._closed:
                raise LifecycleError("this environment is closed: it makes no more temporary folders")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="stagecall-", dir=self._root)).absolute()
            return Path(tempfile.mkdtemp(prefix=prefix, dir=self._folder))

    async def close(self) -> None:
        """Remove the temporary folders that are left; closing again does what was left to do, or nothing.

        Raises: NonFatalInternalError that names what stays.
        """
        with self._lock:
            self._closed = True
        if self._folder is not None:
            await remove_folder(self._folder)
            self._folder = None

    async def __aenter__(self) -> LocalEnvironment:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
