"""Processes: those that descend from this one, dead ones that nobody waited for included, and those that live in
certain folders, whoever their parent is by now.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs

from ..escaping import escaped
from .leak import Held, Leak, LeakKind

PROC = Path("/proc")
ZOMBIE = "Z"


@attrs.frozen
class Process:
    """A process: `start` tells it from another that gets its number later."""

    pid: int
    start: str
    parent: int
    state: str
    name: str


def processes(roots: Sequence[Path] = ()) -> Held:
    """Return the processes that this one is answerable for; those in `roots` only where there is `/proc`."""
    running = {one.pid: one for one in _running()}
    answerable = {*_descendants(running), *(pid for pid in running if lives_in(pid, roots))}
    return _held(running[pid] for pid in answerable)


def inhabitants(roots: Sequence[Path]) -> Held:
    """Return the processes that live in certain folders: they work there or have a file there open."""
    return _held(one for one in _running() if lives_in(one.pid, roots))


def _held(found: Iterable[Process]) -> Held:
    return {(one.pid, one.start): partial(_told, one) for one in found}


def lives_in(pid: int, roots: Sequence[Path]) -> bool:
    """Return whether another process than this one has a file or folder below one of `roots` open or as its own."""
    if not roots or pid == os.getpid():
        return False
    return any(below(place, roots) for place in _places(pid))


def below(place: str, roots: Sequence[Path]) -> bool:
    """Return whether a path is one of `roots` or lies in one.

    >>> below("/tmp/a/b (deleted)", [Path("/tmp/a")]), below("/tmp/ab", [Path("/tmp/a")])
    (True, False)
    """
    return any(place == str(root) or place.startswith(f"{root}/") for root in roots)


def _places(pid: int) -> Iterator[str]:
    folder = f"{PROC}/{pid}"
    for name in ("cwd", "root", "exe"):
        yield from _link(f"{folder}/{name}")
    try:
        descriptors = os.listdir(f"{folder}/fd")
    except OSError:  # it is gone, or another user's
        return
    for number in descriptors:
        yield from _link(f"{folder}/fd/{number}")


def _link(path: str) -> Iterator[str]:
    try:
        yield os.readlink(path)
    except OSError:
        return


def _descendants(running: dict[int, Process]) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for one in running.values():
        children.setdefault(one.parent, []).append(one.pid)
    waiting = list(children.get(os.getpid(), ()))
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, ())


def _running() -> Iterable[Process]:
    return _of_proc() if PROC.joinpath("self", "stat").exists() else _of_ps()


def _of_proc() -> Iterator[Process]:
    for name in os.listdir(PROC):
        if not name.isdigit():
            continue
        try:
            stat = PROC.joinpath(name, "stat").read_text("utf-8", "backslashreplace")
        except OSError:  # it has just ended
            continue
        before, _, after = stat.rpartition(")")  # the name may hold anything, parentheses too
        fields = after.split()
        yield Process(int(name), fields[19], int(fields[1]), fields[0], before.partition("(")[2])


def _of_ps() -> Iterator[Process]:
    """Ask `ps`, where there is no `/proc`; it does not count itself."""
    asked = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart=,comm="]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, errors="backslashreplace") as ps:
        output, _ = ps.communicate(timeout=10)
    for line in output.splitlines():
        pid, parent, state, rest = line.split(maxsplit=3)
        start, name = rest[:24], rest[24:].strip()  # lstart is `Thu Jan  1 00:00:00 1970`
        if int(pid) != ps.pid:
            yield Process(int(pid), start, int(parent), state[:1], name)


def _told(process: Process) -> Leak:
    if process.state == ZOMBIE:
        what = f"{process.pid} ({escaped(process.name)}) has ended and nobody waited for it"
    else:
        what = f"{process.pid} is running: {_command(process)}"
    parent = "" if process.parent == os.getpid() else f", a child of {process.parent}"
    return Leak(LeakKind.PROCESS, what + parent)


def _command(process: Process) -> str:
    try:
        line = PROC.joinpath(str(process.pid), "cmdline").read_bytes()
    except OSError:
        line = b""
    words = line.decode("utf-8", "backslashreplace").rstrip("\0").replace("\0", " ")
    return escaped(words or process.name, 200)
