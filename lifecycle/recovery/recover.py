"""`recover`: finds the dead sessions of a journal and ends everything they left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ..errors import JournalError
from ..journal.host import process_lives
from ..journal.lease import Lease, Undo
from ..journal.locks import SessionLock, beside, guarded, has_lock, lives, sessions_with_locks
from ..journal.opening import check_file, is_ours, open_store, place_of, put_copy_aside
from ..journal.store import DamagedError, Statement, Store, delete, forget
from ..threads import WORK
from .ending import Ending, Report, foreseen
from .result import Left, RecoveredRun, Recovery
from .stored import StoredSession
from .undos import undo

T = TypeVar("T")

PATIENCE = 60.0
"""How long one look into the journal, or one commit, may take, in seconds."""


async def recover(
    path: Path | str,
    *,
    undos: Mapping[str, Undo] | None = None,
    report: Report | None = None,
    keep: Path | str | None = None,
    dry_run: bool = False,
) -> Recovery:
    """End what processes that died have left in the journal at `path`; those that live are left alone.

    Every run of a dead session that was not disposed is resolved: with `worker-shutdown`, unless it had its resolution.
    `report` is told the resolutions that nobody was told; without it they are kept. Leases are undone newest first, by
    the functions in `undos` or those that are installed (entry-point group `stagecall.undos`). Log and trace of a run
    are kept in its home, else below `keep`, by default beside the journal. What cannot be ended now is kept for the
    next time; a second recovery finds nothing else. `dry_run` only tells.

    Raises: JournalError where the journal cannot be used.

    >>> asyncio.run(recover("/no/such/journal.db")).found
    False
    """
    path = place_of(path)
    if not await _in_thread(_there, path):
        return Recovery(path, dry_run=dry_run)
    if dry_run:
        return await _in_thread(_look, path)
    keep = beside(path, "recovered") if keep is None else Path(keep)
    opening = _Opening(path)
    try:
        work = await _in_thread(opening.open)
    except BaseException:
        opening.give_up()
        raise
    try:
        return await work.run(undos or {}, report, keep)
    finally:
        await _in_thread(work.close)


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function in a thread; give up, and leave the thread behind, when it takes too long."""
    job = WORK.submit_reserved(function, *arguments)
    try:
        async with asyncio.timeout(PATIENCE):
            result: T = await job.future
            return result
    except TimeoutError:
        WORK.abandon(job)
        raise _HungError(f"the journal did not answer in {PATIENCE:g} seconds") from None


class _HungError(JournalError):
    """A thread is still at work in the journal, or will be for ever."""


def _there(path: Path) -> bool:
    check_file(path)
    return os.path.lexists(path) or os.path.lexists(beside(path, "new"))


@attrs.define
class _Work:
    """The journal's file, and the dead sessions whose locks are ours now, so that nobody else recovers them."""

    path: Path
    store: Store
    claimed: list[SessionLock]
    sessions: list[StoredSession]
    living: int
    damage: str | None
    hung: bool = attrs.field(default=False, init=False)

    @classmethod
    def open(cls, path: Path) -> _Work:
        """Open the file and claim the sessions that are dead. Raises: JournalError."""
        claimed: list[SessionLock] = []
        with guarded(path):
            store, damage = open_store(path, any_thread=True)
            try:
                stored = store.sessions()
                for name in sorted({*stored, *sessions_with_locks(path)}):
                    if (lock := _claim(path, name, store)) is not None:
                        claimed.append(lock)
                living = len({*stored} - {lock.session for lock in claimed})
                told = None if damage is None else str(damage)
                work = cls(path, store, claimed, [], living, told)
                work.read()
            except BaseException as error:
                for lock in claimed:
                    lock.release(remove=False)
                store.close()
                if isinstance(error, OSError):
                    raise JournalError(f"the journal {path} cannot be recovered: {error}") from error
                raise
        return work

    def read(self) -> None:
        """Read the sessions that were claimed; if records are damaged, a copy of the file is put aside for people."""
        broken = self.store.strangers()
        for lock in self.claimed:
            session, damaged = StoredSession.read(lock.session, self.store)
            self.sessions.append(session)
            broken += damaged
        if broken:
            aside = put_copy_aside(self.path, self.store)
            self.damage = "; ".join(
                filter(None, (self.damage, f"{_broken(broken)}; a copy is kept as {aside}"))
            )

    async def run(self, undos: Mapping[str, Undo], report: Report | None, keep: Path) -> Recovery:
        """End the claimed sessions, one after the other, the runs of each in the order in which they began."""
        runs: list[RecoveredRun] = []
        undone: list[Lease] = []
        left: list[Left] = []
        for session in self.sessions:
            ended = [await Ending(run, self.commit, undos, report, keep).end() for run in session.runs]
            stuck = await self._undo(session, undos, undone)
            if not stuck and all(run.ended for run in ended):
                await self.commit([forget(session.name)])
            runs += ended
            left += stuck
        return Recovery(self.path, tuple(runs), tuple(undone), tuple(left), self.living, self.damage)

    async def _undo(
        self, session: StoredSession, undos: Mapping[str, Undo], undone: list[Lease]
    ) -> list[Left]:
        """Undo what belongs to no run; return what could not be."""
        left: list[Left] = []
        for lease in session.leases:
            if (why := await undo(lease, undos)) is not None:
                left.append(Left(lease, why))
            else:
                undone.append(lease)
                await self.commit([delete(session.name, 0, "lease", lease.id)])
        return left

    async def commit(self, statements: Sequence[Statement]) -> None:
        """Make statements durable. Raises: JournalError."""
        if statements:
            try:
                await _in_thread(self.store.commit, statements)
            except _HungError:
                self.hung = True
                raise

    def close(self) -> None:
        """Let go of the file and of the sessions; those of which nothing is left lose their lock file.

        After a commit that hangs they are kept until the process ends: it may still come through.
        """
        if self.hung:
            return
        try:
            with guarded(self.path):
                left = {*self.store.sessions()}
                for lock in self.claimed:
                    lock.release(remove=lock.session not in left)
        finally:
            self.drop()

    def drop(self) -> None:
        """Let go of everything, as it is."""
        for lock in self.claimed:
            lock.release(remove=False)
        with contextlib.suppress(JournalError):
            self.store.close()


@attrs.define(eq=False)
class _Opening:
    """Opens the journal in a thread; what is open when nobody waits for it any more is closed again."""

    path: Path
    _work: _Work | None = attrs.field(default=None, init=False)
    _over: bool = attrs.field(default=False, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def open(self) -> _Work:
        """Return the open journal. Raises: JournalError."""
        work = _Work.open(self.path)
        with self._lock:
            self._work = work
            wanted = not self._over
        if not wanted:
            work.drop()
        return work

    def give_up(self) -> None:
        """Close what was opened, or will be."""
        with self._lock:
            self._over = True
            work = self._work
        if work is not None:
            WORK.submit_reserved(work.drop)


def _look(path: Path) -> Recovery:
    """Return what a recovery would find, without changing anything."""
    with guarded(path):
        try:
            return _seen(path)
        except DamagedError as error:
            if not is_ours(path):
                raise JournalError(f"{path} is not a journal; name another file") from error
            return Recovery(path, damage=f"{error}; it would be set aside", dry_run=True)


def _seen(path: Path) -> Recovery:
    store = Store.open(path, read_only=True)
    try:
        store.check()
        return Recovery(path, dry_run=True) if store.blank else _found(path, store)
    finally:
        store.close()


def _found(path: Path, store: Store) -> Recovery:
    runs: list[RecoveredRun] = []
    leases: list[Lease] = []
    damaged: list[str] = []
    stored = store.sessions()
    dead = [name for name in stored if not _living(path, name, store)]
    for name in dead:
        session, broken = StoredSession.read(name, store)
        runs += [foreseen(run) for run in session.runs]
        leases += session.leases
        damaged += broken
    told = _broken(damaged) if damaged else None
    return Recovery(path, tuple(runs), tuple(leases), (), len(stored) - len(dead), told, dry_run=True)


def _claim(path: Path, name: str, store: Store) -> SessionLock | None:
    """Claim a session unless it lives; one whose lock file somebody removed is asked for its process."""
    return None if _living(path, name, store) else SessionLock.claim(path, name)


def _living(path: Path, name: str, store: Store) -> bool:
    if has_lock(path, name):
        return lives(path, name)
    return process_lives(StoredSession.read(name, store)[0].facts)


def _broken(records: Sequence[str]) -> str:
    return f"the journal has damaged records, which are left out: {', '.join(records)}"
