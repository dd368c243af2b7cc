"""What an engine left behind: open files and sockets, processes, threads, tasks of the loop, files and folders."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs

_PROC = Path("/proc")

_POOLS = ("stagecall", "stagecall-dispose")
"""How the threads of the library's own pools are called, which stay for the next job."""


@attrs.frozen
class Residue:
    """All there is of each kind at one moment, in words; what has no `/proc` is not seen there."""

    things: frozenset[str]
    tasks: frozenset[asyncio.Task[object]] = attrs.field(repr=False)

    @classmethod
    def here(cls, place: Path) -> Residue:
        """Return what is there now; `place` is the folder in which all files of a check lie."""
        found = {*_descriptors(), *_processes(place), *_threads()}
        return cls(frozenset(found), frozenset(asyncio.all_tasks()))

    def beyond(self, before: Residue) -> list[str]:
        """Return what is here and was not there before, sorted."""
        tasks = {f"the task {task.get_name()!r} of the loop" for task in self.tasks - before.tasks}
        return sorted({*(self.things - before.things), *tasks})


async def left_since(before: Residue, place: Path, seconds: float) -> list[str]:
    """Return what was not there before, once that is nothing or so many seconds have passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := Residue.here(place).beyond(before)) and loop.time() < deadline:  # noqa: ASYNC110
        # `/proc` tells nobody when it changes.
        await asyncio.sleep(0.005)
    return left


def files_below(folder: Path) -> list[str]:
    """Return the files and folders in a folder, each with its path relative to it."""
    return sorted(f"the {_kind(path)} {path.relative_to(folder)}" for path in folder.rglob("*"))


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() and not path.is_symlink() else "file"


def _descriptors() -> Iterator[str]:
    own = _PROC / "self" / "fd"
    for name in os.listdir(own) if own.exists() else []:
        try:
            target = os.readlink(own / name)
        except OSError:  # the one that lists them
            continue
        yield f"the {'socket' if target.startswith('socket:') else 'open file'} {name} ({target})"


def _processes(place: Path) -> Iterator[str]:
    for entry in os.listdir(_PROC) if _PROC.exists() else []:
        if entry.isdecimal() and int(entry) != os.getpid() and _belongs(_PROC / entry, place):
            yield f"the process {entry} ({_command(_PROC / entry)})"


def _belongs(process: Path, place: Path) -> bool:
    """Whether a process is a child of this one, or works in the folder."""
    try:
        parent = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        return parent == os.getpid() or Path(os.readlink(process / "cwd")).is_relative_to(place)
    except OSError:  # gone meanwhile, or somebody else's
        return False


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(
            errors="replace"
        ).strip() or "a zombie"
    except OSError:
        return "gone meanwhile"


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        if thread.name not in _POOLS and not thread.name.startswith("asyncio_"):  # the loop's own pool
            yield f"the thread {thread.name!r}"
