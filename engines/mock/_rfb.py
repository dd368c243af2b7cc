"""The server's side of RFB without I/O: bytes from the client go in, bytes for it come out.

Source: RFC 6143, version 3.8 of the protocol, security type None, encoding raw. The picture is painted when
its bytes are asked for, so requests that come faster than the client reads are merged into one, and nothing
that a client sends makes the server hold more than one picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs

VERSION = b"RFB 003.008\n"
SECURITY_NONE = 1

SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, KEY_EVENT, POINTER_EVENT, CUT_TEXT = 0, 2, 3, 4, 5, 6
HEADS = {
    SET_PIXEL_FORMAT: struct.Struct(">xxxx16s"),
    SET_ENCODINGS: struct.Struct(">xxH"),
    UPDATE_REQUEST: struct.Struct(">x?HHHH"),
    KEY_EVENT: struct.Struct(">x?xxI"),
    POINTER_EVENT: struct.Struct(">xBHH"),
    CUT_TEXT: struct.Struct(">xxxxI"),
}
"""The fixed part of each message a client may send."""

Colour = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""


@attrs.frozen
class Area:
    """A rectangle of pixels."""

    x: int
    y: int
    width: int
    height: int

    def clipped(self, width: int, height: int) -> Area:
        """Return the part of the area that is on a screen of this size.

        >>> Area(600, 0, 100, 10).clipped(640, 480)
        Area(x=600, y=0, width=40, height=10)
        """
        x, y = min(self.x, width), min(self.y, height)
        return Area(x, y, min(self.width, width - x), min(self.height, height - y))

    def joined(self, other: Area) -> Area:
        """Return the smallest area that holds both.

        >>> Area(0, 0, 1, 1).joined(Area(2, 3, 1, 1))
        Area(x=0, y=0, width=3, height=4)
        """
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Area(x, y, right - x, bottom - y)


@attrs.frozen
class PixelFormat:
    """How a colour is put into the bytes of a pixel.

    >>> PixelFormat().encode((0x11, 0x22, 0x33)).hex()
    '33221100'
    """

    bits: int = 32
    depth: int = 24
    big_endian: bool = False
    true_colour: bool = True
    red_most: int = 255
    green_most: int = 255
    blue_most: int = 255
    red_shift: int = 16
    green_shift: int = 8
    blue_shift: int = 0

    @classmethod
    def unpack(cls, data: bytes) -> PixelFormat:
        """Return the format from its 16 bytes."""
        return cls(*_PIXEL_FORMAT.unpack(data))

    def pack(self) -> bytes:
        """Return the format as 16 bytes."""
        return _PIXEL_FORMAT.pack(*attrs.astuple(self))

    @property
    def usable(self) -> bool:
        """Whether colours can be encoded: there are no colour maps."""
        return self.true_colour and self.bits in (8, 16, 32)

    def encode(self, colour: Colour) -> bytes:
        """Return the bytes of one pixel."""
        mosts = (self.red_most, self.green_most, self.blue_most)
        shifts = (self.red_shift, self.green_shift, self.blue_shift)
        value = sum(
            part * most // 255 << shift for part, most, shift in zip(colour, mosts, shifts, strict=True)
        )
        return (value & (1 << self.bits) - 1).to_bytes(self.bits // 8, "big" if self.big_endian else "little")


_PIXEL_FORMAT = struct.Struct(">BB??HHHBBBxxx")

Paint = Callable[[Area, PixelFormat], bytes]
"""Returns the pixels of an area, row by row."""


@attrs.define(eq=False)
class RfbServer:
    """One connection: `receive` what the client sent, `send` what is to go to it.

    `over` is True once the client broke the protocol.
    """

    width: int
    height: int
    name: str
    _paint: Paint
    over: bool = attrs.field(default=False, init=False)
    _in: bytearray = attrs.field(factory=bytearray, init=False)
    _out: bytearray = attrs.field(factory=lambda: bytearray(VERSION), init=False)
    _skip: int = attrs.field(default=0, init=False)
    _format: PixelFormat = attrs.field(factory=PixelFormat, init=False)
    _painted: bool = attrs.field(default=False, init=False)
    _wanted: Area | None = attrs.field(default=None, init=False)
    _step: Callable[[], bool] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._step = self._version

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; once it is over they are dropped."""
        if not self.over:
            self._in += data
        while not self.over and self._step():
            pass

    def send(self, limit: int) -> bytes:
        """Return at most `limit` bytes for the client, `b""` if there are none for now."""
        if not self._out and self._wanted is not None:
            self._out += self._update(self._wanted)
            self._wanted = None
        data = bytes(self._out[:limit])
        del self._out[:limit]
        return data

    def _take(self, count: int) -> bytes | None:
        if len(self._in) < count:
            return None
        data = bytes(self._in[:count])
        del self._in[:count]
        return data

    def _version(self) -> bool:
        if (version := self._take(len(VERSION))) is None:
            return False
        if version != VERSION:
            return self._refuse(b"\0", "this server speaks version 3.8 only")
        self._out += bytes([1, SECURITY_NONE])
        self._step = self._security
        return True

    def _security(self) -> bool:
        if (choice := self._take(1)) is None:
            return False
        if choice[0] != SECURITY_NONE:
            return self._refuse(struct.pack(">I", 1), "this server offers the security type None only")
        self._out += struct.pack(">I", 0)
        self._step = self._init
        return True

    def _init(self) -> bool:
        if self._take(1) is None:  # whether other clients may stay: they all may
            return False
        name = self.name.encode()
        self._out += struct.pack(">HH16sI", self.width, self.height, self._format.pack(), len(name)) + name
        self._step = self._message
        return True

    def _refuse(self, status: bytes, reason: str) -> bool:
        self._out += status + struct.pack(">I", len(reason)) + reason.encode()
        return self._give_up()

    def _give_up(self) -> bool:
        self.over = True
        self._in.clear()
        self._wanted = None
        return False

    def _message(self) -> bool:
        if self._skip:
            count = min(self._skip, len(self._in))
            del self._in[:count]
            self._skip -= count
        if self._skip or not self._in:
            return False
        kind = self._in[0]
        if kind not in HEADS:
            return self._give_up()
        head = self._take(HEADS[kind].size)
        if head is None:
            return False
        self._handle(kind, HEADS[kind].unpack(head))
        return True

    def _handle(self, kind: int, fields: tuple[Any, ...]) -> None:
        if kind == SET_PIXEL_FORMAT:
            self._format = PixelFormat.unpack(fields[0])
            if not self._format.usable:
                self._give_up()
        elif kind == UPDATE_REQUEST:
            incremental, *area = fields
            if not (incremental and self._painted):  # the picture never changes
                self._want(Area(*area).clipped(self.width, self.height))
        elif kind == SET_ENCODINGS:  # they are offers, and raw need not be offered
            self._skip = 4 * fields[0]
        elif kind == CUT_TEXT:
            self._skip = fields[0]

    def _want(self, area: Area) -> None:
        self._painted = True
        self._wanted = area if self._wanted is None else self._wanted.joined(area)

    def _update(self, area: Area) -> bytes:
        head = struct.pack(">BxHHHHHi", 0, 1, area.x, area.y, area.width, area.height, 0)
        return head + self._paint(area, self._format)
