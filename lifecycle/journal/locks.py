"""Who uses a journal's file: a lock file for each session, and a guard around what all must agree on.

The locks are `flock`s on files beside the journal. The kernel lets go of them when the process is dead, however it
died, so a session is dead exactly when its lock can be had. Their descriptors are close-on-exec, and a forked child
closes its copies, so that no child keeps a dead worker's lock.

    <journal>.guard           held for moments: while the file is opened, checked or set aside, and while sessions are
                              claimed
    <journal>.<session>.lock  held as long as the session lives; gone when it ended in order
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

from ..errors import JournalError

GUARD_SECONDS = 10.0
"""How long the guard may be held by others."""
_POLL_SECONDS = 0.01

_SESSION = re.compile(r"[0-9a-f]{16}")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to the journal at `path`.

    >>> beside(Path("state/journal.db"), "guard")
    PosixPath('state/journal.db.guard')
    """
    return path.with_name(f"{path.name}.{suffix}")


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Keep all other processes from opening the journal or claiming sessions of it. Raises: JournalError."""
    file = beside(path, "guard")
    try:
        descriptor = os.open(file, _FLAGS, 0o600)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be used: {file}: {error.strerror}") from error
    try:
        _wait_for(path, descriptor)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has a copy
        os.close(descriptor)


def _wait_for(path: Path, descriptor: int) -> None:
    until = time.monotonic() + GUARD_SECONDS
    while not _locked(descriptor):
        if time.monotonic() > until:
            raise JournalError(
                f"the journal {path} cannot be used: another process has been opening it for {GUARD_SECONDS:g} seconds"
            )
        time.sleep(_POLL_SECONDS)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class SessionLock:
    """The lock of one session, held; take and claim it within `guarded`."""

    def __init__(self, path: Path, session: str, descriptor: int) -> None:
        self.session = session
        self._file = beside(path, f"{session}.lock")
        self._descriptor: int | None = descriptor
        _HELD.add(self)

    @classmethod
    def new(cls, path: Path) -> SessionLock:
        """Return the lock of a new session. Raises: OSError."""
        lock = cls.claim(path, secrets.token_hex(8))
        assert lock is not None  # nobody else knows the name
        return lock

    @classmethod
    def claim(cls, path: Path, session: str) -> SessionLock | None:
        """Return the lock of a session that is dead; None if it lives, in this process or another."""
        descriptor = os.open(beside(path, f"{session}.lock"), _FLAGS, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            return None
        return cls(path, session, descriptor)

    @property
    def held(self) -> bool:
        """Whether this process has the lock."""
        return self._descriptor is not None

    def release(self, *, remove: bool) -> None:
        """Let go of the lock; `remove` its file if nothing of the session is left to recover."""
        if self._descriptor is None:
            return
        if remove:
            with contextlib.suppress(OSError):
                self._file.unlink()
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.drop()

    def drop(self) -> None:
        """Close this process's copy of the lock; it is the whole lock unless a fork has made other copies."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_HELD: WeakSet[SessionLock] = WeakSet()


def _forked() -> None:
    """Close, in a child that was forked, the copies of the parent's locks: it may live longer than the parent."""
    for lock in list(_HELD):
        lock.drop()


os.register_at_fork(after_in_child=_forked)


def sessions_with_locks(path: Path) -> list[str]:
    """Return the sessions of which there is a lock file, living or dead."""
    ours = re.compile(rf"{re.escape(path.name)}\.({_SESSION.pattern})\.lock")
    found = (ours.fullmatch(name) for name in _names(path.parent))
    return sorted(match[1] for match in found if match)


def has_lock(path: Path, session: str) -> bool:
    """Return whether a session's lock file is there."""
    return os.path.lexists(beside(path, f"{session}.lock"))


def lives(path: Path, session: str) -> bool:
    """Return whether a session's lock is held; nothing is created."""
    try:
        descriptor = os.open(beside(path, f"{session}.lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor)
    finally:
        os.close(descriptor)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
