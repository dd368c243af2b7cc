"""Server-sent events to one listener, at the listener's own speed.

What one has not taken yet stays where it is: the connection holds a piece of at most `PIECE_BYTES` beside what the
kernel buffers. A listener that takes nothing for `PATIENCE` seconds is dropped; a browser that still wants it comes
back and says where it stopped.

Source: the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from .policy import DATA

PIECE_BYTES = 65_536
PATIENCE = 30.0
"""Seconds in which a listener must take what it was sent."""
HEARTBEAT = 15.0
"""Seconds after which a listener to whom nothing was said is shown that the line stands."""
END = "end"
"""The id of the last event: who comes back with it has everything."""


def message(data: Any, *, name: str | None = None, id: int | str | None = None) -> bytes:
    r"""Return one event; text in it cannot look like another event, as JSON has no bare line ends.

    >>> message({"seq": 7, "text": "a\nb"}, name="run", id=7)
    b'id: 7\nevent: run\ndata: {"seq":7,"text":"a\\nb"}\n\n'
    """
    fields = f"id: {id}\n" if id is not None else ""
    fields += f"event: {name}\n" if name is not None else ""
    return f"{fields}data: {json.dumps(data, separators=(',', ':'), default=str)}\n\n".encode()


class DroppedError(ConnectionError):
    """The listener is gone, or takes nothing."""


class EventStream:
    """One open response; `send` what there is to tell, as events made by `message`."""

    def __init__(self, request: web.Request, patience: float | None = None) -> None:
        self._request = request
        self._patience = PATIENCE if patience is None else patience
        headers = {**DATA, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        self.response = web.StreamResponse(headers=headers)

    async def begin(self) -> None:
        """Send the head of the response. Raises: DroppedError."""
        try:
            await self.response.prepare(self._request)
        except OSError as error:
            raise DroppedError(str(error)) from error

    async def send(self, events: Iterable[bytes]) -> None:
        """Send events, several in a piece. Raises: DroppedError."""
        piece = bytearray()
        for event in events:
            piece += event
            if len(piece) >= PIECE_BYTES:
                await self._write(bytes(piece))
                piece.clear()
        if piece:
            await self._write(bytes(piece))

    async def still_here(self) -> None:
        """Send a comment, so that proxies keep the line and a dead one is found out. Raises: DroppedError."""
        await self._write(b": still here\n\n")

    async def _write(self, piece: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self.response.write(piece)
                await asyncio.sleep(
                    0
                )  # others have their turn, also beside a listener who takes everything at once
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise DroppedError(f"took nothing for {self._patience:g} s") from error
        except OSError as error:
            raise DroppedError(str(error)) from error
