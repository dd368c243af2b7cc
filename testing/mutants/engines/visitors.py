"""Engines whose shells and displays do not do as promised."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any, ClassVar

from ....engines.base import ByteStream, Display, Shell
from ....engines.errors import (
    NoSuchDisplayError,
    SandboxAbortedError,
    SandboxTerminatedError,
    ShellAbortedError,
    ShellTerminatedError,
)
from ....lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from .layers import SandboxLayer, ShellLayer
from .left import LEFT


class LosesStderr(SandboxLayer):
    """Reads what a command writes to stdout only."""

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        shell = await super().new_shell(command, tty)
        if command:
            shell.stderr = _Nothing()
        return shell


class HasNoDefaultShell(SandboxLayer):
    """Ends a shell that was given no command at once."""

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        shell = await super().new_shell(command, tty)
        if not command and not tty:
            await shell.stdin.close()
        return shell


class CountsAnyExitAsSuccess(ShellLayer):
    """Says of every command that ended that it succeeded."""

    async def wait(self) -> bool:
        await self.inner.wait()
        return True


class RaisesOSErrors(SandboxLayer):
    """Lets the system's own error through when there is no such command."""

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        try:
            return await super().new_shell(command, tty)
        except MalformedPayloadError as error:
            raise FileNotFoundError(command[0]) from error


class _CallsAnEndAFailure(ShellLayer):
    """Gives a result to who waits for a shell that was ended: by its own abort, or by the end of its sandbox."""

    aborts: ClassVar[bool]
    _aborted = False

    async def abort(self) -> None:
        self._aborted = True
        await self.inner.abort()

    async def wait(self) -> bool:
        try:
            return await super().wait()
        except ShellAbortedError:
            if self._aborted is self.aborts:
                return False
            raise


class CallsAnAbortAFailure(_CallsAnEndAFailure):
    """Gives a result to who waits for a shell that was aborted."""

    aborts = True


class AbortsItsSandbox(ShellLayer):
    """Ends the task with a shell that is aborted while its command runs."""

    sandbox: Any

    async def abort(self) -> None:
        await self.inner.abort()
        await self.sandbox.kill()


class AbortsItsSandboxToo(SandboxLayer):
    """Ends the task when a shell that runs a command is aborted."""

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        shell = await super().new_shell(command, tty)
        if not command:
            return shell
        aborting = AbortsItsSandbox(shell, self.layers)
        aborting.sandbox = self.inner
        return aborting


class LeavesATask(ShellLayer):
    """Goes on waiting for something when the command it runs is aborted."""

    async def abort(self) -> None:
        await self.inner.abort()
        if self.command:
            task = asyncio.ensure_future(asyncio.sleep(1000))
            self.notes["task"] = task


class AbortsWhatHasEnded(ShellLayer):
    """Says nothing when a shell that has ended is aborted."""

    async def abort(self) -> None:
        with suppress(ShellTerminatedError):
            await self.inner.abort()


class CallsAKillAFailure(_CallsAnEndAFailure):
    """Gives a result to who waits for a shell whose sandbox was killed."""

    aborts = False


class ResizesWhatHasEnded(ShellLayer):
    """Says nothing when a terminal that is gone is resized."""

    async def set_size(self, columns: int, rows: int) -> None:
        with suppress(ShellTerminatedError):
            await self.inner.set_size(columns, rows)


class LeavesAThread(ShellLayer):
    """Has a thread for the size of the terminal that nobody ends."""

    async def set_size(self, columns: int, rows: int) -> None:
        await self.inner.set_size(columns, rows)
        stop = threading.Event()
        LEFT.append(stop.set)
        threading.Thread(target=stop.wait, name="terminal-size", daemon=True).start()


class ResizesPipes(ShellLayer):
    """Says nothing when a shell without a terminal is resized."""

    async def set_size(self, columns: int, rows: int) -> None:
        with suppress(FeatureNotSupportedError):
            await self.inner.set_size(columns, rows)


class CallsEveryEndAnAbort(SandboxLayer):
    """Says of a sandbox that has ended that it was aborted, to who wants a shell."""

    async def new_shell(self, command: list[str], tty: bool) -> Shell:
        try:
            return await super().new_shell(command, tty)
        except SandboxTerminatedError as error:
            raise SandboxAbortedError("the sandbox was aborted") from error


class ListsADisplayTwice(SandboxLayer):
    """Lists two displays of one name."""

    async def list_displays(self) -> list[Display]:
        return [*await self.inner.list_displays()] * 2


class ShowsADisplayToOne(SandboxLayer):
    """Lets one client look at a display."""

    _opened = False

    async def open_display(self, name: str) -> ByteStream:
        stream = await super().open_display(name)
        if self._opened:
            raise NoSuchDisplayError(f"the display {name} is taken")
        self._opened = True
        return stream


class SpeaksSomethingElse(SandboxLayer):
    """Does not speak RFB."""

    async def open_display(self, name: str) -> ByteStream:
        return _Stream(await super().open_display(name), b"HTTP")


class OpensAnyDisplay(SandboxLayer):
    """Opens the one display there is under any name."""

    async def open_display(self, name: str) -> ByteStream:
        try:
            return await super().open_display(name)
        except NoSuchDisplayError:
            (display,) = await self.inner.list_displays()
            return await super().open_display(display.name)


class BreaksDisplaysOff(SandboxLayer):
    """Lets reading fail when a display is gone, instead of coming to its end."""

    async def open_display(self, name: str) -> ByteStream:
        return _Stream(await super().open_display(name), at_end=ConnectionResetError("it is gone"))


class ListsDisplaysAfterItsEnd(SandboxLayer):
    """Says that there are no displays, rather than no sandbox any more."""

    async def list_displays(self) -> list[Display]:
        try:
            return await super().list_displays()
        except (SandboxAbortedError, SandboxTerminatedError):
            return []


class _Nothing:
    async def read(self, limit: int = 65536) -> bytes:
        return b""


class _Stream:
    """A display's stream that begins or ends in another way."""

    def __init__(self, inner: ByteStream, greeting: bytes = b"", at_end: Exception | None = None) -> None:
        self._inner = inner
        self._greeting = greeting
        self._at_end = at_end

    async def read(self, limit: int = 65536) -> bytes:
        data = await self._inner.read(limit)
        greeting, self._greeting = self._greeting, b""
        if not data and self._at_end is not None:
            raise self._at_end
        return greeting + data[len(greeting) :]

    async def write(self, data: bytes) -> None:
        await self._inner.write(data)

    async def close(self) -> None:
        await self._inner.close()
