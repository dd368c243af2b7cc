"""The display of a mock sandbox: a test picture, served over RFB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import attrs

from ..base import Display
from ._rfb import Area, Colour, PixelFormat, RfbServer
from ._streams import pulse

WIDTH, HEIGHT = 640, 480

MOCK_DISPLAY = Display(
    "MockDisplay", "A test picture: eight bars of colour, above the same in reverse order", WIDTH, HEIGHT
)

BARS: tuple[Colour, ...] = (
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (0, 0, 0),
)
"""From left to right, each as wide as the others."""

HORIZON = 360
"""The first row in which the bars are reversed."""


def paint(area: Area, pixel: PixelFormat) -> bytes:
    """Return the test picture's pixels in `area`, row by row.

    >>> paint(Area(80, 0, 1, 1), PixelFormat()).hex()  # yellow: blue, green, red, nothing
    '00ffff00'
    """
    above = max(0, min(area.y + area.height, HORIZON) - area.y)
    below = area.height - above
    return _row(area, BARS, pixel) * above + _row(area, BARS[::-1], pixel) * below


def _row(area: Area, bars: Sequence[Colour], pixel: PixelFormat) -> bytes:
    pixels = [pixel.encode(colour) for colour in bars]
    return b"".join(pixels[x * len(bars) // WIDTH] for x in range(area.x, area.x + area.width))


@attrs.define(eq=False)
class DisplayStream:
    """One connection to the display: the client's bytes are written, the server's are read.

    `on_end` is called once the stream is closed, by its user or with the sandbox.
    """

    _on_end: Callable[[DisplayStream], None]
    _server: RfbServer = attrs.field(
        factory=lambda: RfbServer(WIDTH, HEIGHT, MOCK_DISPLAY.name, paint), init=False
    )
    _closed: bool = attrs.field(default=False, init=False)
    _cut: bool = attrs.field(default=False, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def read(self, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes, or `b""` once the sandbox or the server ended the connection.

        Raises: BrokenPipeError if the stream was closed.
        """
        while not self._closed:
            if self._cut:
                return b""
            if data := self._server.send(limit):
                return data
            if self._server.over:
                return b""
            await self._changed.wait()
        raise BrokenPipeError("this connection to the display was closed")

    async def write(self, data: bytes) -> None:
        """Take what the client sends. Raises: BrokenPipeError if the connection has ended or was closed."""
        if self._closed or self._cut or self._server.over:
            raise BrokenPipeError("this connection to the display has ended")
        self._server.receive(data)
        pulse(self._changed)

    async def close(self) -> None:
        """End the connection; reading and writing then fail."""
        self._closed = True
        self._finish()

    def cut(self) -> None:
        """End the connection from the sandbox's side: reading comes to its end, writing fails."""
        self._cut = True
        self._finish()

    def _finish(self) -> None:
        pulse(self._changed)
        self._on_end(self)
