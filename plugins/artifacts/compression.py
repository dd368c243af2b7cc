"""Packs a file while it is read, so that neither a packed copy nor the file itself is ever held in memory."""

from __future__ import annotations

import zlib
from typing import BinaryIO

LEVEL = 6
CHUNK_BYTES = 1_048_576
"""What is read and packed at once."""

_GZIP = 16 + zlib.MAX_WBITS
"""The window with which zlib writes gzip's header and trailer: no name and no time, so equal files pack alike."""


class GzipReader:
    """The gzip form of what is left of a file; reading it reads the file, which the caller closes.

    It cannot be rewound, and what it is read for must not be: its bytes come once.

    >>> import gzip, io
    >>> gzip.decompress(GzipReader(io.BytesIO(b"content")).read())
    b'content'
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self._ready = bytearray()
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, less at the end; all that is left for a negative size. Raises: OSError."""
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._pack()
        count = len(self._ready) if size < 0 else size
        piece = bytes(self._ready[:count])
        del self._ready[:count]
        return piece

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False

    def _pack(self) -> None:
        if piece := self._file.read(CHUNK_BYTES):
            self._ready += self._packer.compress(piece)
        else:
            self._ready += self._packer.flush()
            self._ended = True
