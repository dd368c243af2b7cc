"""A journal as one process uses it: a session with its lock, its runs, and what the whole worker has leased."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ...specs.lifecycle_yaml import lifecycle_document
from ..errors import JournalError
from .host import this_process
from .lease import Lease, plain
from .locks import SessionLock, guarded
from .opening import Damage, open_store, place_of, prepare_folder
from .run import RunJournal
from .store import Statement, Store, delete, forget, insert
from .writer import Writer

if TYPE_CHECKING:
    from ...specs.lifecycle import Lifecycle
    from ...specs.task import TaskInfo

PATIENCE = 30.0
"""How long the journal may take by default to make something durable, in seconds."""


class Journal:
    """A write-ahead journal, open for this process.

    `path` is its file; others may have it open too. `damage` tells what was found broken in it. Open it with
    `Journal.open`, and close it after the last run.
    """

    def __init__(self, path: Path | str, patience: float = PATIENCE) -> None:
        self.path = place_of(path)
        self.patience = patience
        self.damage: Damage | None = None
        self.writer = Writer(self.path, self._open_store)
        self._lock: SessionLock | None = None
        self._own = _Own(self)
        self._numbers = itertools.count(1)
        self._leases = itertools.count(1)
        self._lifecycles: dict[Lifecycle, int] = {}
        self._kept: set[RunJournal] = set()
        self._under_way: set[RunJournal] = set()
        self._closed = False

    @classmethod
    async def open(cls, path: Path | str, *, patience: float = PATIENCE) -> Journal:
        """Return the journal at `path`, which is created if it is not there, with a session for this process.

        A damaged file is set aside, and what is intact in it goes into a new one; see `damage`. `patience`, in
        seconds, bounds every wait for it.

        Raises: JournalError for a file that cannot be used.
        """
        journal = cls(path, patience)
        _OPEN.add(journal)
        try:
            await journal.writer.start(patience)
        except BaseException:
            journal._give_up()
            raise
        return journal

    @property
    def session(self) -> str:
        """The name of this process's session."""
        assert self._lock is not None
        return self._lock.session

    @property
    def journaled(self) -> bool:
        """Whether leases are kept; see `TaskContext.journaled`."""
        return True

    def new_run(self, info: TaskInfo, *, home: Path | None = None, reports: bool = False) -> RunJournal:
        """Return the journal of one run; nothing is written before the run's first event.

        `home` is the folder in which recovery keeps the run's log and trace, by default one beside the journal.
        `reports` says that somebody waits for the resolution: the run is kept until they were told.
        """
        return RunJournal(self, next(self._numbers), (info.task_id, info.run_id), home, reports)

    async def lease(self, kind: str, /, **data: Any) -> Lease:
        """Lease something for the whole worker; it is acquired when this has returned.

        Raises: JournalError; TypeError for data that JSON cannot say.
        """
        self.writer.check()
        lease = Lease(self.next_lease(), kind, plain(kind, data))
        self._own.append(
            lease.id, insert(self.session, 0, "lease", lease.id, {"kind": kind, "data": lease.data})
        )
        try:
            await self.writer.durable(self._own, self.patience)
        except asyncio.CancelledError:
            with suppress(JournalError):  # which whoever comes next learns of
                self._drop(lease)  # nobody will acquire it
            raise
        return lease

    async def release(self, lease: Lease) -> None:
        """Say that what the lease stands for is gone; returns once that is durable. Raises: JournalError."""
        if lease.id in self._own.open:
            self._drop(lease)
            await self.writer.durable(self._own, self.patience)

    def _drop(self, lease: Lease) -> None:
        self._own.append(lease.id, delete(self.session, 0, "lease", lease.id), gone=True)

    async def close(self) -> None:
        """Write what is left and let go of the file.

        What is still owed, an open lease or a resolution that was not reported, is left to recovery. If runs are under
        way, their session's lock is kept until the process ends, so that nobody recovers what still lives.

        Raises: JournalError if the journal failed at any time.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._own.end()
            await self.writer.close(self.patience)
        finally:
            owes = bool(self._kept or self._own.open or self.writer.error)
            if not self._under_way:
                self._end_session(remove=not owes)

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # What its runs need

    def next_lease(self) -> int:
        """Return the id of a new lease."""
        return next(self._leases)

    def count(self, run: RunJournal, *, begun: bool) -> None:
        """Take note that a run has begun or ended."""
        if begun:
            self._under_way.add(run)
            self._kept.add(run)
        else:
            self._under_way.discard(run)

    def drop(self, run: RunJournal) -> None:
        """Take note that nothing of a run is in the file any more."""
        self._kept.discard(run)

    def owes_nothing(self) -> bool:
        """Return whether, with what is being written now, nothing is left that recovery would have to end."""
        return not self._own.open and all(run.forgotten for run in list(self._kept))

    def lifecycle_part(self, lifecycle: Lifecycle) -> tuple[int, list[Statement]]:
        """Return where a lifecycle's table is stored, and what stores it if it is not yet."""
        if lifecycle in self._lifecycles:
            return self._lifecycles[lifecycle], []
        part = self._lifecycles[lifecycle] = len(self._lifecycles)
        return part, [insert(self.session, 0, "lifecycle", part, lifecycle_document(lifecycle))]

    # The session

    def _open_store(self) -> Store:
        """Open the file and begin a session, in the writer's thread."""
        prepare_folder(self.path)
        with guarded(self.path):
            store, self.damage = open_store(self.path)
            try:
                self._begin_session(store)
            except BaseException as error:
                store.close()
                if isinstance(error, OSError):
                    raise JournalError(f"the journal {self.path} cannot be used: {error}") from error
                raise
        return store

    def _begin_session(self, store: Store) -> None:
        lock = SessionLock.new(self.path)
        try:
            store.commit([insert(lock.session, 0, "session", 0, _facts())])
            with self.writer.lock:
                self.writer.check()  # else whoever waited has given up
                self._lock = lock
        except BaseException:
            with suppress(JournalError):
                store.commit([forget(lock.session)])
            lock.release(remove=True)
            raise

    def _give_up(self) -> None:
        """Let go of the file, whether it is open or about to be: nobody waits for it any more."""
        self.writer.fail(JournalError(f"the journal {self.path} was given up before it was open"))
        self._end_session(remove=False)

    def _end_session(self, *, remove: bool) -> None:
        _OPEN.discard(self)
        if self._lock is not None:
            self._lock.release(remove=remove)

    def forked(self) -> None:
        """Let go, in a child that was forked, of what is the parent's."""
        self.writer.forked()


class _Own:
    """What a session writes that is no run's: worker-wide leases, and in the end itself away."""

    def __init__(self, journal: Journal) -> None:
        self.open: set[int] = set()
        self._journal = journal
        self._pending: list[Statement] = []
        self._taken: list[Statement] = []
        self._ending = False

    def append(self, lease: int, statement: Statement, *, gone: bool = False) -> None:
        """Append the statement that stores a lease, or deletes one that is `gone`."""
        writer = self._journal.writer
        with writer.lock:
            writer.check()
            self._pending.append(statement)
            writer.touch(self)
            if gone:
                self.open.discard(lease)
            else:
                self.open.add(lease)

    def end(self) -> None:
        """Have the session's last records deleted with the last batch, unless something is owed then."""
        writer = self._journal.writer
        with writer.lock:
            if writer.error is None:
                self._ending = True
                writer.touch(self)

    def take(self) -> None:
        """Move what was appended into the batch."""
        self._taken, self._pending = self._pending, []

    def landed(self) -> None:
        """Forget the batch: it is durable."""
        self._taken = []

    def statements(self) -> Iterator[Statement]:
        """Yield what writes the batch."""
        yield from self._taken
        if self._ending and self._journal.owes_nothing():
            yield forget(self._journal.session)


def _facts() -> dict[str, Any]:
    """Return what a session tells of itself, for people who look into a journal."""
    return {**this_process(), "began": datetime.now(UTC).isoformat()}


_OPEN: WeakSet[Journal] = WeakSet()


def _forked() -> None:
    for journal in list(_OPEN):
        journal.forked()


os.register_at_fork(after_in_child=_forked)
