"""The log of a run for as long as its page may ask for it: past dispose, and from what was kept of it."""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from ...plugins.livelog.sending import Source

LOG_ARTIFACTS = ("public/logs/live_backing.log", "public/logs/task.log")
"""The names under which plugins store the log, the best first."""

MOST_UNPACKED = 4 * 1024**3
"""The most, in bytes, that a stored log is unpacked to."""


@attrs.define(eq=False)
class HeldLog:
    """One hold on a log that many readers share; the log is let go when it is closed and the last reader is gone."""

    source: Source
    _readers: int = attrs.field(default=0, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def reader(self) -> Source:
        """Return the log for one more reader. Raises: LifecycleError once it is closed."""
        if self._closed:
            raise LifecycleError("the log is not held any more")
        self._readers += 1
        return _Reader(self.source, self)

    def let_go(self) -> None:
        """Count a reader who is gone."""
        self._readers -= 1
        self._release()

    def close(self) -> None:
        """Give it to nobody any more."""
        if not self._closed:
            self._closed = True
            self._release()

    def _release(self) -> None:
        if self._closed and self._readers == 0:
            self.source.close()


@attrs.define(eq=False)
class _Reader:
    """The log as one reader sees it."""

    _source: Source
    _held: HeldLog
    _open: bool = True

    @property
    def size(self) -> int:
        return self._source.size

    @property
    def ended(self) -> bool:
        return self._source.ended

    async def wait(self, offset: int) -> None:
        await self._source.wait(offset)

    def fileno(self) -> int | None:
        return self._source.fileno()

    def read(self, offset: int, count: int) -> bytes:
        return self._source.read(offset, count)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._held.let_go()


@attrs.define(eq=False)
class FileLog:
    """A log that is a file and does not grow; it closes the descriptor."""

    _file: int
    size: int
    ended: bool = True

    async def wait(self, offset: int) -> None:
        """Return at once: nothing more comes."""

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._file

    def read(self, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset` on."""
        return os.pread(self._file, count, offset)

    def close(self) -> None:
        """Close the file; once more does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def open_regular(path: Path) -> int:
    """Open a file that is one, and no link, device or fifo. Raises: OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(f"{path} is no file")
    return file


def artifact_file(folder: Path, name: str) -> Path:
    """Return the file of an artifact in a run's folder, where no link leads out of it. Raises: OSError."""
    root = (folder / "artifacts").resolve()
    path = root / name
    if not path.resolve().is_relative_to(root) or not path.is_file():
        raise FileNotFoundError(f"{name!r} is no file in {root}")
    return path


def open_artifact(folder: Path, name: str) -> int:
    """Open the file of an artifact in a run's folder. Raises: OSError."""
    return open_regular(artifact_file(folder, name))


def kept_log(path: Path) -> FileLog:
    """Return a log that lies in a file. Raises: OSError."""
    file = open_regular(path)
    return FileLog(file, os.fstat(file).st_size)


def unpacked_log(pieces: Iterable[bytes], packed: bool, most: int = MOST_UNPACKED) -> FileLog:
    """Return a stored log in a file without a name, unpacked if it is `packed` with gzip, `most` bytes of it.

    A log that breaks off is given as far as it goes. Raises: OSError, and what reading `pieces` raises.
    """
    with tempfile.TemporaryFile() as file:
        size = 0
        for piece in _unpacked(pieces) if packed else pieces:
            size += file.write(piece[: most - size])
            if size >= most:
                break
        file.flush()
        return FileLog(os.dup(file.fileno()), size)


def _unpacked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    for piece in pieces:
        while piece:
            try:
                yield unpacker.decompress(piece, 1_048_576)
            except zlib.error:
                return
            piece = unpacker.unconsumed_tail
