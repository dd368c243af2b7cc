"""The log of a run for as long as its page may ask for it: past dispose too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from ...plugins.livelog.sending import Source


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
