"""A tiny engine whose every call can be told what to do, and which remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from ...engines.base import Engine, ResultSet, Sandbox, SandboxBuilder, SandboxOptions, Schema
from ...engines.errors import SandboxAbortedError, SandboxTerminatedError
from ...lifecycle.context import TaskContext

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
"""The calls of a scripted engine, by the names that `ScriptedEngine.deeds` and `ScriptedEngine.asked` use."""


def _known(_: object, __: object, deeds: Mapping[str, Deed]) -> None:
    if unknown := sorted(deeds.keys() - set(CALLS)):
        raise ValueError(f"a scripted engine has no call {', '.join(unknown)}; calls are {', '.join(CALLS)}")


@attrs.define(eq=False)
class ScriptedEngine(Engine):
    """Runs a task that is over at once and succeeded, unless it is told otherwise.

    With `success` False the task fails; with `holds` its sandbox lasts until `finish` or an abort. `deeds` maps names
    of `CALLS` to what these do first. `asked` lists the calls in the order they began, `contexts` and `sandboxes` hold
    what the runs brought and got. Its part of the payload is the optional text `engine`.

    Raises: ValueError for a deed of a call that there is not.

    >>> from stagecall.lifecycle import MalformedPayloadError
    >>> async def refuses():
    ...     raise MalformedPayloadError("payload.engine: there is no such image")
    >>> from stagecall import run_task_sync
    >>> engine = ScriptedEngine(deeds={"start_sandbox": refuses})
    >>> run_task_sync({"payload": {}}, engine=engine, plugins=[]).reason.value
    'malformed-payload'
    >>> engine.asked
    ['new_sandbox_builder', 'start_sandbox', 'discard_builder']
    """

    success: bool = True
    holds: bool = False
    deeds: dict[str, Deed] = attrs.field(factory=dict, validator=_known)
    asked: list[str] = attrs.field(factory=list)
    contexts: list[TaskContext] = attrs.field(factory=list)
    sandboxes: list[ScriptedSandbox] = attrs.field(factory=list)

    def payload_schema(self) -> Schema:
        return {"engine": {"type": "string"}}

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        self.contexts.append(options.context)
        builder: SandboxBuilder = await self.do("new_sandbox_builder", ScriptedBuilder(self))
        return builder

    async def do(self, name: str, own: Any = None) -> Any:
        """Take part in a call as it was told; return `own` unless the deed returned something else."""
        self.asked.append(name)
        told = await self.deeds[name]() if name in self.deeds else None
        return own if told is None else told


@attrs.define(eq=False)
class ScriptedBuilder(SandboxBuilder):
    """The builder of a `ScriptedEngine`; it takes no variables, volumes or proxies."""

    engine: ScriptedEngine

    async def start_sandbox(self) -> Sandbox:
        sandbox: Sandbox = await self.engine.do("start_sandbox", ScriptedSandbox(self.engine))
        return sandbox

    async def discard(self) -> None:
        await self.engine.do("discard_builder")


@attrs.define(eq=False)
class ScriptedSandbox(Sandbox):
    """The sandbox of a `ScriptedEngine`; `ended` is set once it has, `aborted` says how."""

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
        """End a sandbox that holds."""
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
    """What a `ScriptedSandbox` left behind: its success, and nothing to extract."""

    engine: ScriptedEngine

    @property
    def success(self) -> bool:
        return self.engine.success

    async def dispose(self) -> None:
        await self.engine.do("dispose_result_set")
