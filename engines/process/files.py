"""Reads what a task left in its folder, and nothing else, whatever the task put there.

A path is followed one name at a time from the open folder, never through a symbolic link, and only regular
files are opened: a fifo would make the reader wait for ever, and to open a device may do something. Blocking;
an engine calls it in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import BinaryIO

import attrs

from ...lifecycle.errors import MalformedPayloadError, NonFatalInternalError
from ..errors import InvalidResourceError, ResourceNotFoundError
from .environment import encodable

MAX_DEPTH = 256
"""How deep folders are entered. Each is opened from the top, so that depth takes time but no descriptors."""

SHOWN = 100
"""Characters of a deep path that an error shows."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_HOST = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""What the machine is short of, or broken in: no fault of the task's."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link (not followed)",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Parts = tuple[str, ...]


@attrs.frozen
class Entry:
    """Something in a folder: `parts` lead to it from the tree's root."""

    parts: Parts
    status: os.stat_result

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)


@attrs.frozen
class Listing:
    """The names in one folder, each list sorted: without their status, as a folder may hold a million files."""

    files: list[str]
    folders: list[str]
    others: list[str]

    @classmethod
    def of(cls, entries: Iterable[os.DirEntry[str]]) -> Listing:
        """Return what a scan of a folder finds. Raises: OSError."""
        listing = cls([], [], [])
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                listing.files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                listing.folders.append(entry.name)
            else:
                listing.others.append(entry.name)
        for names in (listing.files, listing.folders, listing.others):
            names.sort()
        return listing


@attrs.define(eq=False)
class Tree:
    """The folder of a task, held open from before it began: what is put in its place is not taken for it."""

    path: str
    _root: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._root = os.open(self.path, _FOLDER)

    def close(self) -> None:
        """Let go of the folder; nothing can be read any more."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def parts(self, path: str, base: Parts = ()) -> Parts:
        """Return the names that lead to a path: relative to the folder `base`, or absolute and below that.

        Raises: MalformedPayloadError.
        """
        top = "/".join((self.path, *base))
        if path.startswith("/") and path != top and not path.startswith(top + "/"):
            raise MalformedPayloadError(
                f"the path {path!r} is outside the task's folder; it must be relative, or below {top}"
            )
        names = path[len(top) :] if path.startswith("/") else path
        parts = tuple(name for name in names.split("/") if name not in ("", "."))
        if not path or "\0" in path or ".." in parts or not encodable(path):
            raise MalformedPayloadError(
                f"the path {path!r} is not allowed; it must be relative, without `..`"
            )
        return (*base, *parts)

    def open_file(self, parts: Parts) -> BinaryIO:
        """Return a regular file, open for reading. Raises: ResourceNotFoundError."""
        if not parts:
            raise InvalidResourceError("the task's folder itself is no file")
        folder = self._open_folder(parts[:-1])
        try:
            return os.fdopen(self._open(parts, folder), "rb")
        except OSError as error:
            raise _unreadable(parts, error) from error
        finally:
            os.close(folder)

    def entries(self, parts: Parts) -> list[Entry]:
        """Return what is in a folder, sorted by name. Raises: ResourceNotFoundError."""
        folder = self._open_folder(parts)
        try:
            return [
                Entry((*parts, name), os.stat(name, dir_fd=folder, follow_symlinks=False))
                for name in sorted(os.listdir(folder))
            ]
        except OSError as error:
            raise _unreadable(parts, error) from error
        finally:
            os.close(folder)

    def listing(self, parts: Parts) -> Listing:
        """Return the names in a folder by what they are. Raises: ResourceNotFoundError."""
        folder = self._open_folder(parts)
        try:
            with os.scandir(folder) as entries:
                return Listing.of(entries)
        except OSError as error:
            raise _unreadable(parts, error) from error
        finally:
            os.close(folder)

    def read_link(self, parts: Parts) -> str:
        """Return where a symbolic link points to. Raises: ResourceNotFoundError."""
        folder = self._open_folder(parts[:-1])
        try:
            return os.readlink(parts[-1], dir_fd=folder)
        except OSError as error:
            raise _unreadable(parts, error) from error
        finally:
            os.close(folder)

    def _open(self, parts: Parts, folder: int) -> int:
        _check_kind(parts, os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), stat.S_IFREG)
        file = os.open(parts[-1], _FILE, dir_fd=folder)
        try:
            _check_kind(parts, os.fstat(file), stat.S_IFREG)
        except BaseException:
            os.close(file)
            raise
        return file

    def _open_folder(self, parts: Parts) -> int:
        if len(parts) > MAX_DEPTH:
            name = printable(name_of(parts))
            shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
            raise InvalidResourceError(f"{shown} is not entered: deeper than {MAX_DEPTH} folders")
        if self._root < 0:
            raise ResourceNotFoundError("the task's folder is gone: its result set was disposed")
        folder = os.open(".", _FOLDER, dir_fd=self._root)
        for depth, part in enumerate(parts, 1):
            parent = folder
            try:
                _check_kind(parts[:depth], os.stat(part, dir_fd=parent, follow_symlinks=False), stat.S_IFDIR)
                folder = os.open(part, _FOLDER, dir_fd=parent)
            except OSError as error:
                raise _unreadable(parts[:depth], error) from error
            finally:
                os.close(parent)
        return folder


def name_of(parts: Parts) -> str:
    """Return the path that names lead along, with forward slashes.

    >>> name_of(("a", "b")), name_of(())
    ('a/b', '.')
    """
    return "/".join(parts) or "."


def printable(name: str) -> str:
    """Return a file's name as text for people and documents: bytes that are no UTF-8 are spelt out.

    >>> printable(os.fsdecode(b"caf\\xe9"))
    'caf\\\\xe9'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _check_kind(parts: Parts, status: os.stat_result, wanted: int) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != wanted:
        raise InvalidResourceError(
            f"{printable(name_of(parts))} is {_KINDS.get(kind, 'something unknown')}, not {_KINDS[wanted]}"
        )


def _unreadable(parts: Parts, error: OSError) -> ResourceNotFoundError | NonFatalInternalError:
    if error.errno in _HOST:
        return NonFatalInternalError(
            f"{printable(name_of(parts))} cannot be read, for want of the host: {error.strerror}"
        )
    if isinstance(error, FileNotFoundError):
        return ResourceNotFoundError(f"there is no {printable(name_of(parts))}")
    return InvalidResourceError(f"{printable(name_of(parts))} cannot be read: {error.strerror}")
