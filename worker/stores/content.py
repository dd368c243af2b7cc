"""Reading what is stored: in pieces, until it is no longer wanted, and only if it stays as it was."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from typing import BinaryIO

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.offload import StoppedError

CHUNK_BYTES = 1_048_576
"""What is copied between two looks at whether it is still wanted."""


def pieces(name: str, content: BinaryIO | bytes, stop: threading.Event) -> Iterator[bytes]:
    """Yield the content of an artifact from where it stands to its end, in a thread.

    Raises: NonFatalInternalError where it cannot be read, or is a file that was changed meanwhile; StoppedError once
    `stop` is set.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    before, start, count = _state(file), _position(file), 0
    while not stop.is_set():
        try:
            piece = file.read(CHUNK_BYTES)
        except OSError as error:
            raise NonFatalInternalError(
                f"the content of the artifact {name!r} cannot be read: {error}"
            ) from error
        if not piece:
            _check_unchanged(name, before, _state(file), start + count)
            return
        count += len(piece)
        yield piece
    raise StoppedError


def size_of(content: BinaryIO | bytes) -> int | None:
    """Return how many bytes there are still to read, None where only reading tells."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, io.BytesIO):
        return max(0, content.getbuffer().nbytes - content.tell())
    state = _state(content)
    return None if state is None else max(0, state.size - _position(content))


@attrs.frozen
class _State:
    """What tells that a file was written to: its size in bytes, and when it was changed last."""

    size: int
    changed: int


def _state(file: BinaryIO) -> _State | None:
    """Return the state of a regular file, None for anything else: a pipe, something in memory."""
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return _State(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _position(file: BinaryIO) -> int:
    try:
        return file.tell()
    except (AttributeError, OSError, ValueError):
        return 0


def _check_unchanged(name: str, before: _State | None, after: _State | None, end: int) -> None:
    if before is None or after is None:
        return
    if before != after:
        raise NonFatalInternalError(
            f"the content of the artifact {name!r} changed while it was read: "
            f"a file of {before.size} bytes became one of {after.size}"
        )
    if end < before.size:
        raise NonFatalInternalError(
            f"the content of the artifact {name!r} ends after {end} of {before.size} bytes"
        )
