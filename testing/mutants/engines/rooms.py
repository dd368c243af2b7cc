"""Engines whose sandboxes are not apart, and engines that say something wrong about themselves."""

from __future__ import annotations

from typing import Any

import attrs

from ....engines.base import (
    Capabilities,
    ProxyHandler,
    ResultSet,
    Sandbox,
    SandboxBuilder,
    SandboxOptions,
    Schema,
)
from ....engines.errors import MaxConcurrencyExceededError, ResourceNotFoundError
from .layers import BuilderLayer, EngineLayer, ResultLayer, SandboxLayer


class HasRoomForOneMore(EngineLayer):
    """Says that it runs one sandbox less than it lets in."""

    def capabilities(self) -> Capabilities:
        most = self.inner.capabilities().max_concurrency
        return Capabilities(most - 1)


class RefusesInItsOwnWords(EngineLayer):
    """Has an error of its own for when there is no room."""

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        try:
            return await super().new_sandbox_builder(options)
        except MaxConcurrencyExceededError as error:
            raise RuntimeError("the engine is full") from error


class _ForgetsFirst(SandboxLayer):
    """Forgets the first task of its kind when one has ended."""

    async def wait_for_result(self) -> ResultSet:
        try:
            return await super().wait_for_result()
        finally:
            self.notes.pop(self.payload.get("function"), None)


class MixesLogs(EngineLayer):
    """Writes what tasks write at the same time to the log of the first."""

    beside = (_ForgetsFirst,)

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        if options.payload.get("function") == "write-log":
            context = self.notes.setdefault("write-log", options.context)
            options = attrs.evolve(options, context=context)
        return await super().new_sandbox_builder(options)


class _NotesItsText(SandboxLayer):
    """Notes what a task wrote, when it has ended."""

    async def wait_for_result(self) -> ResultSet:
        result = await super().wait_for_result()
        self.notes["text"] = self.payload.get("argument")
        return result


class RepeatsTheLastLog(BuilderLayer):
    """Writes what a task that has ended wrote into the log of the next one."""

    beside = (_NotesItsText,)

    async def start_sandbox(self) -> Sandbox:
        if self.payload.get("function") == "write-log" and (text := self.notes.get("text")):
            self.context.write_log(text.encode() + b"\n")
        return await super().start_sandbox()


class SharesFiles(ResultLayer):
    """Finds a file that another sandbox left."""

    def __init__(self, inner: Any, layers: Any) -> None:
        super().__init__(inner, layers)
        self.notes.setdefault("results", []).append(inner)

    async def extract_file(self, path: str) -> Any:
        for result in self.notes["results"]:
            try:
                return await result.extract_file(path)
            except ResourceNotFoundError:
                continue
        return await self.inner.extract_file(path)


class _ForgetsVariables(SandboxLayer):
    """Forgets the environment when the sandbox has ended."""

    async def wait_for_result(self) -> ResultSet:
        result = await super().wait_for_result()
        self.notes.clear()
        return result


class SharesVariables(BuilderLayer):
    """Has one environment for the sandboxes that run at the same time."""

    beside = (_ForgetsVariables,)

    def __init__(self, inner: Any, layers: Any) -> None:
        super().__init__(inner, layers)
        self._variables: dict[str, str] = {}

    async def set_environment_variable(self, name: str, value: str) -> None:
        await self.inner.set_environment_variable(name, self.notes.get(name, value))
        self._variables[name] = value

    async def start_sandbox(self) -> Sandbox:
        self.notes.update(self._variables)
        return await super().start_sandbox()


class DoesMoreThanItSays(EngineLayer):
    """Offers what its tests are told that it does not."""


class RefusesInPythonsWords(BuilderLayer):
    """Says by NotImplementedError what it does not offer."""

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        raise NotImplementedError


class HasNoDocumentation(EngineLayer):
    """Says nothing about itself."""

    def documentation(self) -> str:
        return ""


class MisspellsItsSchema(EngineLayer):
    """Declares options for volumes that nobody can check."""

    def volume_schema(self) -> Schema:
        return {"size": {"type": "nubmer"}}
