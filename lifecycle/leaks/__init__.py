"""Finds what was left behind: processes, descriptors, sockets, mounts, files, threads, tasks.

`take` remembers what the process holds; `Snapshot.settle` tells what it holds more of later. `audit` is both around a
block of code. On Linux all of it comes from `/proc`; elsewhere processes come from `ps`, descriptors from `/dev/fd`,
and mounts are not seen.
"""

from ..errors import LeakError
from .leak import Leak, LeakKind
from .snapshot import SETTLE_SECONDS, Snapshot, audit, take

__all__ = ["SETTLE_SECONDS", "Leak", "LeakError", "LeakKind", "Snapshot", "audit", "take"]
