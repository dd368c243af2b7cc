"""Opening folders and files below a root, through folders only: no symbolic link is followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A fifo in the place of a file must not block whoever opens it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def made_folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """Open the folder at `parts` below `root`, making what is missing. Raises: OSError."""
    root.mkdir(parents=True, exist_ok=True)
    with _descended(root, parts, make=True) as folder:
        yield folder


@contextmanager
def existing_folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """Open the folder at `parts` below `root`. Raises: OSError."""
    with _descended(root, parts, make=False) as folder:
        yield folder


def open_file(root: Path, parts: Sequence[str]) -> int:
    """Return a descriptor of the regular file at `parts` below `root`, to read from.

    Raises: FileNotFoundError where there is none; OSError.
    """
    *folders, name = parts
    try:
        with existing_folder(root, folders) as parent:
            file = os.open(name, _FILE, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, "no file", name)
    return file


@contextmanager
def _descended(root: Path, parts: Sequence[str], *, make: bool) -> Iterator[int]:
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            inner = _open_inner(part, folder, make=make)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _open_inner(name: str, parent: int, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise NotADirectoryError(
            error.errno, f"{name!r} is a file or a symbolic link, not a folder"
        ) from error
