"""Content that is packed while it is uploaded."""

import gzip
import io
import tracemalloc
from itertools import islice
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.plugins.artifacts.compression import CHUNK_BYTES, GzipReader


@given(st.binary(max_size=5000), st.lists(st.integers(0, 200), max_size=20))
def test_any_content_read_in_any_pieces_unpacks_to_itself(content, sizes):
    """How it is read makes no difference, and a read gives as much as was asked for until the end."""
    reader = GzipReader(io.BytesIO(content))

    pieces = [reader.read(size) for size in sizes]
    packed = b"".join(pieces) + reader.read()

    assert gzip.decompress(packed) == content
    assert packed == GzipReader(io.BytesIO(content)).read()
    assert reader.read() == reader.read(10) == b""
    whole = iter(packed)
    assert pieces == [bytes(islice(whole, size)) for size in sizes]


def test_what_was_read_before_is_not_packed():
    """A file is packed from where it stands."""
    file = io.BytesIO(b"skipped content")
    file.seek(8)

    assert gzip.decompress(GzipReader(file).read()) == b"content"


def test_memory_does_not_grow_with_the_content():
    """A hundred megabytes are packed within a few."""

    class Zeros:
        left = 100 * CHUNK_BYTES

        def read(self, size):
            piece = bytes(min(size, self.left))
            self.left -= len(piece)
            return piece

    reader = GzipReader(cast(BinaryIO, Zeros()))
    tracemalloc.start()

    while reader.read(CHUNK_BYTES):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 * CHUNK_BYTES


def test_error_of_the_file_comes_through():
    """What cannot be read is not taken for its end."""

    class Broken:
        def read(self, size):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        GzipReader(cast(BinaryIO, Broken())).read(10)


def test_it_cannot_be_rewound():
    """Whoever wants to read it twice is told so beforehand."""
    reader = GzipReader(io.BytesIO())

    assert (reader.readable(), reader.seekable()) == (True, False)
