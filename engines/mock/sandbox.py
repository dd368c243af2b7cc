"""The mock task under way: when it ends, who decided that, and who hears of it.

A task that takes time (a delay, or a function that sleeps or fetches) begins when the sandbox starts and ends
by itself. One that takes none is over the moment its result is first waited for, so that whatever comes
between start and wait finds it running, every time. A task whose function is done ends once its shells and
displays are closed, as somebody is looking into it; only kill and abort cut them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import attrs

from ..base import Display, Sandbox
from ..errors import NoSuchDisplayError, SandboxAbortedError, SandboxTerminatedError
from .display import MOCK_DISPLAY, DisplayStream
from .functions import AT_ONCE, LASTING
from .interior import Interior
from .result_set import MockResultSet
from .shell import MockShell


class Session(Protocol):
    """Something that looks into a sandbox, and tells it when it is over."""

    def cut(self) -> None:
        """End now, as the sandbox has been killed or aborted."""


@attrs.define(eq=False)
class MockSandbox(Sandbox):
    """A task under way. What decides its outcome first, the task, `kill` or `abort`, counts for all."""

    _interior: Interior
    # False only while it takes a wait to run the function.
    _begun: bool = attrs.field(default=False, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _work: asyncio.Task[bool] | None = attrs.field(default=None, init=False)
    _sessions: set[Session] | None = attrs.field(default=None, init=False)
    # What the task came to by itself; it counts once the sessions are over, unless kill or abort come first.
    _verdict: MockResultSet | BaseException | None = attrs.field(default=None, init=False)
    _outcome: MockResultSet | BaseException | None = attrs.field(default=None, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _waiters: list[asyncio.Future[None]] | None = attrs.field(default=None, init=False)

    def begin(self) -> None:
        """Start the clock or the work, if the task takes any time."""
        payload = self._interior.payload
        if payload.function in LASTING:
            self._begun = True
            self._work = asyncio.ensure_future(LASTING[payload.function](self._interior))
            self._work.add_done_callback(self._worked)
        elif payload.delay:
            self._begun = True
            self._timer = asyncio.get_running_loop().call_later(payload.delay / 1000, self._perform)

    async def wait_for_result(self) -> MockResultSet:
        """Return the result set, always the same. Raises: SandboxAbortedError, and what the task asks for."""
        if not self._begun:
            self._perform()
        if not self._ended:
            await self._end()
        if isinstance(self._outcome, MockResultSet):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome.with_traceback(None)

    async def new_shell(self, command: list[str], tty: bool) -> MockShell:
        """Start a shell. Raises: MalformedPayloadError for an unknown command, and as `list_displays`."""
        self._check_running()
        shell = MockShell(command, tty, self._left)
        self._join(shell)
        return shell

    async def list_displays(self) -> list[Display]:
        """Return the one display. Raises: SandboxTerminatedError, SandboxAbortedError."""
        self._check_running()
        return [MOCK_DISPLAY]

    async def open_display(self, name: str) -> DisplayStream:
        """Return a new connection to the display. Raises: NoSuchDisplayError, and as `list_displays`."""
        self._check_running()
        if name != MOCK_DISPLAY.name:
            raise NoSuchDisplayError(f"there is no display {name!r}, only {MOCK_DISPLAY.name!r}")
        stream = DisplayStream(self._left)
        self._join(stream)
        return stream

    async def kill(self) -> None:
        """End the task as failed; nothing happens if it has ended. Raises: SandboxAbortedError."""
        if self._outcome is None:
            self._decide(self._result(False))
        elif isinstance(self._outcome, SandboxAbortedError):
            raise SandboxAbortedError("the sandbox was aborted before it could be killed")
        if not self._ended:
            await self._end()

    async def abort(self) -> None:
        """End the task without a result; aborting again does nothing. Raises: SandboxTerminatedError."""
        if self._outcome is None:
            self._decide(SandboxAbortedError("the sandbox was aborted"))
        elif not isinstance(self._outcome, SandboxAbortedError):
            raise SandboxTerminatedError("the sandbox has ended: there is nothing to abort")
        if not self._ended:
            await self._end()

    def _perform(self) -> None:
        self._begun = True
        self._timer = None
        try:
            success = AT_ONCE[self._interior.payload.function](self._interior)
            self._verdict = self._result(success)
        except Exception as error:  # whoever waits for the result gets it
            self._verdict = error
        self._check_end()

    def _result(self, success: bool) -> MockResultSet:
        return MockResultSet(success, self._interior.files, self._interior.context)

    def _worked(self, work: asyncio.Task[bool]) -> None:
        self._work = None
        if work.cancelled():
            # Either the outcome stands already, or somebody cancels all tasks of a loop that is going down.
            self._verdict = SandboxAbortedError("the task's work was cancelled")
        else:
            self._verdict = work.exception() or self._result(work.result())
        self._check_end()

    def _decide(self, outcome: MockResultSet | SandboxAbortedError) -> None:
        self._begun = True
        self._outcome = outcome
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._work is not None:
            self._work.cancel()
        for session in tuple(self._sessions or ()):
            session.cut()
        self._check_end()

    def _check_end(self) -> None:
        """End if nothing runs any more and the outcome is clear, and tell all who wait."""
        outcome = self._outcome or self._verdict
        if self._ended or outcome is None or self._work is not None or self._sessions:
            return
        self._outcome = outcome
        self._ended = True
        self._interior.engine.leave()
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = None

    async def _end(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiters is not None:
                self._waiters.remove(waiter)
            raise

    def _check_running(self) -> None:
        if isinstance(self._outcome, SandboxAbortedError):
            raise SandboxAbortedError("the sandbox was aborted: there is nothing to look into")
        if self._outcome is not None:
            raise SandboxTerminatedError("the sandbox has ended: there is nothing to look into")

    def _join(self, session: Session) -> None:
        if self._sessions is None:
            self._sessions = set()
        self._sessions.add(session)

    def _left(self, session: Session) -> None:
        assert self._sessions is not None  # it joined before
        self._sessions.discard(session)
        self._check_end()
