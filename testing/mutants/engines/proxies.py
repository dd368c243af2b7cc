"""Engines between whose tasks and handlers something is lost."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import attrs

from ....engines.base import ProxyHandler, ResultSet, Sandbox, SandboxBuilder, SandboxOptions
from ....engines.errors import NamingConflictError
from .layers import BuilderLayer, EngineLayer, SandboxLayer
from .left import LEFT

HOSTNAME_LENGTH = 16
"""What a broken engine cuts host names to."""


class _WrapsHandlers(BuilderLayer):
    """Has something between task and handler."""

    def wrapped(self, handler: ProxyHandler) -> ProxyHandler:
        raise NotImplementedError

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.inner.attach_proxy(hostname, self.wrapped(handler))


class DropsTheQuery(_WrapsHandlers):
    """Forwards the path of a request only."""

    def wrapped(self, handler: ProxyHandler) -> ProxyHandler:
        async def forward(request: Any) -> Any:
            return await handler(request.clone(rel_url=request.rel_url.with_query(None)))

        return forward


class AnswersAnyErrorWith200(_WrapsHandlers):
    """Forwards the text of an answer, and not its status."""

    def wrapped(self, handler: ProxyHandler) -> ProxyHandler:
        async def forward(request: Any) -> Any:
            response = await handler(request)
            if response.status >= 400:
                response.set_status(200)
            return response

        return forward


class HandlesOneRequestAtATime(BuilderLayer):
    """Lets a request wait until the one before it was answered."""

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        turn = self.notes.setdefault("turn", asyncio.Lock())

        async def forward(request: Any) -> Any:
            async with turn:
                return await handler(request)

        await self.inner.attach_proxy(hostname, forward)


class _Flushes(SandboxLayer):
    """Writes to the log what a task wrote, when it has ended."""

    async def wait_for_result(self) -> ResultSet:
        try:
            return await super().wait_for_result()
        finally:
            if isinstance(self.context, _Buffered):
                self.context.flush()


class KeepsAnswersUntilTheEnd(EngineLayer):
    """Writes to the log what a task was answered when it has ended, not as it comes."""

    beside = (_Flushes,)

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        if options.payload.get("function") == "ping-proxy":
            buffered: Any = _Buffered(options.context)
            options = attrs.evolve(options, context=buffered)
        return await super().new_sandbox_builder(options)


class CutsHostnames(BuilderLayer):
    """Has a table of hosts with names of 16 letters."""

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.inner.attach_proxy(hostname[:HOSTNAME_LENGTH], handler)


class IgnoresASecondHandler(BuilderLayer):
    """Says nothing when a host name is used again."""

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        with suppress(NamingConflictError):
            await self.inner.attach_proxy(hostname, handler)


class SharesItsProxies(BuilderLayer):
    """Has one table of hosts for all of its sandboxes."""

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.inner.attach_proxy(hostname, handler)
        self.notes[hostname] = handler

    async def start_sandbox(self) -> Sandbox:
        for hostname, handler in self.notes.items():
            with suppress(NamingConflictError):
                await self.inner.attach_proxy(hostname, handler)
        return await super().start_sandbox()


class LeavesASocket(BuilderLayer):
    """Listens for the requests of a sandbox that is then not started."""

    _socket: socket.socket | None = None

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        await self.inner.attach_proxy(hostname, handler)
        if self._socket is None:
            self._socket = socket.create_server(("127.0.0.1", 0))
            LEFT.append(self._socket.close)

    async def start_sandbox(self) -> Sandbox:
        if self._socket is not None:
            self._socket.close()
        return await super().start_sandbox()


class _Buffered:
    """A context that keeps what is written to the log until `flush`."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def write_log(self, data: bytes) -> bool:
        self._written.append(bytes(data))
        return True

    def flush(self) -> None:
        while self._written:
            self._context.write_log(self._written.pop(0))
