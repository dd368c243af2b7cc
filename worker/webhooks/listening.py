"""Accepts connections: counts them from the first packet on, and goes on when descriptors have run out.

An asyncio server would count a connection only once its TLS handshake is done.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from .connection import LOGGER, Connection

if TYPE_CHECKING:
    from .certificate import Certificate

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""

PAUSE = 0.2
"""Seconds until the next attempt where a connection could not be accepted, as with no descriptor left."""

_NOT_OURS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n\r\n503: too many connections\n"
)


class Listener:
    """Listens on the addresses of a host; `admit` makes the protocol of a connection, or None where there is no room.

    `patience` is how long a TLS handshake may take, in seconds.
    """

    def __init__(
        self, admit: Callable[[], Connection | None], certificate: Certificate | None, patience: float
    ) -> None:
        self._admit = admit
        self._certificate = certificate
        self._patience = patience
        self._sockets: list[socket.socket] = []
        self._greetings: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises: OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        missing: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            # A name may have several addresses; where the port is chosen here, they share it.
            at = (address[0], self._port(), *address[2:]) if port == 0 else address
            try:
                listening = socket.create_server(at, family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    self._close_sockets()
                    raise
                missing = error  # a name's address that this host has not: as with IPv6 turned off
                continue
            listening.setblocking(False)
            self._sockets.append(listening)
        if missing is not None and not self._sockets:
            raise missing
        self._listen()
        return self._port()

    async def close(self) -> None:
        """Stop listening; connections go on, but for those that still shake hands."""
        self._pause()
        self._close_sockets()
        for greeting in self._greetings:
            greeting.cancel()
        if self._greetings:
            await asyncio.wait(self._greetings)

    def _listen(self) -> None:
        for listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _pause(self) -> None:
        if self._again is not None:
            self._again.cancel()
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)

    def _port(self) -> int:
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        """Accept a connection that waits; many that arrive at once hold up nobody."""
        try:
            made, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            LOGGER.warning("cannot accept a connection: %s", error.strerror)
            self._pause()
            self._again = asyncio.get_running_loop().call_later(PAUSE, self._listen)
            return
        made.setblocking(False)
        if (connection := self._admit()) is None:
            self._turn_away(made)
            return
        greeting = connection.greeting = asyncio.ensure_future(self._greet(made, connection))
        self._greetings.add(greeting)
        greeting.add_done_callback(self._greetings.discard)
        greeting.add_done_callback(partial(_settle, made, connection))

    def _turn_away(self, made: socket.socket) -> None:
        with made, suppress(OSError):
            if self._certificate is None:
                made.send(BUSY)

    async def _greet(self, made: socket.socket, connection: Connection) -> None:
        """Shake hands, where that is asked for, and give the connection its transport."""
        context = None if self._certificate is None else await self._certificate.current()
        connection.taken = True
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                made,
                ssl=context,
                ssl_handshake_timeout=None if context is None else self._patience,
            )
        except OSError as error:  # SSLError and TimeoutError are some
            LOGGER.debug("a client did not shake hands: %s", type(error).__name__)


def _settle(made: socket.socket, connection: Connection, greeting: asyncio.Task[None]) -> None:
    """Leave nothing of a greeting that failed, or was cancelled, perhaps before it began."""
    if not connection.taken:
        made.close()
    if not connection.made:
        connection.dismiss()
