"""Files and folders below given roots, and what is mounted."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ..escaping import escaped
from .leak import Held, Leak, LeakKind
from .processes import below

MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")


def files(roots: Sequence[Path]) -> Held:
    """Return everything that lies below `roots`, which are walked whole; links are not followed."""
    held: Held = {
        (path, inode): partial(_file_told, path) for root in roots for path, inode in _walk(str(root))
    }
    return held


def topmost(paths: Sequence[str]) -> list[str]:
    """Return the paths that lie in no other of them.

    >>> topmost(["/a/b", "/a", "/c/d"])
    ['/a', '/c/d']
    """
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: path.split("/")):
        if not kept or not path.startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept


def _walk(top: str) -> Iterator[tuple[str, int]]:
    waiting = [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry.path, entry.inode()
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:  # gone meanwhile, or not to be read: then its owner is told by name
            continue


def _file_told(path: str) -> Leak:
    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        is_folder = False
    return Leak(LeakKind.FILE, f"{escaped(path)}{'/' if is_folder else ''}")


def mounts(roots: Sequence[Path] = ()) -> Held:
    """Return what is mounted below `roots`, everywhere if there are none; only Linux tells."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return {}
    found = (_mount(line) for line in lines)
    return {
        (number, place): partial(_mount_told, place, kind)
        for number, place, kind in found
        if not roots or below(place, roots)
    }


def _mount(line: bytes) -> tuple[str, str, str]:
    """Return number, place and file system of a line of mountinfo (see proc(5))."""
    before, _, after = line.partition(b" - ")
    fields = before.split()
    place = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
    return fields[0].decode(), os.fsdecode(place), after.split()[0].decode()


def _mount_told(place: str, kind: str) -> Leak:
    return Leak(LeakKind.MOUNT, f"{escaped(kind)} on {escaped(place)}")
