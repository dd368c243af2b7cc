"""Holds together what a command starts, so that nothing of it outlives the command, in one of three ways:

- `cgroup`: a control group (v2) of its own. The kernel keeps every descendant in it and kills all of them at
  once.
- `marker`: the command runs below a small process that adopts its orphans, and bears a variable that nobody
  else has. What descends from the supervisor, bears the variable, or shares a session with such a process,
  belongs to it.
- `none`: the process group. What leaves the group, by `setsid`, goes on running.

`auto` is the first of these that can be had. All this keeps a host clean of what tasks leave behind, by
accident or by trying hard. It is no wall against a task that attacks the worker: it runs as the same user,
and as root it can move itself to another control group.
"""

from __future__ import annotations

import abc
import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from ...lifecycle.errors import ConfigurationError, FatalInternalError, JournalError, StagecallError
from .child import Exit
from .config import ContainmentKind
from .spawn import SHELL, Outputs, Program

if TYPE_CHECKING:
    from ...lifecycle.journal.lease import Leasing
    from ...lifecycle.surroundings import Monitor

KILL_SECONDS = 10.0
"""How long the kernel may take to end processes that got SIGKILL, before they count as unkillable."""


class Cell(abc.ABC):
    """Holds one command and what it starts, from `start` to `clear`.

    `exited` is there from the start on, and set when the command's own process has ended.
    """

    exited: asyncio.Future[Exit]

    @abc.abstractmethod
    async def start(self, program: Program, outputs: Outputs) -> int | None:
        """Start the program; return the writing end of its stdin, for the caller to close, if that is a pipe.

        Nothing is left behind where it raises, or is cancelled. Raises: MalformedPayloadError,
        NonFatalInternalError, OSError if the host has no room for another process.
        """

    @abc.abstractmethod
    async def terminate(self) -> None:
        """Ask all processes in the cell to end, by SIGTERM."""

    @abc.abstractmethod
    async def clear(self) -> None:
        """Kill what is alive in the cell; return once nothing is. Called once, after `start`.

        Raises: FatalInternalError for processes that cannot be killed.
        """

    @abc.abstractmethod
    def nested(self) -> Cell:
        """Return a cell within this one, for a shell; it must be cleared before this one is."""


class Containment(abc.ABC):
    """One way to hold processes together; makes a cell for each command."""

    kind: ClassVar[ContainmentKind]

    @abc.abstractmethod
    def new_cell(self, leases: Leasing | None) -> Cell:
        """Return a cell for one command, on the loop that will run it.

        With `leases` the cell leases what would outlive the worker, before it acquires it.
        """


class UnavailableError(Exception):
    """This way to hold processes together cannot be had here; the message says why."""


async def choose(kind: ContainmentKind, monitor: Monitor, leases: Leasing | None = None) -> Containment:
    """Return the containment of a kind; `auto` is the first that holds a trial command.

    Raises: ConfigurationError if what was asked for cannot be had; JournalError.
    """
    kinds = [way for way in ContainmentKind if way is not ContainmentKind.AUTO]
    reasons: list[str] = []
    for candidate in kinds if kind is ContainmentKind.AUTO else [kind]:
        try:
            containment = _made(candidate)
            await try_out(containment, leases)
        except UnavailableError as reason:
            reasons.append(f"{candidate}: {reason}")
        else:
            if reasons:
                monitor.log(f"tasks are contained by {candidate}, better cannot be had: {'; '.join(reasons)}")
            return containment
    raise ConfigurationError(f"tasks cannot be contained as configured: {'; '.join(reasons)}")


async def try_out(containment: Containment, leases: Leasing | None = None) -> None:
    """Let a command run in a cell from start to end. Raises: UnavailableError, JournalError."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    cell = containment.new_cell(leases)
    try:
        await cell.start(Program((SHELL, "-c", "exit 0"), SHELL, "/", {}), Outputs(null, null))
        await asyncio.wait([cell.exited], timeout=KILL_SECONDS)
        await cell.clear()
        if not (exit := cell.exited.result()).success:
            raise UnavailableError(f"a trial command {exit}")
    except JournalError:
        raise  # which says nothing about the containment
    except (OSError, StagecallError) as error:
        raise UnavailableError(str(error)) from error
    finally:
        os.close(null)


def _made(kind: ContainmentKind) -> Containment:
    if kind is ContainmentKind.NONE:
        from ._group import GroupContainment

        return GroupContainment()
    if not hasattr(os, "pidfd_open"):
        raise UnavailableError("needs Linux, and a Python that knows its pidfds")
    if kind is ContainmentKind.CGROUP:
        from ._cgroup import CgroupContainment

        return CgroupContainment.here()
    from ._marker import MarkerContainment

    return MarkerContainment()


async def ended(exited: asyncio.Future[Exit], what: str) -> None:
    """Wait until a process that was killed is gone. Raises: FatalInternalError if that takes too long."""
    if not exited.done():
        await asyncio.wait([exited], timeout=KILL_SECONDS)
    if not exited.done():
        raise FatalInternalError(
            f"{what} cannot be killed: {KILL_SECONDS:g} s after SIGKILL it is still there"
        )
