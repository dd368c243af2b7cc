"""Ends what is left of a command when the worker died: the ways back from this engine's leases.

Each may be called again, also after it was cut off, and each kills only what it can prove to be the task's. Numbers
of processes hold for one boot of the host, so a lease of another boot has nothing left to kill. A command whose gate
the worker had not opened has exited by itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.proc import Process, boot_id, look, numbers, send
from ._attribution import PAUSE_SECONDS, Attribution, bears, entry
from ._cgroup_tree import PREFIX, ControlGroup
from ._leases import CGROUP, GROUP, MARKER
from ._thread import in_reserved_thread
from .containment import KILL_SECONDS

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Lease

_FOLDER = re.compile(rf"/(.*/)?{re.escape(PREFIX)}[0-9a-f]{{16}}")
_MARKER = re.compile(r"[0-9a-f]{32}")


async def undo_cgroup(lease: Lease) -> None:
    """Kill all in the control group `folder`, called `name` in /proc, and remove it.

    Raises: NonFatalInternalError if a process is left, or the lease is none of this engine's.
    """
    folder, name = _text(lease, CGROUP, "folder", _FOLDER), _text(lease, CGROUP, "name", _FOLDER)
    if _this_boot(lease, CGROUP):
        await in_reserved_thread(_clear, ControlGroup(folder, name))


async def undo_marker(lease: Lease) -> None:
    """Kill all that bears the `marker`, or descends from such a process, or is in the session of one.

    What had left its supervisor, its session and its environment is not found. Raises: NonFatalInternalError as
    `undo_cgroup` does.
    """
    marker = entry(_text(lease, MARKER, "marker", _MARKER))
    if _this_boot(lease, MARKER):
        left = await in_reserved_thread(Attribution(marker).sweep, KILL_SECONDS)
        _check_dead(left, "the task's marker")


async def undo_group(lease: Lease) -> None:
    """Kill the process group `pid`, if its leader started at `start_time` or one in it bears the `marker`.

    `start_time` is in clock ticks since boot. What had left the group goes on, as it does when a task ends.
    Raises: NonFatalInternalError as `undo_cgroup` does.
    """
    marker = entry(_text(lease, GROUP, "marker", _MARKER))
    pid, start = _number(lease, GROUP, "pid", 2), _number(lease, GROUP, "start_time", 0)
    if _this_boot(lease, GROUP):
        left = await in_reserved_thread(_Group(pid, start, marker).kill, KILL_SECONDS)
        _check_dead(left, f"process group {pid}")


def _clear(group: ControlGroup) -> None:
    if not os.path.lexists(group.folder):
        return
    if not os.path.exists(f"{group.folder}/cgroup.procs"):
        raise NonFatalInternalError(f"{group.folder} is no control group, and was left alone")
    if group.holds(os.getpid()):
        raise NonFatalInternalError(
            f"{group.folder} holds the process that is to clear it, and was left alone"
        )
    try:
        group.clear(KILL_SECONDS)
    except OSError as error:
        raise NonFatalInternalError(
            f"{KILL_SECONDS:g} s after SIGKILL the control group {group.folder} is not empty: {error.strerror}, "
            f"processes {list(group.members())}"
        ) from error


@attrs.frozen
class _Group:
    """A process group as it was leased. Its number is nobody else's while one of its processes lives."""

    pid: int
    start: int
    marker: bytes

    def kill(self, seconds: float) -> list[int]:
        """Kill the group, if it is still the one that was leased; return who of it is alive after `seconds`.

        Raises: NonFatalInternalError in a process of that group.
        """
        here = look(os.getpid())
        if here is not None and self._proven(here):
            raise NonFatalInternalError(
                f"process group {self.pid} holds the process that is to kill it, and was left alone"
            )
        deadline = time.monotonic() + seconds
        dying: list[Process] = []
        while members := self._members():
            if self._pinned(members):
                os.killpg(self.pid, signal.SIGKILL)
                dying = self._members()  # those that bore the marker may be gone before the others
            elif not _some_of(dying, members) and all(one.same(look(one.pid)) for one in members):
                break  # strangers, or nobody whom this user may signal
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE_SECONDS)
        return [one.pid for one in members if self._proven(one) or _some_of(dying, [one])]

    def _pinned(self, members: list[Process]) -> bool:
        """Stop one that belongs: until it is killed with the others the number cannot become another group's."""
        with contextlib.suppress(PermissionError):
            return any(send(one.pid, signal.SIGSTOP, partial(self._proven, one)) for one in members)
        return False

    def _members(self) -> list[Process]:
        found = (look(number) for number in numbers())
        return [one for one in found if one is not None and one.alive and one.group == self.pid]

    def _proven(self, member: Process) -> bool:
        """Whether a process is still in the group, and that the one that was leased."""
        again = look(member.pid)
        if again is None or not (again.alive and again.same(member) and again.group == self.pid):
            return False
        if (leader := look(self.pid)) is not None:
            return leader.start == self.start
        return any(bears(one.pid, self.marker) for one in self._members())


def _some_of(those: list[Process], members: list[Process]) -> bool:
    return any(one.same(member) for one in those for member in members)


def _check_dead(left: list[int], what: str) -> None:
    if left:
        raise NonFatalInternalError(f"{KILL_SECONDS:g} s after SIGKILL processes of {what} are left: {left}")


def _this_boot(lease: Lease, kind: str) -> bool:
    return _text(lease, kind, "boot_id", re.compile(".+")) == boot_id()


def _text(lease: Lease, kind: str, field: str, pattern: re.Pattern[str]) -> str:
    value = lease.data.get(field)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _malformed(kind, field, value)
    return value


def _number(lease: Lease, kind: str, field: str, least: int) -> int:
    value = lease.data.get(field)
    if not isinstance(value, int) or value < least:
        raise _malformed(kind, field, value)
    return value


def _malformed(kind: str, field: str, value: object) -> NonFatalInternalError:
    return NonFatalInternalError(f"a lease {kind!r} cannot have the {field} {value!r}: nothing was killed")
