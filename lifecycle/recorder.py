"""Records the trace of one run and shows every event to its observers, at once and in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..specs.trace import Event, Kind, Outcome, Trace
from .resolution import describe

Observer = Callable[[Event], None]
"""Called synchronously with every event; it must only append to memory. One that raises is removed and reported."""

RETURNED: Mapping[Outcome, Mapping[str, Any]] = {outcome: {"outcome": outcome.value} for outcome in Outcome}
"""The details that most returns share: ten thousand runs in flight need not own ten thousand copies."""


class Recorder:
    """Appends events with the seconds since the run was created, by the monotonic clock."""

    __slots__ = ("_clock", "_observers", "_report", "trace")

    def __init__(self, observers: tuple[Observer, ...], report: Callable[[BaseException, str], object]) -> None:
        self._observers = observers
        self._report = report
        self._clock = time.monotonic()
        self.trace = Trace(datetime.now(UTC))

    def record(
        self,
        kind: Kind,
        stage: str,
        plugin: str | None = None,
        call: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an event and show it to the observers."""
        event = Event(time.monotonic() - self._clock, kind, stage, plugin, call, detail)
        self.trace.events.append(event)
        if self._observers:
            self._show(event)

    def observe(self, observer: Observer) -> None:
        """Show every later event to `observer` too."""
        self._observers = (*self._observers, observer)

    def _show(self, event: Event) -> None:
        raised: list[tuple[Observer, BaseException]] = []
        for observer in self._observers:
            try:
                observer(event)
            except BaseException as error:  # a CancelledError from here would look like the driver's own
                raised.append((observer, error))
        for observer, why in raised:  # once all have seen the event, so that the others see everything in order
            self._observers = tuple(other for other in self._observers if other is not observer)
            self._report(why, f"observer {observer!r}")
            self.record(Kind.OBSERVER, event.stage, detail={"error": describe(why)})
