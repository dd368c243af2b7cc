"""Keeps what a dead process left of a run for people: its log, out of where tasks could reach it, and its trace."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ...specs.slugs import is_slug
from ..folders import open_unlocked
from ..journal.lease import Lease
from ..journal.store import sync_folder
from ..offload import StoppedError

LOG = "task.log"
TRACE = "run.json"
CHUNK_BYTES = 1_048_576

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a task may have put a pipe there, which would wait for somebody to write.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def place_for(keep: Path, owner: tuple[str, int], number: int) -> Path:
    """Return the folder below `keep` for a run; a task id that is none gets no say in paths."""
    task_id, run_id = owner
    return keep / (task_id if is_slug(task_id) else f"unknown-{number}") / str(run_id)


def log_size(lease: Lease) -> int | None:
    """Return the bytes in the log of the run that leased a folder, None if there is none."""
    log = _open_log(lease)
    if log is None:
        return None
    with log:
        return os.fstat(log.fileno()).st_size


def keep_log(lease: Lease, folder: Path, mark: str, stop: threading.Event) -> bool:
    """Copy the log out of a leased folder that is about to be removed; return False if there is none.

    `mark` is the run's own: what a recovery that was killed has left of the copy is replaced.
    Raises: OSError where it cannot be kept.
    """
    log = _open_log(lease)
    if log is None:
        return False
    with log:
        _write(folder, LOG, mark, log, stop)
    return True


def keep_trace(document: Any, folder: Path, mark: str, stop: threading.Event) -> None:
    """Write a run's trace as `run.json`; it is small enough not to be stopped. `mark` is as for `keep_log`.

    Raises: OSError.
    """
    temporary = _temporary(folder, TRACE, mark)
    try:
        with open(os.open(temporary, _NEW, 0o666), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, default=str)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / TRACE)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def _open_log(lease: Lease) -> BinaryIO | None:
    """Open the log in a leased folder; a link, or anything but a regular file, is none of ours."""
    name = lease.data.get("log")
    if lease.kind != "folder" or not isinstance(name, str) or "/" in name:
        return None
    try:
        folder = open_unlocked(str(lease.data["path"]), _FOLDER, None)
    except OSError:
        return None
    try:
        file = open_unlocked(name, _FILE, folder)
    except OSError:
        return None
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return open(file, "rb")


def _temporary(folder: Path, name: str, mark: str) -> Path:
    """Return where a file is written before it gets its name; nothing is there, though a recovery was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{mark}"
    temporary.unlink(missing_ok=True)
    return temporary


def _write(folder: Path, name: str, mark: str, source: BinaryIO, stop: threading.Event) -> None:
    temporary = _temporary(folder, name, mark)
    try:
        with open(os.open(temporary, _NEW, 0o600), "wb") as file:
            _copy(source.fileno(), file.fileno(), stop)
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(folder)


def _copy(source: int, target: int, stop: threading.Event) -> None:
    """Copy what is in a file now, holes as holes: a task could have made its log as long as it liked with one."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    for start, end in _data(source, size):
        while start < end and (piece := os.pread(source, min(CHUNK_BYTES, end - start), start)):
            if stop.is_set():
                raise StoppedError
            start += os.pwrite(target, piece, start)


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where data begins and ends in a file of `size` bytes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # the file system knows no holes
                yield end, size
            return
        yield start, min(end, size)
