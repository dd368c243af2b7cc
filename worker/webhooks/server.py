"""The one HTTP server of a worker, and what is attached to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import resource
import secrets
import sys
from types import TracebackType
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from yarl import URL

from ...lifecycle.errors import ConfigurationError, LifecycleError
from ...lifecycle.surroundings import Handler, Monitor
from ..monitor import LogMonitor
from .answering import answer
from .certificate import Certificate
from .connection import Connection
from .exchange import END_BUDGET, Exchange, HookRequest
from .hook import AttachedHook
from .listening import Listener
from .options import WebHookOptions
from .targets import new_slug, split_target


class WebHookServer:
    """Serves web hooks; `start` it, or use it in `async with`, on the event loop of the runs.

    `port` is the one that is listened on, once it is started.

    >>> async def greet(request):
    ...     return web.Response(text=f"hello from {request.path}")
    >>> async def main():
    ...     async with WebHookServer() as hooks, ClientSession() as client:
    ...         hook = await hooks.attach(greet)
    ...         async with client.get(hook.url + "log") as response:
    ...             return response.status, await response.text()
    >>> from aiohttp import ClientSession
    >>> asyncio.run(main())
    (200, 'hello from /log')
    """

    def __init__(self, options: WebHookOptions | None = None, monitor: Monitor | None = None) -> None:
        self.options = WebHookOptions() if options is None else options
        self.monitor: Monitor = LogMonitor() if monitor is None else monitor
        self.exchanges: set[Exchange] = set()
        self.port = self.options.port
        self._base: str | None = None
        self._public_path = self.options.public_path
        self._most = self.options.max_connections
        self._closed = False
        self._listener: Listener | None = None
        self._requests: _Requests | None = None
        self._connections: set[Connection] = set()
        self._hooks: dict[bytes, tuple[str, AttachedHook]] = {}
        self._key = secrets.token_bytes(32)

    async def start(self) -> None:
        """Listen. Raises: ConfigurationError for an address or certificate that cannot be used."""
        if self._base is not None:
            raise LifecycleError("this server of web hooks has been started already")
        options = self.options
        certificate = None
        if options.tls_certificate is not None:
            certificate = await asyncio.to_thread(Certificate, options, self.monitor)
        self._requests = _Requests(self)
        self._most = min(options.max_connections, _descriptors())
        if self._most < options.max_connections:
            self.monitor.log(
                "the limit of open files allows fewer connections to web hooks than configured",
                configured=options.max_connections,
                allowed=self._most,
            )
        listener = Listener(self._admit, certificate, options.idle_timeout)
        try:
            self.port = await listener.start(options.host, options.port)
        except OSError as error:
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else error.strerror  # negative: a name without address
            raise ConfigurationError(
                f"web hooks: cannot listen on {options.host} port {options.port}: {reason}"
            ) from error
        self._listener, self._base = listener, options.base(self.port)

    @property
    def connections(self) -> int:
        """How many connections are open, those that still shake hands included."""
        return len(self._connections)

    async def attach(self, handler: Handler) -> AttachedHook:
        """Let `handler` answer below a new address. Raises: LifecycleError before `start` and after `close`."""
        if self._base is None or self._closed:
            state = "is closed" if self._closed else "has not been started"
            raise LifecycleError(f"this server of web hooks {state}: it attaches none")
        slug = new_slug()
        digest = self._digest(slug)
        hook = AttachedHook(f"{self._base}/{slug}/", handler, digest, self)
        self._hooks[digest] = slug, hook
        return hook

    async def close(self, drain: float | None = None) -> None:
        """Stop listening and detach every hook; open requests have `drain` seconds, by default as configured.

        Afterwards no connection is open. Where this is cancelled, all are closed at once. Closing again ends
        what is still open.
        """
        self._closed = True
        grace = self.options.drain if drain is None else drain
        hooks = {hook for _, hook in self._hooks.values()} | {exchange.hook for exchange in self.exchanges}
        try:
            if self._listener is not None:
                await self._listener.close()
            for connection in self._idle():
                connection.abort()
            await asyncio.gather(*(hook.detach(grace) for hook in hooks))
        finally:
            for connection in list(self._connections):
                connection.abort()
        if tasks := {exchange.task for exchange in self.exchanges} - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=END_BUDGET)

    async def __aenter__(self) -> WebHookServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def find(self, target: str) -> tuple[AttachedHook | None, str]:
        """Return the hook that a request's target names, and the target without it; None and `/` if there is none.

        Hooks lie under a keyed digest of their slugs: how long a look-up takes says nothing about any slug.
        """
        for slug, rest in split_target(target, self._public_path):
            known, hook = self._hooks.get(self._digest(slug), (None, None))
            if known is not None and hmac.compare_digest(known.encode(), slug.encode("utf-8", "replace")):
                return hook, rest
        return None, "/"

    def _digest(self, slug: str) -> bytes:
        return hashlib.blake2b(slug.encode("utf-8", "replace"), key=self._key, digest_size=16).digest()

    def forget(self, hook: AttachedHook) -> None:
        """Find this hook no more."""
        self._hooks.pop(hook.digest, None)

    def close_idle(self, hook: AttachedHook) -> None:
        """Close the connections that wait for a next request, and had all of theirs for this hook."""
        for connection in self._idle():
            if connection.hook is hook and not connection.shared:
                connection.abort()

    def _admit(self) -> Connection | None:
        """Return a new connection if there is room for it; the one that is idle longest makes some."""
        if len(self._connections) >= self._most:
            if not (idle := self._idle()):
                return None
            longest = min(idle, key=lambda one: one.idle_since)
            self.dismiss(longest)
            longest.abort()
        assert self._requests is not None  # there is a listener
        connection = Connection(self._requests, self)
        self._connections.add(connection)
        return connection

    def dismiss(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._connections.discard(connection)

    def _idle(self) -> list[Connection]:
        return [connection for connection in self._connections if connection.idle]


class _Requests(web.Server):
    """Makes of each request what its handler gets to see."""

    def __init__(self, hooks: WebHookServer) -> None:
        self._hooks = hooks
        super().__init__(lambda request: answer(hooks, request), request_factory=self._request)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Any,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> HookRequest:
        hook, target = self._hooks.find(message.path)
        path, _, query = target.partition("?")
        url = URL.build(path=path, query_string=query, encoded=True)
        request = HookRequest(
            message._replace(path=target, url=url),
            payload,
            protocol,
            writer,
            task,
            asyncio.get_running_loop(),
            client_max_size=self._hooks.options.max_body_bytes,
        )
        request.hook = hook
        return request


def _descriptors() -> int:
    """Return for how many connections this process may have descriptors; the runs need some, too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft * 3 // 4)
