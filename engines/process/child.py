"""A child process of ours, watched by the event loop until it has ended and was reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable

import attrs

from ...lifecycle.errors import NonFatalInternalError


@attrs.frozen
class Exit:
    """How a process ended: with the exit code `code`, or by the signal number `signal`; the other is None.

    >>> str(Exit(code=3)), str(Exit(signal=9))
    ('exited with code 3', 'was ended by signal 9 (SIGKILL)')
    >>> Exit(code=0).success
    True
    """

    code: int | None = None
    signal: int | None = None

    @classmethod
    def of(cls, status: int) -> Exit:
        """Return what a wait status says.

        >>> Exit.of(0x300)
        Exit(code=3, signal=None)
        """
        if os.WIFSIGNALED(status):
            return cls(signal=os.WTERMSIG(status))
        return cls(code=os.WEXITSTATUS(status))

    @property
    def success(self) -> bool:
        """Whether the process exited with code 0."""
        return self.code == 0

    def __str__(self) -> str:
        if self.signal is None:
            return f"exited with code {self.code}"
        try:
            name = f" ({signal.Signals(self.signal).name})"
        except ValueError:  # a real-time signal
            name = ""
        return f"was ended by signal {self.signal}{name}"


class Child:
    """Watches a child process: `exited` is the future of its Exit, set when it was reaped.

    `before_reap` is called with it when the process has ended and no other can have its number yet.
    Create it on the loop's thread, once for each process; children that are not the library's are left alone.
    """

    __slots__ = ("_before_reap", "_descriptor", "_loop", "exited", "pid")

    def __init__(self, pid: int, before_reap: Callable[[Child], None] | None = None) -> None:
        self.pid = pid
        self._before_reap = before_reap
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[Exit] = self._loop.create_future()
        self._descriptor = -1
        if hasattr(os, "pidfd_open"):
            self._watch()
        else:
            threading.Thread(target=self._wait, name=f"stagecall-wait-{pid}", daemon=True).start()

    def signal_group(self, number: int) -> None:
        """Signal the group that the child leads, unless it was reaped: the number may be another's then."""
        if not self.exited.done():
            # Without permission: it holds processes of other users only, or on macOS nothing but zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _watch(self) -> None:
        try:
            self._descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError as error:
            self.exited.set_exception(_stolen(self.pid, error))
        else:
            self._loop.add_reader(self._descriptor, self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._before_reap is not None:
            self._before_reap(self)
        self._settle(*_reap(self.pid, os.WNOHANG))

    def _wait(self) -> None:
        """Stand in for a pidfd where there is none: `before_reap` then comes right after instead."""
        result = _reap(self.pid, 0)
        if self._before_reap is not None:
            self._before_reap(self)
        try:
            self._loop.call_soon_threadsafe(self._settle, *result)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    def _settle(self, exit: Exit | None, error: Exception | None) -> None:
        if exit is not None:
            self.exited.set_result(exit)
        elif error is not None:
            self.exited.set_exception(error)


def _reap(pid: int, options: int) -> tuple[Exit | None, Exception | None]:
    try:
        return Exit.of(os.waitpid(pid, options)[1]), None
    except ChildProcessError as error:
        return None, _stolen(pid, error)


def _stolen(pid: int, error: OSError) -> NonFatalInternalError:
    problem = NonFatalInternalError(
        f"how process {pid} ended is unknown, as somebody else reaped it: the embedding program must neither "
        "ignore SIGCHLD nor wait for children that are not its own"
    )
    problem.__cause__ = error
    return problem
