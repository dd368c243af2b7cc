"""A monitor over the standard library's `logging`: the logger `stagecall`, to be routed as any other.

The library configures nothing: without a handler of the embedder's, messages go nowhere.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from ..lifecycle.resolution import describe
from ..specs.slugs import new_slug

LOGGER = logging.getLogger("stagecall")
LOGGER.addHandler(logging.NullHandler())


@attrs.define(eq=False)
class LogMonitor:
    """Messages become INFO, measures DEBUG, errors ERROR with their traceback; bound monitors share `counts`.

    Each record carries its tags and fields as the attribute `fields`, beside their text in the message.

    >>> monitor = LogMonitor().bind(task_id="VRzKBhTiQ0-FuPzN5AAWUA")
    >>> monitor.count("runs")
    >>> monitor.counts
    Counter({'runs': 1})
    """

    tags: Mapping[str, Any] = attrs.field(factory=dict)
    counts: Counter[str] = attrs.field(factory=Counter)
    logger: logging.Logger = LOGGER

    def bind(self, **tags: Any) -> LogMonitor:
        """Return a monitor that adds these tags to everything."""
        return LogMonitor({**self.tags, **tags}, self.counts, self.logger)

    def log(self, message: str, **fields: Any) -> None:
        """Record a message for the operator."""
        self._record(logging.INFO, message, fields)

    def count(self, name: str, by: int = 1) -> None:
        """Add `by` to the count called `name`; from any thread."""
        with _COUNTING:
            self.counts[name] += by

    def measure(self, name: str, value: float) -> None:
        """Record a measured value; durations are in seconds."""
        self._record(logging.DEBUG, name, {"value": value})

    def report_error(self, error: BaseException, **fields: Any) -> str:
        """Record an error with its traceback; return its incident id, which the record carries too."""
        incident = new_slug()
        self._record(logging.ERROR, describe(error), {"incident": incident, **fields}, error)
        return incident

    def _record(
        self, level: int, message: str, fields: Mapping[str, Any], error: BaseException | None = None
    ) -> None:
        if self.logger.isEnabledFor(level):
            told = {**self.tags, **fields}
            text = " ".join([message, *(f"{name}={value}" for name, value in told.items())])
            self.logger.log(level, "%s", text, extra={"fields": told}, exc_info=error, stacklevel=3)


_COUNTING = threading.Lock()
"""Held for an addition, so one lock serves all counts."""
