"""A log as server-sent events: text for pages, in pieces that each end between two characters.

The id of an event is the offset of the first byte that it and those before it have not told, so the `Last-Event-ID`
that a browser sends when it comes back is where to go on.
"""

from __future__ import annotations

import codecs
import json

import attrs

PIECE_BYTES = 16_384
"""The most of the log that one event tells."""
STILL_HERE = b": still here\n\n"
"""A comment, which proxies take for a sign of life."""
END_ID = "end"
"""The id of the last event: who comes back with it has everything."""


@attrs.define(eq=False)
class TextEvents:
    r"""Turns bytes from `offset` on into events; bytes that are no UTF-8 become U+FFFD.

    >>> events = TextEvents(5)
    >>> events.feed("price: 3 €".encode()[:-1])
    b'id: 14\ndata: "price: 3 "\n\n'
    >>> events.feed("€".encode()[-1:])
    b'id: 17\ndata: "\xe2\x82\xac"\n\n'
    >>> events.end()
    b'id: end\nevent: end\ndata: {"bytes": 17}\n\n'
    """

    offset: int
    _decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), init=False
    )

    def feed(self, data: bytes) -> bytes:
        """Return the event that tells `data`, nothing where that is only the begin of a character."""
        self.offset += len(data)
        return self._event(self._decoder.decode(data))

    def end(self) -> bytes:
        """Return the last events, once the log has ended."""
        rest = self._event(self._decoder.decode(b"", final=True))
        return rest + f'id: {END_ID}\nevent: end\ndata: {{"bytes": {self.offset}}}\n\n'.encode()

    def _event(self, text: str) -> bytes:
        if not text:
            return b""
        told = self.offset - len(self._decoder.getstate()[0])
        return f"id: {told}\ndata: {json.dumps(text, ensure_ascii=False)}\n\n".encode()
