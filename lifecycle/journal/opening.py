"""Opens a journal's file: creates it, checks it, and sets a damaged one aside after salvaging what is intact."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import attrs

from ..errors import JournalError
from .locks import beside, lives, sessions_with_locks
from .store import APPLICATION_ID, TABLE, DamagedError, Record, Store, chunks, sync_folder

_MAGIC = b"SQLite format 3\0"
_OURS = TABLE[: TABLE.index("\n")].encode()
_HEAD_BYTES = 65_536


@attrs.frozen
class Damage:
    """What was found broken: the damaged file was moved `aside`, `kept` records were saved, `lost` names the others."""

    aside: Path
    kept: int
    lost: tuple[str, ...]

    def __str__(self) -> str:
        return f"the journal was damaged: {self.kept} records were saved from it, the file is kept as {self.aside}"


def place_of(path: Path | str) -> Path:
    """Return the absolute path of a journal; a link leads to the file that it names.

    Else who came by the link and who did not would look for each other's locks in vain.
    """
    path = Path(path).absolute()
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_file(path: Path) -> None:
    """Check that a journal is a file, if it is there: to open a fifo may take for ever. Raises: JournalError."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise JournalError(f"the journal {path} cannot be used: {why}") from error
    if not stat.S_ISREG(mode):
        raise JournalError(f"the journal {path} cannot be used: that is no regular file; name another")


def open_store(path: Path, *, any_thread: bool = False) -> tuple[Store, Damage | None]:
    """Return the journal's file, open, checked and durable by name; call it within `guarded`.

    Raises: JournalError, also for a damaged file that a living session still uses, and for a file that is no journal.
    """
    try:
        _finish_setting_aside(path)
        _create(path)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be created: {error.strerror}") from error
    try:
        return _checked(path, any_thread), None
    except DamagedError as error:
        damage = _set_aside(path, error)
        return _checked(path, any_thread), damage


def prepare_folder(path: Path) -> None:
    """Make the folder of a journal. Raises: JournalError, also where something else than a file has its name."""
    check_file(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be created: {error.filename}: {error.strerror}"
        ) from error


def _checked(path: Path, any_thread: bool) -> Store:
    store = Store.open(path, any_thread=any_thread)
    try:
        store.check()
    except BaseException:
        with suppress(JournalError):
            store.close()
        raise
    return store


def _create(path: Path) -> None:
    """Create an empty file that only its owner may read, which SQLite's other files take after.

    One that exists is not even opened: closing it would drop the locks that SQLite has on it in this process.
    """
    if os.path.lexists(path):
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)


def _set_aside(path: Path, why: DamagedError) -> Damage:
    if living := [session for session in sessions_with_locks(path) if lives(path, session)]:
        raise JournalError(f"{why}; another process uses it (session {living[0]}): end that first") from why
    if not is_ours(path):
        raise JournalError(f"{path} is not a journal; name another file") from why
    try:
        return _replace(path, why)
    except OSError as error:
        raise JournalError(f"{why}; it cannot be set aside: {error.strerror}") from error


def _replace(path: Path, why: DamagedError) -> Damage:
    """Write what is intact into a new file, complete before the damaged one gives way to it."""
    records, lost = _salvage(path)
    new = beside(path, "new")
    _remove_database(new)
    _create(new)
    store = Store.open(new)
    try:
        store.commit(list(chunks(records)))
    finally:
        store.close()
    aside = _free_name(path)
    os.rename(path, aside)
    _finish_setting_aside(path)
    return Damage(aside, len(records), (str(why), *lost))


def _salvage(path: Path) -> tuple[list[Record], list[str]]:
    try:
        store = Store.open(path, read_only=True, damaged=True)
    except JournalError as error:
        return [], [str(error)]
    try:
        return store.salvage()
    finally:
        with suppress(JournalError):
            store.close()


def _finish_setting_aside(path: Path) -> None:
    """Put the new file in the place that the damaged one has left; a new file beside that is not complete."""
    new = beside(path, "new")
    if not os.path.lexists(new):
        return
    if os.path.lexists(path):
        _remove_database(new)
        return
    _aside_write_ahead_log(path)
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    os.rename(new, path)
    sync_folder(path.parent)


def _aside_write_ahead_log(path: Path) -> None:
    latest = [name for name in _damaged_names(path) if os.path.lexists(name)][-1:]
    with suppress(FileNotFoundError):
        os.rename(f"{path}-wal", f"{latest[0] if latest else _free_name(path)}-wal")


def put_copy_aside(path: Path, store: Store) -> Path:
    """Keep a copy of a journal that has damaged records, for people to look at. Raises: JournalError."""
    aside = _free_name(path)
    store.copy(aside)
    return aside


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def _damaged_names(path: Path) -> list[Path]:
    return [beside(path, f"damaged-{number}") for number in range(1, 1000)]


def _free_name(path: Path) -> Path:
    for name in _damaged_names(path):
        if not os.path.lexists(name):
            return name
    raise JournalError(f"beside the journal {path} lie 999 damaged ones already; remove them")


def is_ours(path: Path) -> bool:
    """Return whether a damaged file was a journal once: somebody's letter must not be moved out of their way.

    Nothing of this process has the file open now, so reading it drops no locks.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    return (
        not head.strip(b"\0")
        or _OURS in head
        or (head.startswith(_MAGIC) and head[68:72] in (APPLICATION_ID.to_bytes(4, "big"), b""))
    )
