"""Records the trace of one run and shows every event to its observers, at once and in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from ..specs.trace import Event, Kind, Outcome, Trace
from .resolution import describe

Observer = Callable[[Event], None]
"""Called synchronously with every event; it must only append to memory. One that raises is removed and reported."""

RETURNED: Mapping[Outcome, Mapping[str, Any]] = {outcome: {"outcome": outcome.value} for outcome in Outcome}
"""The details that most returns share: ten thousand runs in flight need not own ten thousand copies."""


class Recorded(Protocol):
    """The run that a recorder follows: `stage` names the stage it is in."""

    stage: str

    def tell_worker(self, error: BaseException, where: str) -> str | None:
        """Report an error that is not the task's."""


class Recorder:
    """Appends events, with the run's stage and the seconds since it was created, by the monotonic clock."""

    __slots__ = ("_clock", "_observers", "_run", "trace")

    def __init__(self, run: Recorded, observers: tuple[Observer, ...]) -> None:
        self._run = run
        self._observers = observers
        self._clock = time.monotonic()
        self.trace = Trace(datetime.now(UTC))

    def record(
        self,
        kind: Kind,
        plugin: str | None = None,
        call: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an event and show it to the observers."""
        event = Event(time.monotonic() - self._clock, kind, self._run.stage, plugin, call, detail)
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
        for (
            observer,
            why,
        ) in raised:  # once all have seen the event, so that the others see everything in order
            self._observers = tuple(other for other in self._observers if other is not observer)
            self._run.tell_worker(why, f"observer {observer!r}")
            self.record(Kind.OBSERVER, detail={"error": describe(why)})
