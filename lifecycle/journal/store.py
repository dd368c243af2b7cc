"""The journal's file: an SQLite database in WAL mode with one table of records.

A record belongs to a session (one worker process) and, unless `run` is 0, to one of its runs. Each carries a crc32
of its key and body, so that a damaged one is never mistaken for what somebody wrote.

    session    one a session: pid, boot id, when it began
    lifecycle  the table of a lifecycle, part by part; runs name the part
    run        what is needed to end a run's trace: ids, lifecycle, where its log is kept
    events     a piece of a run's trace; `part` is the place of its first event
    lease      an open lease; `part` is its id

Everything here blocks; it is called from the writer's thread, or from recovery's.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs

from ..errors import JournalError

VERSION = 1
"""The version of the file's layout, its `user_version`."""
APPLICATION_ID = 0x73746763
"""What marks the file as a journal: `stgc`."""
BUSY_SECONDS = 20.0
"""How long another process may hold the file's write lock."""

What = Literal["session", "lifecycle", "run", "events", "lease"]
Statement = tuple[str, tuple[Any, ...]]

TABLE = """CREATE TABLE records ( -- stagecall journal
    session TEXT NOT NULL, run INTEGER NOT NULL, what TEXT NOT NULL, part INTEGER NOT NULL,
    body TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (session, run, what, part)) WITHOUT ROWID"""

_SESSION = f"session GLOB '{'[0-9a-f]' * 16}'"
_COLUMNS = "session, run, what, part, body, crc"
_INSERT = f"INSERT OR REPLACE INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_ONE = f"SELECT {_COLUMNS} FROM records WHERE session = ? AND run = ? AND what = ? AND part = ?"
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_DAMAGED_READ = {sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}


class DamagedError(JournalError):
    """The file is no sound database any more."""


@attrs.frozen
class Record:
    """One row whose crc is right; `body` is what JSON can say."""

    session: str
    run: int
    what: What
    part: int
    body: Any

    @property
    def key(self) -> str:
        """What tells the record from all others, for people."""
        return f"record {self.session}/{self.run}/{self.what}/{self.part}"


def insert(session: str, run: int, what: What, part: int, body: Any) -> Statement:
    """Return the statement that stores a record, in place of one with the same key."""
    text = json.dumps(body, separators=(",", ":"), default=str)
    return _INSERT, (session, run, what, part, text, checksum(session, run, what, part, text))


def delete(session: str, run: int, what: What, part: int) -> Statement:
    """Return the statement that deletes one record."""
    key = (session, run, what, part)
    return "DELETE FROM records WHERE session = ? AND run = ? AND what = ? AND part = ?", key


def forget(session: str, run: int | None = None) -> Statement:
    """Return the statement that deletes all of a run's records, or all of a session's."""
    if run is None:
        return "DELETE FROM records WHERE session = ?", (session,)
    return "DELETE FROM records WHERE session = ? AND run = ?", (session, run)


def checksum(session: str, run: int, what: str, part: int, text: str) -> int:
    """Return the crc32 of a record's key and body, so that one in the wrong place is damaged too."""
    return zlib.crc32(f"{session}\0{run}\0{what}\0{part}\0{text}".encode("utf-8", "backslashreplace"))


class Store:
    """An open journal file; `blank` tells that nothing had ever been written into it.

    Raises, all methods: DamagedError for a file that is broken, JournalError for everything else, such as a full disk.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.blank = False
        # SQLite's module does not survive that one thread closes a connection while another uses it.
        self._using = threading.Lock()
        self._connection = connection

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, any_thread: bool = False, damaged: bool = False
    ) -> Store:
        """Open a file that is there, empty or a journal; an empty one becomes one.

        One that is known to be `damaged` is opened for `salvage`, even if its end is missing.
        """
        mode = "ro" if read_only else "rw"
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=not any_thread,
            )
        except sqlite3.Error as error:
            raise journal_error(path, error) from error
        connection.text_factory = _text
        store = cls(path, connection)
        try:
            if damaged:
                store._pragma("writable_schema = ON")  # with this SQLite opens a file that was cut off
            store._prepare(read_only)
        except BaseException:
            connection.close()
            raise
        return store

    def _prepare(self, read_only: bool) -> None:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
            self._pragma(pragma)
        self._recognise(read_only)
        if read_only:
            return
        if (mode := self._pragma("journal_mode = WAL")) != "wal":
            raise JournalError(f"the journal {self.path} cannot use a write-ahead log here, only {mode!r}")
        for pragma in ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"):
            self._pragma(pragma)
        self._pragma("journal_size_limit = 4194304")

    def _recognise(self, read_only: bool) -> None:
        """Find out whether this is a journal of a version that is known; make an empty file one."""
        tables = {name for (name,) in self._all("SELECT name FROM sqlite_master")}
        application, version = self._pragma("application_id"), self._pragma("user_version")
        self.blank = not tables and application == 0 and version == 0
        if self.blank and read_only:
            return
        if self.blank:
            self.commit(
                [
                    (TABLE, ()),
                    (f"PRAGMA application_id = {APPLICATION_ID}", ()),
                    (f"PRAGMA user_version = {VERSION}", ()),
                ]
            )
        elif application != APPLICATION_ID:
            raise JournalError(
                f"{self.path} is a database of something else, not a journal; name another file"
            )
        elif version != VERSION:
            raise JournalError(
                f"the journal {self.path} has version {version}, this release knows version {VERSION}: "
                "it was written by another release; recover it with that, or name another file"
            )
        elif "records" not in tables:
            raise DamagedError(f"the journal {self.path} has lost its table")

    def check(self) -> None:
        """Look through the whole file. Raises: DamagedError."""
        found = [str(line) for (line,) in self._all("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise DamagedError(f"the journal {self.path} is damaged: {'; '.join(found)}")

    def commit(self, statements: Iterable[Statement]) -> None:
        """Execute statements as one transaction; when this returns they are on disk."""
        with self._using:
            try:
                self._transact(statements)
            except sqlite3.Error as error:
                raise journal_error(self.path, error) from error

    def _transact(self, statements: Iterable[Statement]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the error that led here counts

    def sessions(self) -> list[str]:
        """Return the sessions that have any record."""
        sql = f"SELECT DISTINCT session FROM records WHERE {_SESSION} ORDER BY session"
        return [name for (name,) in self._all(sql)]

    def strangers(self) -> list[str]:
        """Forget the records of what cannot be a session's name, and return a few words on each."""
        _, found = sort_out(self._all(f"SELECT {_COLUMNS} FROM records WHERE NOT ({_SESSION})"))
        if found:
            self.commit([(f"DELETE FROM records WHERE NOT ({_SESSION})", ())])
        return found

    def copy(self, path: Path) -> None:
        """Write a copy of the file. Raises: JournalError."""
        self._all("VACUUM INTO ?", (str(path),))

    def records(self, session: str) -> tuple[list[Record], list[str]]:
        """Return a session's sound records in order of their keys, and what is known of those that are not."""
        rows = self._all(f"SELECT {_COLUMNS} FROM records WHERE session = ? ORDER BY 1, 2, 3, 4", (session,))
        return sort_out(rows)

    def salvage(self) -> tuple[list[Record], list[str]]:
        """Return the sound records that can be read from a damaged file, and what is known of the others.

        Keys are read from either end up to the damage, then each body by itself, as it may lie on pages of its own.
        """
        keys: dict[tuple[Any, ...], None] = {}
        damaged: list[str] = []
        for order in ("ASC", "DESC"):
            columns = ("session", "run", "what", "part")
            by = ", ".join(f"{column} {order}" for column in columns)
            try:
                for key in self._connection.execute(
                    f"SELECT {', '.join(columns)} FROM records ORDER BY {by}"
                ):
                    keys[key] = None
            except sqlite3.Error as error:
                damaged = [str(error)]
            else:
                break
        rows: list[tuple[Any, ...]] = []
        for key in keys:
            try:
                rows += self._connection.execute(_ONE, key).fetchall()
            except sqlite3.Error:
                damaged.append(_name(key))
        sound, broken = sort_out(rows)
        return sound, damaged + broken

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._using:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise journal_error(self.path, error) from error

    def _pragma(self, pragma: str) -> Any:
        row = self._all(f"PRAGMA {pragma}")
        return row[0][0] if row else None

    def close(self) -> None:
        """Close the file; what was committed is on disk already."""
        with self._using:
            try:
                self._connection.close()
            except sqlite3.Error as error:
                raise journal_error(self.path, error) from error


def sort_out(rows: Iterable[tuple[Any, ...]]) -> tuple[list[Record], list[str]]:
    """Return the records of rows whose crc is right, and a few words on each of the others."""
    sound, broken = [], []
    for row in rows:
        record = _record(row)
        if record is None:
            broken.append(_name(row))
        else:
            sound.append(record)
    return sound, broken


def _name(row: tuple[Any, ...]) -> str:
    return "record {}/{}/{}/{}".format(*row[:4])


def _record(row: tuple[Any, ...]) -> Record | None:
    session, run, what, part, text, crc = row
    if not isinstance(text, str) or checksum(session, run, what, part, text) != crc:
        return None
    try:
        return Record(session, run, what, part, json.loads(text))
    except ValueError:
        return None


def _text(data: bytes) -> str:
    """Read text of a damaged row too; its crc will be wrong."""
    return data.decode("utf-8", "replace")


def journal_error(path: Path, error: sqlite3.Error) -> JournalError:
    """Return an error of SQLite's as the journal's: a damaged file is told from one that cannot be used now."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if code & 0xFF in _DAMAGE or code in _DAMAGED_READ:
        return DamagedError(f"the journal {path} is damaged: {error}")
    if code & 0xFF == sqlite3.SQLITE_BUSY:
        return JournalError(
            f"the journal {path} is held by another process for {BUSY_SECONDS:g} seconds: {error}"
        )
    return JournalError(f"the journal {path} cannot be used: {error}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chunks(records: Iterable[Record]) -> Iterator[Statement]:
    """Yield the statements that store these records again."""
    for record in records:
        yield insert(record.session, record.run, record.what, record.part, record.body)
