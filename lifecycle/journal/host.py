"""What tells a process from all others, on this host and in this boot of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..proc import boot_id, look


def this_process() -> dict[str, Any]:
    """Return the number of this process, when it began, and the boot of the host; None for what cannot be told."""
    return {"pid": os.getpid(), **_told(os.getpid())}


def process_lives(process: Mapping[str, Any]) -> bool:
    """Return whether the process that `this_process` described is alive, as far as that can be told.

    >>> process_lives(this_process()), process_lives({"pid": 1, "start_time": -1, "boot_id": "another"})
    (True, False)
    """
    pid = process.get("pid")
    known = _told(pid) if isinstance(pid, int) else {"start_time": None}
    return None not in known.values() and all(process.get(name) == value for name, value in known.items())


def _told(pid: int) -> dict[str, Any]:
    """Return when a process began, in ticks since the boot, and which boot; None if it is not there, or on macOS."""
    found = look(pid)
    try:
        boot: str | None = boot_id()
    except OSError:
        boot = None
    return {"start_time": None if found is None else found.start, "boot_id": boot}
