"""Checks of how a sandbox ends: by itself, killed or aborted, and what each of them tells the others."""

from __future__ import annotations

import asyncio
import gc

from ...engines.base import ResultSet
from ...engines.errors import SandboxAbortedError, SandboxTerminatedError
from ..conformance import needs
from .expect import expect_error, outcome_of, turn_loop
from .recipes import READY, EngineRecipes


class EndChecks(EngineRecipes):
    """What `Sandbox.wait_for_result`, `kill`, `abort` and `dispose` promise."""

    async def test_wait_twice(self) -> None:
        """All who wait, together or one after the other, get the same result set."""
        async with self.rig() as rig:
            run = await rig.start(self.silent())

            together = await asyncio.gather(*(run.wait() for _ in range(3)))
            later = await run.wait()

            assert all(result is later for result in together), "there is one result set, whoever waits"

    async def test_wait_cancelled(self) -> None:
        """To cancel one who waits ends that wait, not the task."""
        async with self.rig() as rig:
            run = await rig.start(self.prints("done"))
            waiting = asyncio.ensure_future(run.wait())
            await asyncio.sleep(0)

            waiting.cancel()
            await asyncio.wait([waiting])

            result = await run.wait()
            assert result.success is True, "the task goes on when one who waits does not"
            assert run.output() == "done\n", "the task is not interrupted"

    @needs("kill")
    async def test_kill(self) -> None:
        """A task that is killed has a result, and failed, however it ended then; to kill it again does nothing."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            waiting = asyncio.ensure_future(run.wait())
            await run.logged(READY)

            await run.sandbox.kill()
            await run.sandbox.kill()

            result = await run.wait()
            assert await waiting is result, "who waited gets the same result set"
            assert result.success is False, "a task that was killed has failed"

    @needs("kill")
    async def test_kill_ended(self) -> None:
        """To kill a sandbox that has ended does nothing: its result stays."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.silent())

            await run.sandbox.kill()

            assert await run.wait() is result, "the result set stays"
            assert result.success is True, "a success that is there stays"

    @needs("kill")
    async def test_kill_then_abort(self) -> None:
        """A sandbox that was killed has ended: to abort it raises SandboxTerminatedError."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            await run.sandbox.kill()

            await expect_error(SandboxTerminatedError, run.sandbox.abort(), "what was killed has ended")

            assert isinstance(await run.wait(), ResultSet), "what was killed has a result all the same"

    async def test_abort(self) -> None:
        """When a sandbox is aborted every wait raises SandboxAbortedError; to abort it again does nothing."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            waiting = asyncio.ensure_future(outcome_of(run.wait()))
            await run.logged(READY)

            await run.sandbox.abort()
            await run.sandbox.abort()

            assert isinstance(await waiting, SandboxAbortedError), "who waited hears that it was aborted"
            await expect_error(SandboxAbortedError, run.wait(), "who waits later hears it too")

    @needs("kill")
    async def test_abort_then_kill(self) -> None:
        """To kill a sandbox that was aborted raises SandboxAbortedError."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            await run.sandbox.abort()

            await expect_error(SandboxAbortedError, run.sandbox.kill(), "what was aborted cannot be killed")

    async def test_abort_ended(self) -> None:
        """To abort a sandbox that has ended raises SandboxTerminatedError: its result stays."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.silent())

            await expect_error(SandboxTerminatedError, run.sandbox.abort(), "there is nothing left to abort")

            assert await run.wait() is result, "the result set stays"

    async def test_abort_cancelled(self) -> None:
        """An abort that is cancelled, since somebody is in a hurry, aborts all the same."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            aborting = asyncio.ensure_future(run.sandbox.abort())
            await asyncio.sleep(0)

            aborting.cancel()
            await asyncio.wait([aborting])

            await expect_error(SandboxAbortedError, run.wait(), "a cancelled abort aborts")

    async def test_discard(self) -> None:
        """A builder that is discarded leaves nothing behind of what it was given."""
        async with self.rig() as rig:
            run = await rig.build(self.lasts())
            if "environment" in self.capabilities:
                await run.builder.set_environment_variable("GREETING", "hello")
            if "volumes" in self.capabilities:
                await run.builder.attach_volume(self.mountpoint, await rig.new_volume(), False)
            if "proxies" in self.capabilities:
                await run.builder.attach_proxy("proxy", _unused)

            await run.discard()

    async def test_dispose_twice(self) -> None:
        """To dispose a result set or a sandbox again does nothing: cleaning up may have to be repeated."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.silent())
            await result.dispose()
            await run.sandbox.dispose()

            await result.dispose()
            await run.sandbox.dispose()

    async def test_abort_unwaited(self) -> None:
        """A sandbox that nobody ever waits for leaves no error behind that nobody asked for."""
        complaints: list[str] = []
        async with self.rig() as rig:
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: complaints.append(context["message"])
            )
            run = await rig.start(self.lasts())

            await run.forget()

            await turn_loop()
            gc.collect()
            assert complaints == [], "every error is somebody's who asks for it"


async def _unused(request: object) -> object:
    raise AssertionError("a handler of a sandbox that was never started is never called")
