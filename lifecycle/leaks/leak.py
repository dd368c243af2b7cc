"""What a leak is, and where the object behind it was created."""

from __future__ import annotations

import enum
import tracemalloc
from collections.abc import Callable, Hashable, Mapping

import attrs


class LeakKind(enum.StrEnum):
    """What was left behind.

    >>> LeakKind("socket") is LeakKind.SOCKET
    True
    """

    PROCESS = "process"
    DESCRIPTOR = "descriptor"
    SOCKET = "socket"
    MOUNT = "mount"
    FILE = "file"
    THREAD = "thread"
    TASK = "task"


@attrs.frozen
class Leak:
    """One thing left behind: `what` it is, and where it was `created`, where that is known.

    >>> print(Leak(LeakKind.DESCRIPTOR, "7 open on /tmp/x", "plugin.py:12"))
    descriptor 7 open on /tmp/x (created at plugin.py:12)
    """

    kind: LeakKind
    what: str
    created: str | None = None

    def __str__(self) -> str:
        created = f" (created at {self.created})" if self.created else ""
        return f"{self.kind} {self.what}{created}"


Held = Mapping[Hashable, Callable[[], Leak]]
"""What a process holds at one moment: each thing's identity, and what tells about it if it turns out a leak."""


def created_at(made: object) -> str | None:
    """Return the file and line where an object was created: known while `tracemalloc` traces."""
    if not tracemalloc.is_tracing():
        return None
    traceback = tracemalloc.get_object_traceback(made)
    if traceback is None:
        return None
    ours = [frame for frame in traceback if not frame.filename.startswith("<")]
    return f"{ours[-1].filename}:{ours[-1].lineno}" if ours else None
