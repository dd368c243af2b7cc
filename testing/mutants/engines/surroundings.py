"""Engines that give a task another environment than was asked for, or lose what it writes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from typing import Any

import attrs

from ....engines.base import Sandbox, SandboxBuilder, SandboxOptions
from ....engines.errors import NamingConflictError
from ....lifecycle.errors import MalformedPayloadError
from .layers import BuilderLayer, EngineLayer

LINE_BYTES = 12
"""What a broken engine cuts a line to."""


class SplitsValues(BuilderLayer):
    """Hands a value over as a shell would that was not told to quote it."""

    async def set_environment_variable(self, name: str, value: str) -> None:
        await self.inner.set_environment_variable(name, " ".join(value.split()))


class PassesOnTheWorkersVariables(BuilderLayer):
    """Starts the task with all that the worker itself has in its environment."""

    async def start_sandbox(self) -> Sandbox:
        for name, value in os.environ.items():
            with suppress(NamingConflictError, MalformedPayloadError):
                await self.inner.set_environment_variable(name, value)
        return await super().start_sandbox()


class IgnoresASecondValue(BuilderLayer):
    """Says nothing when a variable is set again."""

    async def set_environment_variable(self, name: str, value: str) -> None:
        with suppress(NamingConflictError):
            await self.inner.set_environment_variable(name, value)


class TakesAnyName(BuilderLayer):
    """Says nothing about a name that no variable can have."""

    async def set_environment_variable(self, name: str, value: str) -> None:
        with suppress(MalformedPayloadError):
            await self.inner.set_environment_variable(name, value)


class CallsANameAWrongValue(BuilderLayer):
    """Blames itself, by a ValueError, for a name that the task's author chose."""

    async def set_environment_variable(self, name: str, value: str) -> None:
        try:
            await self.inner.set_environment_variable(name, value)
        except MalformedPayloadError as error:
            raise ValueError(str(error)) from error


class LosesVariables(BuilderLayer):
    """Forgets what is set while it is still setting something."""

    _busy = False

    async def set_environment_variable(self, name: str, value: str) -> None:
        if self._busy:
            return
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False
        await self.inner.set_environment_variable(name, value)


class LeavesAnEnvironmentFile(BuilderLayer):
    """Writes variables to a file, and forgets it when it is discarded."""

    _file: str | None = None

    async def set_environment_variable(self, name: str, value: str) -> None:
        await self.inner.set_environment_variable(name, value)
        if self._file is None:
            handle, self._file = tempfile.mkstemp()
            os.close(handle)

    async def start_sandbox(self) -> Sandbox:
        if self._file is not None:
            os.unlink(self._file)
        return await super().start_sandbox()


class _ChangesPayloads(EngineLayer):
    """Gives its builders other payloads than it was given."""

    def changed(self, payload: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        return await super().new_sandbox_builder(
            attrs.evolve(options, payload=self.changed(dict(options.payload)))
        )


class CutsLongLines(_ChangesPayloads):
    """Loses what a task writes beyond the first bytes of a line."""

    def changed(self, payload: dict[str, Any]) -> dict[str, Any]:
        if payload.get("function") == "write-log":
            payload["argument"] = payload["argument"][:LINE_BYTES]
        return payload


class DropsTheLogOfFailures(_ChangesPayloads):
    """Throws the output of a task away when it fails."""

    def changed(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"function": "false"} if payload.get("function") == "write-error-log" else payload


class CountsFailuresAsSuccess(_ChangesPayloads):
    """Looks at what a task writes, and not at how it ends."""

    def changed(self, payload: dict[str, Any]) -> dict[str, Any]:
        if payload.get("function") == "write-error-log":
            payload["function"] = "write-log"
        return payload


class Greets(EngineLayer):
    """Writes an unmarked line of its own into the log of a task that says nothing."""

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        if "argument" not in options.payload:
            options.context.write_log(b"the sandbox was started\n")
        return await super().new_sandbox_builder(options)
