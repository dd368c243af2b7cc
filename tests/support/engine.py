"""A tiny engine whose every call can be told what to do, and which remembers what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from stagecall.engines.base import Engine, ResultSet, Sandbox, SandboxBuilder, SandboxOptions, Schema
from stagecall.engines.errors import SandboxAbortedError, SandboxTerminatedError

Deed = Callable[[], Awaitable[Any]]
"""What a call does first; what it returns, unless None, is what the call returns instead of its own."""

CALLS = (
    "new_sandbox_builder",
    "start_sandbox",
    "wait_for_result",
    "abort_sandbox",
    "dispose_result_set",
    "dispose_sandbox",
    "discard_builder",
)


@attrs.define(eq=False)
class ScriptedEngine(Engine):
    """Succeeds at once, unless `success` is False or `holds` is set: then a sandbox ends by `finish` or abort.

    `deeds` maps names of CALLS to what these do first; `asked` lists the calls in the order they began.
    """

    success: bool = True
    holds: bool = False
    deeds: dict[str, Deed] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)
    contexts: list[Any] = attrs.field(factory=list)
    sandboxes: list["ScriptedSandbox"] = attrs.field(factory=list)

    def payload_schema(self) -> Schema:
        return {"engine": {"type": "string"}}

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        self.contexts.append(options.context)
        return await self.do("new_sandbox_builder", ScriptedBuilder(self))

    async def do(self, name: str, own: Any = None) -> Any:
        """Take part in a call as it was told."""
        self.asked.append(name)
        told = await self.deeds[name]() if name in self.deeds else None
        return own if told is None else told


@attrs.define(eq=False)
class ScriptedBuilder(SandboxBuilder):
    engine: ScriptedEngine

    async def start_sandbox(self) -> Sandbox:
        return await self.engine.do("start_sandbox", ScriptedSandbox(self.engine))

    async def discard(self) -> None:
        await self.engine.do("discard_builder")


@attrs.define(eq=False)
class ScriptedSandbox(Sandbox):
    engine: ScriptedEngine
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    aborted: bool = False

    def __attrs_post_init__(self) -> None:
        self.engine.sandboxes.append(self)

    async def wait_for_result(self) -> ResultSet:
        told = await self.engine.do("wait_for_result")
        if self.engine.holds:
            await self.ended.wait()
        self.ended.set()
        if self.aborted:
            raise SandboxAbortedError("the sandbox was aborted")
        return ScriptedResultSet(self.engine) if told is None else told

    def finish(self) -> None:
        """End the sandbox that holds."""
        self.ended.set()

    async def abort(self) -> None:
        await self.engine.do("abort_sandbox")
        if self.ended.is_set() and not self.aborted:
            raise SandboxTerminatedError("the sandbox has ended")
        self.aborted = True
        self.ended.set()

    async def dispose(self) -> None:
        await self.engine.do("dispose_sandbox")


@attrs.define(eq=False)
class ScriptedResultSet(ResultSet):
    engine: ScriptedEngine

    @property
    def success(self) -> bool:
        return self.engine.success

    async def dispose(self) -> None:
        await self.engine.do("dispose_result_set")
