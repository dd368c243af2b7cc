"""What a process holds at one moment, by name, so that two moments can be compared."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from pathlib import Path

import attrs

LIBRARY_THREADS = "stagecall"
"""What the names of the library's own threads begin with; they are shared and stay."""


@attrs.frozen
class Holdings:
    """Tasks of the running loop, threads, open files and entries of a folder, each with how many there are."""

    held: Counter[str]

    @classmethod
    def now(cls, folder: Path) -> Holdings:
        """Return what is held now."""
        return cls(Counter([*_tasks(), *_threads(), *_files(), *_entries(folder)]))

    def beyond(self, before: Holdings) -> list[str]:
        """Return what is held here and was not before, sorted."""
        return sorted((self.held - before.held).elements())


def _tasks() -> list[str]:
    return [f"the task {task.get_coro()!r}" for task in asyncio.all_tasks() if not task.done()]


def _threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [f"the thread {name}" for name in names if not name.startswith(LIBRARY_THREADS)]


def _files() -> list[str]:
    """Return the open files of the process, where the system tells (Linux)."""
    found = []
    folder = "/proc/self/fd"
    for entry in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            found.append(f"the file {os.readlink(f'{folder}/{entry}')}")
        except OSError:
            pass  # the one by which the folder was listed
    return found


def _entries(folder: Path) -> list[str]:
    return [f"the path {path.relative_to(folder)}" for path in folder.rglob("*")]
