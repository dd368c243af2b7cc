"""Checks of the task's environment and of its log."""

from __future__ import annotations

import asyncio
import os
from unittest import mock

from ...engines.base import SandboxBuilder
from ...engines.errors import NamingConflictError
from ...lifecycle.errors import MalformedPayloadError
from ..conformance import needs
from .expect import expect_error
from .recipes import EngineRecipes
from .rig import Prepare


class EnvironmentChecks(EngineRecipes):
    """What `SandboxBuilder.set_environment_variable` promises."""

    @needs("environment")
    async def test_environment_print(self) -> None:
        """A variable reaches the task, its value unchanged."""
        value = "Hello  World; $HOME 'quoted' \\n"
        async with self.rig() as rig:
            result, run = await rig.finish(self.prints_variable("GREETING"), variable("GREETING", value))

            assert result.success, "the task finds the variable that was set"
            assert run.output() == f"{value}\n", "the variable has the value that was set"

    @needs("environment")
    async def test_environment_unset(self) -> None:
        """A variable that nobody set is not there, also if the worker itself has it."""
        with mock.patch.dict(os.environ, {"GREETING": "of the worker"}):
            async with self.rig() as rig:
                result, _ = await rig.finish(self.prints_variable("GREETING"))

                assert not result.success, "a variable that was not set for the task is not there"

    @needs("environment")
    async def test_environment_conflict(self) -> None:
        """To set a variable again raises NamingConflictError, and leaves the value that it had."""
        async with self.rig() as rig:
            run = await rig.build(self.prints_variable("GREETING"))
            await run.builder.set_environment_variable("GREETING", "first")

            await expect_error(
                NamingConflictError,
                run.builder.set_environment_variable("GREETING", "second"),
                "a variable is set once",
            )

            await (await run.start()).wait()
            assert run.output() == "first\n", "the value that was set first stays"

    @needs("environment")
    async def test_environment_invalid_name(self) -> None:
        """A name that no variable can have raises MalformedPayloadError."""
        async with self.rig() as rig:
            run = await rig.build(self.silent())

            for name in self.impossible_variables:
                await expect_error(
                    MalformedPayloadError,
                    run.builder.set_environment_variable(name, "value"),
                    f"no variable can be called {name!r}",
                )

    @needs("environment")
    async def test_environment_side_by_side(self) -> None:
        """Plugins set their variables side by side: none is lost."""
        names = [f"GREETING_{letter}" for letter in "ABCDEFGH"]
        async with self.rig() as rig:

            async def prepare(builder: SandboxBuilder) -> None:
                await asyncio.gather(*(builder.set_environment_variable(name, name) for name in names))

            for name in (names[0], names[-1]):
                _, run = await rig.finish(self.prints_variable(name), prepare)

                assert run.output() == f"{name}\n", "variables that are set side by side all reach the task"


class LogChecks(EngineRecipes):
    """What the task writes is in its log, and its end decides about success."""

    async def test_log_hit(self) -> None:
        """What a task that succeeds wrote is in the log when there is a result."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.prints("a line of the task"))

            assert result.success, "the task succeeded"
            assert "a line of the task\n" in run.log(), "the log holds all of the task's output"

    async def test_log_hit_when_failing(self) -> None:
        """What a task that fails wrote is in the log, too."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.prints("a line of the task", success=False))

            assert "a line of the task\n" in run.log(), "the log holds the output of a task that failed"
            assert result.success is False, "a task that failed has no success"

    async def test_log_silent(self) -> None:
        """A task that writes nothing has no output in its log."""
        async with self.rig() as rig:
            result, run = await rig.finish(self.silent())

            assert result.success is True, "a silent task succeeds"
            assert run.output() == "", "the log of a silent task holds marked messages of others at most"

    async def test_log_of_each_its_own(self) -> None:
        """The output of one task is in no other's log, one run after the other."""
        async with self.rig() as rig:
            _, one = await rig.finish(self.prints("the first"))
            _, two = await rig.finish(self.prints("the second"))

            assert (one.output(), two.output()) == ("the first\n", "the second\n"), "each run has its own log"


def variable(name: str, value: str) -> Prepare:
    """Return what sets a variable."""

    async def prepare(builder: SandboxBuilder) -> None:
        await builder.set_environment_variable(name, value)

    return prepare
