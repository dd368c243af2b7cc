"""The one HTTP server of a worker, and what is attached to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import ssl
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
from .connection import Connection
from .exchange import END_BUDGET, Exchange, HookRequest
from .hook import AttachedHook
from .options import WebHookOptions
from .targets import new_slug, split_target


class WebHookServer:
    """Serves web hooks; `start` it, or use it in `async with`, on the event loop of the runs.

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
        self._base: str | None = None
        self._closed = False
        self._listener: asyncio.Server | None = None
        self._protocols: _Protocols | None = None
        self._connections: set[Connection] = set()
        self._hooks: dict[bytes, tuple[str, AttachedHook]] = {}
        self._key = secrets.token_bytes(32)

    async def start(self) -> None:
        """Listen. Raises: ConfigurationError for an address or certificate that cannot be used."""
        if self._base is not None:
            raise LifecycleError("this server of web hooks has been started already")
        options = self.options
        context = _tls(options)
        self._protocols = _Protocols(self)
        patience: dict[str, Any] = {} if context is None else {"ssl_handshake_timeout": options.idle_timeout}
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._protocols, options.host, options.port, ssl=context, backlog=1024, **patience
            )
        except OSError as error:
            raise ConfigurationError(
                f"web hooks: cannot listen on {options.host} port {options.port}: {error.strerror or error}"
            ) from error
        self._base = options.base(self.port)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._listener is None or not self._listener.sockets:
            raise LifecycleError("this server of web hooks does not listen")
        return int(self._listener.sockets[0].getsockname()[1])

    async def attach(self, handler: Handler) -> AttachedHook:
        """Let `handler` answer below a new address. Raises: LifecycleError before `start` and after `close`."""
        if self._base is None or self._closed:
            state = "is closed" if self._closed else "has not been started"
            raise LifecycleError(f"this server of web hooks {state}: it attaches none")
        slug = new_slug()
        digest = self._digest(slug)
        hook = AttachedHook(f"{self._base}/{slug}/", digest.hex()[:8], handler, self)
        self._hooks[digest] = slug, hook
        return hook

    async def close(self, drain: float | None = None) -> None:
        """Stop listening and detach every hook; open requests have `drain` seconds, by default as configured.

        Afterwards no connection is open. Where this is cancelled, all are closed at once. Closing again ends
        what is still open.
        """
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        grace = self.options.drain if drain is None else drain
        hooks = {hook for _, hook in self._hooks.values()} | {exchange.hook for exchange in self.exchanges}
        try:
            for connection in self._idle():
                connection.abort()
            await asyncio.gather(*(hook.detach(grace) for hook in hooks))
        finally:
            for exchange in self.exchanges:
                exchange.cancel()
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
        for slug, rest in split_target(target, self.options.public_path):
            known, hook = self._hooks.get(self._digest(slug), (None, None))
            if known is not None and hmac.compare_digest(known.encode(), slug.encode("utf-8", "replace")):
                return hook, rest
        return None, "/"

    def _digest(self, slug: str) -> bytes:
        return hashlib.blake2b(slug.encode("utf-8", "replace"), key=self._key, digest_size=16).digest()

    def forget(self, hook: AttachedHook) -> None:
        """Find this hook no more."""
        self._hooks = {digest: entry for digest, entry in self._hooks.items() if entry[1] is not hook}

    def close_idle(self, hook: AttachedHook) -> None:
        """Close the connections that wait for a next request, and had all of theirs for this hook."""
        for connection in self._idle():
            if connection.hook is hook and not connection.shared:
                connection.abort()

    def admit(self, connection: Connection) -> bool:
        """Tell whether there is room for one more connection; the one that is idle longest makes some."""
        if self._closed:
            return False
        if len(self._connections) >= self.options.max_connections:
            idle = self._idle()
            if not idle:
                return False
            longest = min(idle, key=lambda one: one.idle_since)
            self.dismiss(longest)
            longest.abort()
        self._connections.add(connection)
        return True

    def dismiss(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._connections.discard(connection)

    def _idle(self) -> list[Connection]:
        return [connection for connection in self._connections if connection.exchange is None]


class _Protocols(web.Server):
    """Makes the protocol of each connection, and of each request what its handler gets to see."""

    def __init__(self, hooks: WebHookServer) -> None:
        self._hooks = hooks
        super().__init__(lambda request: answer(hooks, request), request_factory=self._request)

    def __call__(self) -> Connection:
        return Connection(self, self._hooks)

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


def _tls(options: WebHookOptions) -> ssl.SSLContext | None:
    if options.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(options.tls_certificate, options.tls_key)
    except OSError as error:  # SSLError is one
        files = " and ".join(file for file in (options.tls_certificate, options.tls_key) if file)
        raise ConfigurationError(
            f"web hooks: cannot use the certificate and key of {files}: {error.strerror or error}"
        ) from error
    return context
