"""What tells a process from all others, on this host and in this boot of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return the number of this process, when it began, and the boot of the host; None for what cannot be told."""
    return {"pid": os.getpid(), "start_time": _start_time(os.getpid()), "boot_id": _boot_id()}


def process_lives(process: Mapping[str, Any]) -> bool:
    """Return whether the process that `this_process` described is alive, as far as that can be told.

    >>> process_lives(this_process()), process_lives({"pid": 1, "start_time": -1, "boot_id": "another"})
    (True, False)
    """
    known = {"start_time": _start_time(process.get("pid")), "boot_id": _boot_id()}
    return None not in known.values() and all(process.get(name) == value for name, value in known.items())


def _start_time(pid: object) -> int | None:
    """Return when a process began, in ticks since the boot; None if it is not there, or on macOS."""
    try:
        told = Path("/proc", str(pid), "stat").read_bytes()
        return int(told[told.rindex(b")") + 2 :].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _boot_id() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return None
