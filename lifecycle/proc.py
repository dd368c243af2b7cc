"""What /proc says about processes, and a signal that cannot hit another process of the same number."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import attrs

Key = tuple[int, int]
"""What tells a process from all others: its number and its start."""


@attrs.frozen
class Process:
    """A process as /proc showed it; `start` is when it began, in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether it still runs, that is, is no zombie."""
        return self.state not in "ZXx"

    @property
    def key(self) -> Key:
        """What tells it from all other processes."""
        return self.pid, self.start

    def same(self, other: Process | None) -> bool:
        """Whether another look at /proc showed the same process."""
        return other is not None and self.key == other.key


def numbers() -> list[int]:
    """Return the numbers of all processes, ascending: parents mostly come before their children."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())


def look(pid: int) -> Process | None:
    """Return a process, None if there is none of that number.

    >>> import os
    >>> look(os.getpid()).parent == os.getppid()
    True
    """
    data = read(pid, "stat")
    if not data:
        return None
    # The name in parentheses may hold anything, parentheses and spaces too.
    fields = data[data.rindex(b")") + 2 :].split()
    parent, group, session = (int(field) for field in fields[1:4])
    return Process(pid, fields[0].decode(), parent, group, session, int(fields[19]))


def read(pid: int, name: str) -> bytes:
    """Return what a file of a process holds; nothing if the process is gone, or not ours to read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.readall() or b""
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def has_program(pid: int) -> bool:
    """Return whether a process runs a program, as all do but the kernel's own; False if it is not ours to know.

    >>> has_program(os.getpid())
    True
    """
    try:
        os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    return True


@cache
def boot_id() -> str:
    """Return what tells this boot of the host from all others; numbers and starts of processes hold for one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def send(pid: int, number: int, still: Callable[[], bool]) -> bool:
    """Signal a process if `still()` holds while its number cannot become another's; return whether it was.

    Raises: PermissionError for a process that has become another user's.
    """
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not still():
            return False
        signal.pidfd_send_signal(held, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(held)
    return True
