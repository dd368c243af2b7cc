"""Checks of shells: commands that run beside the task."""

from __future__ import annotations

import asyncio

from ...engines.base import Shell
from ...engines.errors import (
    SandboxAbortedError,
    SandboxTerminatedError,
    ShellAbortedError,
    ShellTerminatedError,
)
from ...lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from ..conformance import needs
from .expect import expect_error, outcome_of, read_all, turn_loop
from .recipes import EngineRecipes


class ShellChecks(EngineRecipes):
    """What `Sandbox.new_shell` and `Shell` promise."""

    @needs("shells")
    async def test_shell_command(self) -> None:
        """A command writes to stdout and stderr apart, and its success is what every wait returns."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.shell.command), False)

            stdout, stderr, success = await _used(shell)

            assert success is True, "a command that succeeds makes the shell succeed"
            assert await shell.wait() is True, "waiting again gives the same"
            assert (stdout, stderr) == (self.shell.stdout, self.shell.stderr), (
                "what a command writes can be read, stdout and stderr apart"
            )

    @needs("shells")
    async def test_shell_default(self) -> None:
        """Without a command there is a shell that carries out the lines of its stdin, to its end."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell([], False)

            stdout, stderr, success = await _used(shell, self.shell.line)

            assert success is True, "a shell whose last line succeeded succeeds at the end of its stdin"
            assert (stdout, stderr) == (self.shell.stdout, self.shell.stderr), (
                "a line on stdin is carried out"
            )

    @needs("shells")
    async def test_shell_bad_command(self) -> None:
        """A command that fails makes the shell fail, and nothing else."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.failing_shell), False)

            _, _, success = await _used(shell)

            assert success is False, "a command that fails makes the shell fail"
            again = await run.sandbox.new_shell(list(self.shell.command), False)
            assert await again.wait() is True, "the sandbox is as it was"

    @needs("shells")
    async def test_shell_unknown_command(self) -> None:
        """A command that there is not fails, or is refused with MalformedPayloadError."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())

            try:
                shell = await run.sandbox.new_shell(list(self.unknown_shell), False)
            except MalformedPayloadError:
                return
            _, _, success = await _used(shell)

            assert success is False, "a command that there is not cannot succeed"

    @needs("shells")
    async def test_shell_abort(self) -> None:
        """To abort a shell makes every wait raise ShellAbortedError; the streams end, the sandbox goes on."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.lasting_shell), False)
            waiting = asyncio.ensure_future(outcome_of(shell.wait()))
            await turn_loop()

            await shell.abort()

            assert isinstance(await waiting, ShellAbortedError), "who waited hears that the shell was aborted"
            await expect_error(ShellAbortedError, shell.wait(), "who waits later hears it too")
            assert await read_all(shell.stdout) == b"", "the streams of an aborted shell end"
            again = await run.sandbox.new_shell(list(self.shell.command), False)
            assert await again.wait() is True, "the sandbox goes on"

    @needs("shells")
    async def test_shell_abort_ended(self) -> None:
        """To abort a shell that has ended raises ShellTerminatedError, and its success stays."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.shell.command), False)
            await shell.wait()

            await expect_error(ShellTerminatedError, shell.abort(), "there is nothing left to abort")

            assert await shell.wait() is True, "the success of a shell that has ended stays"

    @needs("shells", "kill")
    async def test_shell_kill(self) -> None:
        """To kill the sandbox aborts its shells, and returns when they are gone."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.lasting_shell), False)

            await run.sandbox.kill()

            await expect_error(ShellAbortedError, shell.wait(), "a shell ends with its sandbox")

    @needs("shells")
    async def test_shell_sizes(self) -> None:
        """A terminal can be resized until its shell has ended."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell([], True)

            for size in ((80, 24), (132, 43), (1, 1)):
                await shell.set_size(*size)
            await shell.abort()

            await expect_error(
                ShellTerminatedError, shell.set_size(80, 24), "a terminal that is gone has no size"
            )

    @needs("shells")
    async def test_shell_sizes_without_terminal(self) -> None:
        """Without a terminal there is nothing to resize: FeatureNotSupportedError."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            shell = await run.sandbox.new_shell(list(self.lasting_shell), False)

            await expect_error(
                FeatureNotSupportedError, shell.set_size(80, 24), "without a terminal there is no size"
            )

    @needs("shells")
    async def test_shell_after_end(self) -> None:
        """No shell can be started in a sandbox that has ended: the error says how it did."""
        async with self.rig() as rig:
            _, ended = await rig.finish(self.silent())
            aborted = await rig.start(self.lasts())
            await aborted.sandbox.abort()

            await expect_error(
                SandboxTerminatedError,
                ended.sandbox.new_shell(list(self.shell.command), False),
                "a sandbox that has ended takes no shell",
            )
            await expect_error(
                SandboxAbortedError,
                aborted.sandbox.new_shell(list(self.shell.command), False),
                "a sandbox that was aborted takes no shell",
            )


async def _used(shell: Shell, text: bytes = b"") -> tuple[bytes, bytes, bool]:
    """Send a text to the shell and end its stdin; return stdout, stderr and success."""
    if text:
        await shell.stdin.write(text)
    await shell.stdin.close()
    stdout, stderr, success = await asyncio.gather(
        read_all(shell.stdout), read_all(shell.stderr), shell.wait()
    )
    return stdout, stderr, success
