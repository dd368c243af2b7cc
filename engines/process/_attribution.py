"""Which processes belong to a command that runs below a supervisor; signals that reach those and nobody else.

/proc is read piece by piece while processes come, go, and get the numbers of others. So each process that
seems to belong is held by a pidfd first, looked at again, together with the process on whose account it
belongs, and signalled only if both are still the same and still related. What seems to belong is dealt with
as soon as it is seen, before the next is looked at: a process that forks and exits all the time would be gone
otherwise.
"""

from __future__ import annotations

import enum
import os
import secrets
import signal
import time
from collections.abc import Iterator
from functools import partial

import attrs

from ...lifecycle.proc import Key, Process, has_program, look, numbers, read, send

VARIABLE = "STAGECALL_SANDBOX"
"""The variable that bears the marker, in the environment of a command and of what it starts."""
STOP_ROUNDS = 20
"""How often all processes are looked at for some to stop, before those that were stopped are killed."""
PAUSE_SECONDS = 0.002
EXEC_SECONDS = 1.0
"""How long a process may take between two programs, on a busy host."""


def new_marker() -> str:
    """Return a marker that nobody can guess."""
    return secrets.token_hex(16)


def entry(marker: str) -> bytes:
    """Return a marker's entry in the environment of a process.

    >>> entry("0123")
    b'STAGECALL_SANDBOX=0123'
    """
    return f"{VARIABLE}={marker}".encode()


def bears(pid: int, marker: bytes) -> bool:
    """Whether a process has a marker's entry in its environment, or that of a shell beside the command."""
    entries = _environment(pid).split(b"\0")
    return any(entry == marker or entry.startswith(marker + b".") for entry in entries)


def _environment(pid: int) -> bytes:
    """Return a process's environment; while it executes another program the kernel shows none for a moment."""
    if environment := read(pid, "environ"):
        return environment
    deadline = time.monotonic() + EXEC_SECONDS
    while _executes(pid) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
    return read(pid, "environ")


def _executes(pid: int) -> bool:
    """Whether a process shows no command line either, and yet is none of the kernel's own."""
    return not read(pid, "cmdline") and has_program(pid)


class _Why(enum.Enum):
    """On what account a process seems to belong: LEADER is being in the session of the command itself."""

    PARENT = enum.auto()
    SESSION = enum.auto()
    LEADER = enum.auto()
    MARKER = enum.auto()


@attrs.frozen
class _Found:
    """A process that seems to belong, as a child of `other`, or as one in its session."""

    process: Process
    why: _Why
    other: Process


@attrs.define(eq=False)
class Attribution:
    """Finds what belongs to the command `leader`, which `supervisor` started with the entry `marker`.

    What descends from the supervisor belongs. So does, even if the supervisor was killed, what bears the
    marker, what is in the session of the command or of a process that belongs, and what descends from those.
    Whoever finds only the marker, as after a crash, knows neither of the two; the supervisor bears it too.
    """

    marker: bytes
    supervisor: Process | None = None
    leader: Process | None = None
    _members: dict[Key, Process] = attrs.field(factory=dict, init=False)

    def signal(self, number: int) -> None:
        """Send a signal to all that belong."""
        for found in self._look():
            self._send(found, number)

    def sweep(self, seconds: float) -> list[int]:
        """Kill all that belong until a look finds none, for at most `seconds`; return those left.

        They are stopped before they are killed: what is stopped forks no more, and shows whose its kin are.
        """
        deadline = time.monotonic() + seconds
        while found := self._stop_all():
            for each in found:
                self._send(each, signal.SIGKILL)
            if time.monotonic() > deadline:
                return [each.process.pid for each in found]
            time.sleep(PAUSE_SECONDS)
        return []

    def _stop_all(self) -> list[_Found]:
        """Stop what belongs until a look finds nothing new, or too often; return what the last look found."""
        found: list[_Found] = []
        for _ in range(STOP_ROUNDS):
            found, known = [], len(self._members)
            for each in self._look():
                found.append(each)
                if each.process.key not in self._members:
                    self._send(each, signal.SIGSTOP)
            if len(self._members) == known:
                break
        return found

    def _look(self) -> Iterator[_Found]:
        """Yield those alive that seem to belong, each as it is seen."""
        self._members = {
            key: member for key, member in self._members.items() if member.same(look(member.pid))
        }
        parents = {member.pid: member for member in self._members.values()}
        sessions = {member.session: member for member in self._members.values()}
        spared = {os.getpid()}  # a recovery may have been started by what it is to end
        if self.supervisor is not None:
            parents[self.supervisor.pid] = self.supervisor
            spared.add(self.supervisor.pid)
        for number in numbers():
            process = None if number in spared else look(number)
            if process is None or not process.alive:
                continue
            if found := self._judge(process, parents, sessions):
                parents[process.pid] = sessions[process.session] = process
                yield found

    def _judge(
        self, process: Process, parents: dict[int, Process], sessions: dict[int, Process]
    ) -> _Found | None:
        if parent := parents.get(process.parent):
            return _Found(process, _Why.PARENT, parent)
        if member := sessions.get(process.session):
            return _Found(process, _Why.SESSION, member)
        if self.leader is not None and process.session == self.leader.pid:
            return _Found(process, _Why.LEADER, self.leader)
        young = self.supervisor is None or process.start >= self.supervisor.start
        if young and bears(process.pid, self.marker):
            return _Found(process, _Why.MARKER, process)
        return None

    def _send(self, found: _Found, number: int) -> None:
        try:
            sent = send(found.process.pid, number, partial(self._belongs, found))
        except PermissionError:  # it has become another user's; `sweep` will say that it is left
            return
        if sent:
            self._members[found.process.key] = found.process

    def _belongs(self, found: _Found) -> bool:
        """Whether a process that is held by now is the one that was found, and really belongs."""
        again = look(found.process.pid)
        if again is None or not again.same(found.process):
            return False
        if again.key in self._members:
            return True
        match found.why:
            case _Why.PARENT:
                return again.parent == found.other.pid and found.other.same(look(found.other.pid))
            case _Why.SESSION:
                return again.session == found.other.session and found.other.same(look(found.other.pid))
            case _Why.LEADER:
                # A number is not given away while a session bears it: if another has it, the session is gone.
                leader = look(found.other.pid)
                return again.session == found.other.pid and (leader is None or leader.same(found.other))
            case _Why.MARKER:
                return bears(again.pid, self.marker)
