"""Removes a folder that a task has filled, whatever the task did to make that hard.

The walk holds one open folder at a time and goes up again by `..`, so that neither the depth of a tree, nor
the length of its paths, nor its number of folders matters. It never follows a symbolic link: folders are
opened by name within their parent, without following, and the parent that `..` leads to must be the one it
came from. Nor does it enter another file system that is mounted in the tree.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from functools import partial
from pathlib import Path

import attrs

from .errors import NonFatalInternalError
from .offload import StoppedError, offload

PASSES = 5
"""How often a tree is walked while something is still being created in it."""
PAUSE_SECONDS = 0.05
"""Between two passes."""
SHOWN = 3
"""How many of the paths that are left an error names."""
KEPT = 100
"""How many of the paths that are left a walk remembers."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BARE = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC


async def remove_folder(path: Path) -> None:
    """Remove a folder and all that is in it, in a thread kept for dispose; one that does not exist is fine.

    An empty one goes at once: the way to a thread and back costs more than all the rest of a small run's dispose.

    Raises: NonFatalInternalError that names what is left and why, after everything else was removed.
    """
    try:
        os.rmdir(path)
    except OSError:
        pass  # the walk finds out why
    else:
        return
    await offload(partial(_remove, os.fspath(path)), reserved=True)


def _remove(path: str, stop: threading.Event) -> None:
    left: list[tuple[str, OSError]] = []
    for _ in range(PASSES):
        left = _Walk(path, stop).run()
        if not left:
            return
        stop.wait(PAUSE_SECONDS)
    raise NonFatalInternalError(_describe(path, left)) from left[0][1]


def _describe(path: str, left: list[tuple[str, OSError]]) -> str:
    causes = [(name, error) for name, error in left if error.errno != errno.ENOTEMPTY] or left
    shown = "; ".join(f"{name}: {error.strerror}" for name, error in causes[:SHOWN])
    more = "; and more" if len(causes) > SHOWN else ""
    return f"the folder {path} could not be removed, left are: {shown}{more}"


@attrs.define
class _Level:
    """A folder on the way down: its name, what tells it from others, what in it is still to be entered."""

    name: str
    identity: tuple[int, int]
    folders: list[str]


@attrs.define(eq=False)
class _Walk:
    """One pass over a tree, depth first; `run` returns what it could not remove."""

    top: str
    stop: threading.Event
    levels: list[_Level] = attrs.field(factory=list)
    left: list[tuple[str, OSError]] = attrs.field(factory=list)
    current: int = -1

    def run(self) -> list[tuple[str, OSError]]:
        try:
            if self._removed_bare():
                return self.left
            self._enter(self.top, None)
            while self.levels:
                if self.levels[-1].folders:
                    self._descend(self.levels[-1].folders.pop())
                else:
                    self._ascend()
        except OSError as error:  # the top itself, or the way back up
            if error.errno != errno.ENOENT or self.levels:
                self._leave("", error)
        finally:
            self._close()
        return self.left

    def _removed_bare(self) -> bool:
        """Remove the top if it is empty.

        Raises: OSError if something is mounted over it, which is not to be emptied.
        """
        try:
            os.rmdir(self.top)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.ENOENT):
                raise
            return False
        return True

    def _descend(self, name: str) -> None:
        try:
            self._enter(name, self.current)
        except FileNotFoundError:
            pass  # somebody else removed it
        except OSError as error:
            self._leave(name, error)

    def _enter(self, name: str, parent: int | None) -> None:
        if self.stop.is_set():
            raise StoppedError
        try:
            folder = _open_folder(name, parent)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            os.unlink(name, dir_fd=parent)  # no folder after all: a link or a file that took its place
            return
        identity = _identity(folder)
        if self.levels and identity[0] != self.levels[0].identity[0]:
            os.close(folder)
            raise OSError(errno.EXDEV, "another file system is mounted here")
        self._close()
        self.current = folder
        self.levels.append(_Level(name, identity, []))
        self.levels[-1].folders = self._clear()

    def _clear(self) -> list[str]:
        """Remove what is no folder from the current one; return the folders that are not empty."""
        folders: list[str] = []
        with os.scandir(self.current) as entries:
            for entry in entries:
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=self.current)
                    elif not self._rmdir_empty(entry.name):
                        folders.append(entry.name)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    self._leave(entry.name, error)
        return folders

    def _rmdir_empty(self, name: str) -> bool:
        try:
            os.rmdir(name, dir_fd=self.current)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _ascend(self) -> None:
        done = self.levels.pop()
        if not self.levels:
            self._close()
            self._rmdir(done.name, None)
            return
        parent = os.open("..", _FOLDER, dir_fd=self.current)
        self._close()
        self.current = parent
        if _identity(parent) != self.levels[-1].identity:
            raise OSError(errno.ESTALE, "the folder was moved while it was being removed")
        self._rmdir(done.name, parent)

    def _rmdir(self, name: str, parent: int | None) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._leave(name, error)

    def _leave(self, name: str, error: OSError) -> None:
        if len(self.left) < KEPT:
            path = os.path.join(*[level.name for level in self.levels], name) or self.top
            self.left.append((path.rstrip("/"), error))

    def _close(self) -> None:
        if self.current >= 0:
            os.close(self.current)
            self.current = -1


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino


def open_unlocked(name: str, flags: int, parent: int | None) -> int:
    """Open a file or folder of a task, without following links, with the rights back that the task took away."""
    flags |= os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        _unlock(name, parent, flags & os.O_DIRECTORY)
        return os.open(name, flags, dir_fd=parent)


def _open_folder(name: str, parent: int | None) -> int:
    """Open a folder so that all in it can be removed."""
    folder = open_unlocked(name, _FOLDER, parent)
    with contextlib.suppress(PermissionError):  # not ours: what cannot be removed from it will say so
        if os.fstat(folder).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(folder, stat.S_IRWXU)
    return folder


def _unlock(name: str, parent: int | None, kind: int) -> None:
    if sys.platform == "linux":
        # Opened in this way it needs no right to the file, and cannot be swapped for a link.
        bare = os.open(name, _BARE | kind, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{bare}", stat.S_IRWXU)
        finally:
            os.close(bare)
    else:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent, follow_symlinks=False)
