"""Engines whose sandboxes end in another way than they say."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ....engines.base import ResultSet
from ....engines.errors import SandboxAbortedError, SandboxTerminatedError
from ....lifecycle.errors import NonFatalInternalError
from .layers import BuilderLayer, ResultLayer, SandboxLayer


class _Failed(ResultLayer):
    """A result set that says that the task failed."""

    @property
    def success(self) -> bool:
        return False


class _Succeeded(ResultLayer):
    """A result set that says that the task succeeded."""

    @property
    def success(self) -> bool:
        return True


class MakesAResultForEach(SandboxLayer):
    """Gives those who wait together for a task that succeeds a result set each."""

    _waiting = 0

    async def wait_for_result(self) -> ResultSet:
        self._waiting += 1
        try:
            alone = self._waiting == 1
            result = await super().wait_for_result()
            return ResultLayer(result, self.layers) if result.success and not alone else result
        finally:
            self._waiting -= 1


class DiesWithItsWaiter(SandboxLayer):
    """Kills the task when somebody no longer waits for it."""

    async def wait_for_result(self) -> ResultSet:
        try:
            return await super().wait_for_result()
        except asyncio.CancelledError:
            await self.inner.kill()
            raise


class CannotBeKilledTwice(SandboxLayer):
    """Knows the task no more when it was killed."""

    _killed = False

    async def kill(self) -> None:
        if self._killed:
            raise SandboxTerminatedError("there is no such task")
        self._killed = True
        await self.inner.kill()


class LetsTheKilledSucceed(SandboxLayer):
    """Counts the exit of a task that was killed while it ran as any other."""

    _killed = False

    async def kill(self) -> None:
        self._killed = self.result is None
        await self.inner.kill()

    async def wait_for_result(self) -> ResultSet:
        result = await super().wait_for_result()
        if self._killed and not isinstance(self.result, _Succeeded):
            self.result = _Succeeded(result, self.layers)
        assert self.result is not None
        return self.result


class KillsTheDead(SandboxLayer):
    """Refuses to kill a task that has ended by itself."""

    async def kill(self) -> None:
        if self.result is not None and self.result.success:
            raise SandboxTerminatedError("the task has ended")
        await self.inner.kill()


class AbortsTheKilled(SandboxLayer):
    """Says nothing when a sandbox that was killed is aborted."""

    _killed = False

    async def kill(self) -> None:
        await self.inner.kill()
        self._killed = True

    async def abort(self) -> None:
        with suppress(*([SandboxTerminatedError] if self._killed else [])):
            await self.inner.abort()


class CancelsThoseWhoWait(SandboxLayer):
    """Has an error of its own for those who wait when the sandbox is aborted."""

    _aborted = False

    async def abort(self) -> None:
        self._aborted = True
        await self.inner.abort()

    async def wait_for_result(self) -> ResultSet:
        early = not self._aborted
        try:
            return await super().wait_for_result()
        except SandboxAbortedError as error:
            if early:
                raise RuntimeError("the connection to the task was lost") from error
            raise


class CannotBeAbortedTwice(SandboxLayer):
    """Knows the sandbox no more when it was aborted."""

    _aborted = False

    async def abort(self) -> None:
        if self._aborted:
            raise SandboxTerminatedError("there is no such sandbox")
        self._aborted = True
        await self.inner.abort()


class KillsTheAborted(SandboxLayer):
    """Says nothing when a sandbox that was aborted is killed."""

    async def kill(self) -> None:
        with suppress(SandboxAbortedError):
            await self.inner.kill()


class AbortsWhatHasEnded(SandboxLayer):
    """Says nothing when a sandbox that ended by itself is aborted."""

    async def abort(self) -> None:
        with suppress(*([SandboxTerminatedError] if self.result and self.result.success else [])):
            await self.inner.abort()


class CancelledAbortsKill(SandboxLayer):
    """Gives a result when there was no time to abort in good order."""

    async def abort(self) -> None:
        try:
            await asyncio.sleep(0)
            await self.inner.abort()
        except asyncio.CancelledError:
            await self.inner.kill()
            raise


class KillsAndAbortsAtOnce(SandboxLayer):
    """Says nothing to who was killing a sandbox while somebody else aborted it."""

    _aborted = False

    async def abort(self) -> None:
        self._aborted = True
        await self.inner.abort()

    async def kill(self) -> None:
        early = not self._aborted
        await asyncio.sleep(0)
        with suppress(*([SandboxAbortedError] if early else [])):
            await self.inner.kill()


class ForgetsToFree(BuilderLayer):
    """Does not make room for another when it is discarded."""

    async def discard(self) -> None:
        """Take note of nothing."""


class DisposesResultsOnce(ResultLayer):
    """Cannot find its files any more when it is disposed again."""

    _disposed = False

    async def dispose(self) -> None:
        if self._disposed:
            raise NonFatalInternalError("the files of the task are gone")
        self._disposed = True
        await self.inner.dispose()


class DisposesSandboxesOnce(SandboxLayer):
    """Cannot find the sandbox any more when it is disposed again."""

    _disposed = False

    async def dispose(self) -> None:
        if self._disposed:
            raise NonFatalInternalError("there is no such sandbox")
        self._disposed = True
        await self.inner.dispose()


class LeavesAnErrorBehind(SandboxLayer):
    """Has an error that nobody asks for when it is aborted."""

    async def abort(self) -> None:
        await self.inner.abort()
        asyncio.get_running_loop().create_future().set_exception(SandboxAbortedError("nobody waits"))
