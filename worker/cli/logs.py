"""The worker's own log on standard error: warnings, everything with `-v`, tracebacks with `--debug` only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = "stagecall"


class Logs(logging.Handler):
    """Writes records as single lines to standard error, or to whoever owns the terminal at the moment."""

    def __init__(self, verbose: bool = False, debug: bool = False) -> None:
        super().__init__(logging.DEBUG if verbose else logging.WARNING)
        self.setFormatter(_OneLine(debug))
        self._write: Callable[[str], None] = _to_stderr

    @contextmanager
    def installed(self) -> Iterator[Logs]:
        """Take the records of every library; afterwards logging is configured as before."""
        root, ours = logging.getLogger(), logging.getLogger(LOGGER)
        level = ours.level
        root.addHandler(self)
        ours.setLevel(min(self.level, logging.WARNING))
        try:
            yield self
        finally:
            ours.setLevel(level)
            root.removeHandler(self)

    @contextmanager
    def redirected(self, write: Callable[[str], None]) -> Iterator[None]:
        """Give the lines to `write`, which may be called from any thread."""
        self._write = write
        try:
            yield
        finally:
            self._write = _to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._write(self.format(record))
        except Exception:
            self.handleError(record)


class _OneLine(logging.Formatter):
    def __init__(self, debug: bool) -> None:
        super().__init__("%(name)s: %(levelname)s: %(message)s")
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        if self._debug:
            return super().format(record)
        record.message = record.getMessage()
        return self.formatMessage(record).replace("\n", " ")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
