"""Checks of several sandboxes at once, and of what an engine says about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...engines.base import VolumeOptions
from ...engines.errors import MaxConcurrencyExceededError, ResourceNotFoundError
from ...lifecycle.errors import FeatureNotSupportedError
from ...specs.schemas import MergedSchema
from ..conformance import needs
from .environment import variable
from .expect import expect_error
from .recipes import EngineRecipes
from .rig import Rig, SandboxRun

SIDE_BY_SIDE = 3
"""How many sandboxes an engine without a bound is asked to run at once."""


class RoomChecks(EngineRecipes):
    """What `Engine.capabilities` promises, and that sandboxes are apart."""

    async def test_concurrency(self) -> None:
        """As many sandboxes run at once as `max_concurrency` says; one more is refused."""
        async with self.rig() as rig:
            most = rig.engine.capabilities().max_concurrency
            assert most is None or most >= 1, "max_concurrency is a number of sandboxes, or None"

            for _ in range(SIDE_BY_SIDE if most is None else most):
                await rig.start(self.lasts())

            if most is not None:
                error = await expect_error(
                    MaxConcurrencyExceededError, rig.build(self.lasts()), "no more sandboxes run than is said"
                )
                assert error.limit == most, "the error says what the bound is"

    async def test_concurrency_room_again(self) -> None:
        """A sandbox that has ended, was aborted or never started makes room for another."""
        async with self.rig() as rig:
            most = rig.engine.capabilities().max_concurrency or 1
            ways: list[Callable[[SandboxRun], Awaitable[Any]]] = [_discarded, _aborted, _ended]
            if "kill" in self.capabilities:
                ways.append(_killed)

            for way in ways:
                payload = self.silent() if way is _ended else self.lasts()
                for run in [await rig.build(payload) for _ in range(most)]:
                    await way(run)

    async def test_concurrency_logs_apart(self) -> None:
        """Two tasks at once write to logs of their own."""
        async with self.rig() as rig:
            if not rig.room(2):
                return
            runs = [await rig.start(self.prints(text)) for text in ("one", "two")]

            await asyncio.gather(*(run.wait() for run in runs))

            assert [run.output() for run in runs] == ["one\n", "two\n"], "each task has its own log"

    @needs("artifacts")
    async def test_concurrency_files_apart(self) -> None:
        """Two tasks at once do not see each other's files."""
        async with self.rig() as rig:
            if not rig.room(2):
                return
            runs = [await rig.start(self.writes_files([f"{name}.txt"])) for name in ("one", "two")]

            one, two = await asyncio.gather(*(run.wait() for run in runs))

            for result, own, other in ((one, "one.txt", "two.txt"), (two, "two.txt", "one.txt")):
                with await result.extract_file(own):
                    pass
                await expect_error(
                    ResourceNotFoundError, result.extract_file(other), "no task has another's files"
                )

    @needs("environment")
    async def test_concurrency_environments_apart(self) -> None:
        """Two tasks at once do not see each other's variables."""
        async with self.rig() as rig:
            if not rig.room(2):
                return
            payload = self.prints_variable("GREETING")
            runs = [await rig.start(payload, variable("GREETING", value)) for value in ("one", "two")]

            await asyncio.gather(*(run.wait() for run in runs))

            assert [run.output() for run in runs] == ["one\n", "two\n"], "no task has another's variables"

    async def test_not_supported(self) -> None:
        """What the engine does not offer it refuses with FeatureNotSupportedError: no flag hides a feature."""
        async with self.rig() as rig:
            running = await rig.start(self.lasts())
            for flag, call in _features(rig, running).items():
                if flag not in self.capabilities:
                    await expect_error(
                        FeatureNotSupportedError, call(), f"{flag!r} is none of the engine's capabilities"
                    )
            await self._results_not_supported(rig, running)

    async def test_schemas(self) -> None:
        """The schemas of payload and volumes can be used, and there is documentation."""
        async with self.rig() as rig:
            MergedSchema.merge({"volume": rig.engine.volume_schema()})

            assert rig.engine.documentation().strip(), "the engine says what it does"

    async def _results_not_supported(self, rig: Rig, running: SandboxRun) -> None:
        await running.sandbox.abort()
        result, _ = await rig.finish(self.silent())
        if "artifacts" not in self.capabilities:
            rule = "'artifacts' is none of the engine's capabilities"
            await expect_error(FeatureNotSupportedError, result.extract_file("a.txt"), rule)
            await expect_error(FeatureNotSupportedError, result.extract_folder("a", _ignored), rule)
        if "archive" not in self.capabilities:
            await expect_error(
                FeatureNotSupportedError,
                result.archive_sandbox(),
                "'archive' is none of the engine's capabilities",
            )


def _features(rig: Rig, running: SandboxRun) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return the first call of each feature that a builder, a sandbox or the engine may not have."""
    return {
        "environment": lambda: running.builder.set_environment_variable("GREETING", "hello"),
        "proxies": lambda: running.builder.attach_proxy("proxy", _ignored),
        "volumes": lambda: rig.engine.new_volume(VolumeOptions()),
        "shells": lambda: running.sandbox.new_shell([], False),
        "displays": running.sandbox.list_displays,
        "kill": running.sandbox.kill,
    }


async def _ignored(*_: object) -> None:
    """Take part in nothing."""


async def _discarded(run: SandboxRun) -> None:
    await run.discard()


async def _aborted(run: SandboxRun) -> None:
    await (await run.start()).sandbox.abort()


async def _killed(run: SandboxRun) -> None:
    await (await run.start()).sandbox.kill()


async def _ended(run: SandboxRun) -> None:
    await (await run.start()).wait()
