"""A task log as whoever serves it sees it: how long it is, when it grows, and a descriptor for sendfile."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import LifecycleError, NonFatalInternalError

if TYPE_CHECKING:
    from .task_log import TaskLog

PIECE_BYTES = 65_536
"""The most that a reader gets at once."""


class LogView:
    """One reader's hold on a log: what it has seen stays readable, after dispose too, until it closes.

    Made by `TaskContext.open_log`, from any thread; `wait` may be called on any loop. Opening one opens no file. It
    belongs in a `with`, or is closed by hand.

    >>> import asyncio, tempfile
    >>> from pathlib import Path
    >>> from stagecall.lifecycle.log import TaskLog
    >>> async def main(folder):
    ...     log = TaskLog(lambda: Path(folder, "task.log"))
    ...     with log.view() as view:
    ...         empty = view.fileno()
    ...         log.write(b"hello")
    ...         await view.wait(0)
    ...         return empty, view.size, view.read(1, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(main(folder))
    (None, 5, b'ell')
    """

    __slots__ = ("_log", "_open")

    def __init__(self, log: TaskLog) -> None:
        self._log = log
        self._open = True

    @property
    def size(self) -> int:
        """The bytes that can be read."""
        return self._log.size

    @property
    def ended(self) -> bool:
        """Whether the log has its last byte."""
        return self._log.ended

    async def wait(self, offset: int) -> None:
        """Return once the log holds more than `offset` bytes, or has ended.

        Within 100 ms of the write, usually at once; a line costs whoever writes it the same however many wait.
        """
        while offset >= self._log.size and not self._log.ended:
            await self._log.grown(offset)

    def fileno(self) -> int | None:
        """Return a descriptor of the log for `os.pread` and `loop.sendfile`, None while it has no byte.

        All views of a log share it: use explicit offsets only, up to `size`, and do not close it. It is valid until
        this view is closed. Raises: LifecycleError once the view is closed; OSError where none can be opened.
        """
        self._check_open()
        return self._log.shared_descriptor()

    def read(self, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset` on, less only where the log has no more, b"" at its end.

        Raises: NonFatalInternalError if somebody else cuts the file short; LifecycleError once the view is closed.
        """
        self._check_open()
        count = min(count, self._log.size - offset)
        if count <= 0:
            return b""
        data = self._log.read(offset, count)
        if not data:
            raise NonFatalInternalError("the task log was cut short by somebody else")
        return data

    def close(self) -> None:
        """Let go of the log; once more does nothing."""
        if self._open:
            self._open = False
            self._log.let_go()

    def _check_open(self) -> None:
        if not self._open:
            raise LifecycleError("this view of the task log is closed")

    def __enter__(self) -> LogView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def pieces(log: TaskLog, offset: int) -> AsyncGenerator[bytes, None]:
    """Yield a log from `offset` on, in pieces of at most 64 KiB, until it has ended."""
    with log.view() as view:
        while True:
            while data := view.read(offset, PIECE_BYTES):
                offset += len(data)
                yield data
            if view.ended and offset >= view.size:
                return
            await view.wait(offset)
