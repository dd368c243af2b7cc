"""One client's connection: what it may send, how long it may take, and what of it stands in a log.

Adds to aiohttp's protocol what that leaves to whoever stands before it: a bound on the sum of headers, on a body
that trickles, and error pages and log lines that repeat nothing of what the client sent.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestPayloadError

from .exchange import Exchange, HookRequest
from .targets import loggable

if TYPE_CHECKING:
    from aiohttp.web_server import Server

    from .hook import AttachedHook
    from .server import WebHookServer

LOGGER = logging.getLogger("stagecall.webhooks")

LEAST_RATE = 1024
"""Bytes per second that the body of a request must have on average, beyond the first `idle_timeout` seconds."""

LINGER = 2.0
"""Seconds in which the rest of a body is read that no handler wanted, so that the client sees the answer."""


class Connection(web.RequestHandler):
    """The protocol of one connection; `exchange` is the request in progress, `hook` the one it was last used for."""

    def __init__(self, manager: Server, hooks: WebHookServer) -> None:
        options = hooks.options
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=options.idle_timeout,
            lingering_time=LINGER,
            access_log_class=AccessLog,
            access_log=LOGGER,
            max_line_size=options.max_header_bytes,
            max_field_size=options.max_header_bytes,
        )
        self.exchange: Exchange | None = None
        self.hook: AttachedHook | None = None
        self.shared = False
        self.idle_since = self._loop.time()
        self.greeting: asyncio.Task[None] | None = None
        self.taken = False  # whether the socket is asyncio's to close
        self._hooks = hooks
        self._wire: asyncio.Transport | None = None
        self._head = 0
        self._body_time = 0.0
        self._body_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        _bound_silence(transport.get_extra_info("socket"), self._hooks.options.idle_timeout)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.dismiss()
        super().connection_lost(exc)
        if self.exchange is not None:
            self.exchange.lost()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        options = self._hooks.options
        if self.exchange is None and not self._messages:
            self._head += len(data)
            if self._head > options.max_header_bytes:
                self.abort()
        elif self.exchange is not None and self.exchange.request.content.total_bytes > options.max_body_bytes:
            body = self.exchange.request.content
            if body.exception() is None:
                body.set_exception(too_large(options.max_body_bytes, body.total_bytes))

    def begin(self, exchange: Exchange) -> None:
        """A request has arrived, at least its head."""
        self.exchange = exchange
        self.shared = self.shared or self.hook not in (None, exchange.hook)
        self.hook = exchange.hook
        self._head, self._body_time = 0, 0.0
        self._stop_watching()
        self._check_body()

    def end(self, exchange: Exchange) -> None:
        """The request has been answered, to the last byte; the next one may have begun."""
        if self.exchange is exchange:
            self.exchange = None
            self.idle_since = self._loop.time()
            self._stop_watching()

    def _stop_watching(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    @property
    def made(self) -> bool:
        """Whether there is a transport: with TLS that takes a handshake."""
        return self._wire is not None

    @property
    def idle(self) -> bool:
        """Whether no request is in progress, though one may be arriving."""
        return self.exchange is None and not self._messages

    def dismiss(self) -> None:
        """Count this connection no more."""
        self._hooks.dismiss(self)

    def abort(self) -> None:
        """Close the connection now, whatever was still to be sent."""
        self.force_close()
        if self._wire is not None:
            self._wire.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    def _check_body(self) -> None:
        """Drop a client whose body comes too slowly; time in which the handler does not read is not the client's."""
        if self.exchange is None or (body := self.exchange.request.content).is_eof() or self._wire is None:
            return
        patience = self._hooks.options.idle_timeout
        if self._body_time > patience + body.total_bytes / LEAST_RATE:
            self.abort()
            return
        step = patience / 4
        if self._wire.is_reading():
            self._body_time += step
        self._body_timer = self._loop.call_later(step, self._check_body)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, in our words: aiohttp's would repeat the client's. Give up what failed half way."""
        LOGGER.debug("refused what is no request: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, and cannot become another one")
        return plain(431 if isinstance(exc, LineTooLong) else status, "this is not a request that is served")

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Report what went wrong while an answer was sent, unless that is the client's doing."""
        error = kw.get("exc_info")
        if isinstance(error, _CLIENTS):
            LOGGER.debug("a client did not keep to the protocol: %s", type(error).__name__)
        elif isinstance(error, Exception):
            self._hooks.monitor.report_error(error, hook=self.hook and self.hook.name)


_CLIENTS = (ConnectionError, HttpProcessingError, RequestPayloadError, web.HTTPException)


class AccessLog(AbstractAccessLogger):
    """Writes a line per request, at level debug, without anything that looks like a slug."""

    @property
    def enabled(self) -> bool:
        """Whether anybody wants the lines."""
        return LOGGER.isEnabledFor(logging.DEBUG)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write one line."""
        hook = request.hook if isinstance(request, HookRequest) else None
        LOGGER.debug(
            "%s %s %s %s %d, %d bytes in %.3f s",
            request.remote,
            "no hook" if hook is None else f"hook {hook.name}",
            request.method,
            loggable(request.raw_path),
            response.status,
            response.body_length,
            time,
        )


def plain(status: int, message: str) -> web.Response:
    """Return an answer in one line, after which the connection is closed.

    >>> plain(404, "no such hook").text
    '404: no such hook\\n'
    """
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    response = web.Response(status=status, text=f"{status}: {message}\n", headers=headers)
    response.force_close()
    return response


def too_large(allowed: int, actual: int) -> web.HTTPException:
    """Return the error for a body beyond what is allowed; raised by the handler's reading it is an answer."""
    text = f"413: a request's body may have {allowed} bytes\n"
    error = web.HTTPRequestEntityTooLarge(max_size=allowed, actual_size=actual, text=text)
    error.force_close()
    return error


def _bound_silence(connection: socket.socket, seconds: float) -> None:
    """Have the kernel drop a client that takes nothing of what it is sent, whoever sends it, sendfile too.

    It also asks clients that are silent whether they are still there.
    """
    options = {
        "TCP_USER_TIMEOUT": seconds * 1000,
        "TCP_KEEPIDLE": seconds,
        "TCP_KEEPINTVL": seconds / 4,
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not everywhere
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), max(1, round(value)))
