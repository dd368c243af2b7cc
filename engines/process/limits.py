"""What one process of a task may use: the limits of the kernel, set from outside before the task begins."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ..base import Schema

_LIMITS: Mapping[str, str] = {
    "cpu_seconds": "RLIMIT_CPU",
    "open_files": "RLIMIT_NOFILE",
    "processes": "RLIMIT_NPROC",
    "file_bytes": "RLIMIT_FSIZE",
    "memory_bytes": "RLIMIT_AS",
    "core_bytes": "RLIMIT_CORE",
}

_MOST = 2**62
"""More than any host has, and still a number to the kernel."""


@attrs.frozen
class Limits:
    """What one process of a task may use, None where it is not limited: sizes in bytes, CPU time in seconds.

    The kernel counts them for each process alone, except `processes`, which counts those of the worker's user
    (and none of root's).
    """

    cpu_seconds: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    memory_bytes: int | None = None
    core_bytes: int | None = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS = Limits()


def limit(pid: int, limits: Limits) -> None:
    """Limit a process that waits at its gate, to no more than the worker may have itself. Linux only.

    Raises: NonFatalInternalError.
    """
    if not limits:
        return
    try:
        for name, value in attrs.asdict(limits).items():
            if value is not None:
                _limit(pid, getattr(resource, _LIMITS[name]), value)
    except ProcessLookupError:
        pass  # it was killed meanwhile, which its exit tells
    except OSError as error:
        raise NonFatalInternalError(
            f"process {pid} could not be limited to {limits}: {error.strerror}"
        ) from error


def _limit(pid: int, which: int, soft: int) -> None:
    # One second more until SIGKILL: the first signal, SIGXCPU, then tells what happened.
    hard = soft + 1 if which == resource.RLIMIT_CPU else soft
    own = resource.getrlimit(which)[1]
    if own != resource.RLIM_INFINITY:
        soft, hard = min(soft, own), min(hard, own)
    if sys.platform == "linux":
        resource.prlimit(pid, which, (soft, hard))


def _rule(title: str, description: str, least: int = 1) -> dict[str, object]:
    return {
        "type": "integer",
        "min": least,
        "max": _MOST,
        "meta": {"title": title, "description": description},
    }


LIMITS_SCHEMA: Schema = {
    "cpuSeconds": _rule("CPU time", "Seconds of CPU time that one process may use; it then gets SIGXCPU."),
    "openFiles": _rule("Open files", "Files that one process may have open.", least=8),
    "processes": _rule("Processes", "Processes that the worker's user may have; does not hold for root."),
    "fileBytes": _rule("File size", "Bytes that one file may grow to.", least=0),
    "memoryBytes": _rule("Memory", "Bytes of address space that one process may have.", least=1_048_576),
    "coreBytes": _rule("Core dumps", "Bytes that a core dump may have; 0 for none.", least=0),
}
