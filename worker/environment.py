"""What the runs of one process share when nothing else is asked for: store, monitor, temporary folders."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING

from ..lifecycle.errors import LifecycleError
from ..lifecycle.folders import remove_folder
from ..lifecycle.journal.lease import Lease
from ..lifecycle.surroundings import ArtifactStore, Monitor, WebHooks
from .monitor import LogMonitor
from .stores import MemoryStore

if TYPE_CHECKING:
    from ..lifecycle.journal import Journal


class LocalEnvironment:
    """The surroundings of runs in this process; `close` it after the last run, or use it in `async with`.

    Temporary folders lie in one folder of its own, made on first use below `root`, by default the system's.
    Nobody else may look into them. With a `journal` recovery removes that folder if this process is killed. No task log
    shows one of the `secrets`.

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
        journal: Journal | None = None,
        webhooks: WebHooks | None = None,
        secrets: Sequence[bytes] = (),
    ) -> None:
        self.store: ArtifactStore = MemoryStore() if store is None else store
        self.monitor: Monitor = LogMonitor() if monitor is None else monitor
        self.webhooks = webhooks
        self.secrets = tuple(secrets)
        self.worker_group = worker_group
        self.worker_id = worker_id or os.uname().nodename
        self._root = root
        self._journal = journal
        self._lease: Lease | None = None
        self._folder: Path | None = None
        self._closed = False
        self._lock = threading.Lock()

    def temporary_folder(self, prefix: str) -> Path:
        """Return a fresh folder with the mode 0700 whose name begins with `prefix`; from any thread.

        The caller removes it. Raises: LifecycleError once the environment is closed; OSError where no folder
        can be made.
        """
        with self._lock:
            return Path(tempfile.mkdtemp(prefix=prefix, dir=self._own_folder()))

    def reserve_folder(self, prefix: str) -> Path:
        """Return where a folder may be created whose name begins with `prefix`; nobody else can guess it.

        Raises: as `temporary_folder`.
        """
        with self._lock:
            return self._own_folder() / f"{prefix}{token_hex(8)}"

    async def lease(self) -> None:
        """Lease the folder that holds the others, if there is a journal; entering the environment does it.

        Raises: JournalError.
        """
        if self._journal is not None and self._lease is None:
            self._lease = await self._journal.lease("folder", path=str(self._unguessable_path()))

    def _unguessable_path(self) -> Path:
        return Path(self._root or tempfile.gettempdir()).absolute() / f"stagecall-{token_hex(8)}"

    def _own_folder(self) -> Path:
        """Return the folder that holds the others, made now if it is not there; the caller holds the lock."""
        if self._closed:
            raise LifecycleError("this environment is closed: it makes no more temporary folders")
        if self._folder is None:
            self._folder = self._new_folder()
        return self._folder

    def _new_folder(self) -> Path:
        if self._lease is None:
            return Path(tempfile.mkdtemp(prefix="stagecall-", dir=self._root)).absolute()
        folder = Path(self._lease.data["path"])
        folder.mkdir(mode=0o700)
        return folder

    async def close(self) -> None:
        """Remove the temporary folders that are left; closing again does what was left to do, or nothing.

        Raises: NonFatalInternalError that names what stays.
        """
        with self._lock:
            self._closed = True
        if self._folder is not None:
            await remove_folder(self._folder)
            self._folder = None
        lease, self._lease = self._lease, None
        if self._journal is not None and lease is not None:
            await self._journal.release(lease)

    async def __aenter__(self) -> LocalEnvironment:
        await self.lease()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
