"""A trace as the rules read it: events with their place, calls from their beginning to their end, plugins as
they were declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import attrs

from .lifecycle import Lifecycle
from .trace import Event, Kind, Outcome, Trace

SPANNING = ("background:", "abort_sandbox")
"""Calls that may last from one stage into the next; they are over before dispose."""


@attrs.define(eq=False)
class Called:
    """One call: the places in the trace where it began and ended, None while it has not."""

    name: str
    plugin: str | None
    stage: str
    began: int
    ended: int | None = None
    outcome: str | None = None
    value: Any = None

    def __str__(self) -> str:
        return f"{self.name} of plugin {self.plugin!r}" if self.plugin is not None else self.name

    def running_at(self, seq: int) -> bool:
        """Whether it had begun and not yet ended at a place in the trace."""
        return self.began < seq and (self.ended is None or self.ended > seq)


@attrs.frozen(slots=False, eq=False)
class Reading:
    """A trace and the lifecycle that it is judged by; `len(reading.trace)` is the place of what is missing."""

    trace: Trace
    lifecycle: Lifecycle

    def of(self, *kinds: Kind) -> Iterator[tuple[int, Event]]:
        """Yield the events of these kinds with their places."""
        return ((seq, event) for seq, event in enumerate(self.trace) if event.kind in kinds)

    @cached_property
    def calls(self) -> list[Called]:
        """Every call, in the order they began; the death of the process ended all that were under way."""
        calls: list[Called] = []
        for seq, event in self.of(Kind.CALL, Kind.RETURN, Kind.RECOVERED):
            if event.kind is Kind.RECOVERED:
                for call in calls:
                    call.ended = seq if call.ended is None else call.ended
            elif event.kind is Kind.CALL:
                calls.append(Called(str(event.call), event.plugin, event.stage, seq))
            else:
                for call in calls:
                    if (call.name, call.plugin, call.ended) == (event.call, event.plugin, None):
                        call.ended = seq
                        call.outcome = event.get("outcome")
                        call.value = event.get("value")
                        break
        return calls

    @cached_property
    def died(self) -> int | None:
        """The place from which on others ended the run, as its process was dead; None if none did."""
        return next((seq for seq, _ in self.of(Kind.RECOVERED)), None)

    def cut_off(self, stage: str) -> bool:
        """Whether the process was dead before the run had left a stage, so that it may lack hooks."""
        entered = self.entered[stage]
        left = next((seq for seq, _ in self.of(Kind.MOVE) if seq > entered), len(self.trace))
        return self.died is not None and left > self.died

    @cached_property
    def lives(self) -> list[tuple[int, list[Event]]]:
        """The trace in parts: what the run itself told, and each recovery of it; with the place where each begins."""
        starts = [0, *(seq for seq, _ in self.of(Kind.RECOVERED))]
        ends = [*starts[1:], len(self.trace)]
        return [(start, list(self.trace[start:end])) for start, end in zip(starts, ends, strict=True)]

    @cached_property
    def hooks(self) -> list[Called]:
        """The calls of plugins' hooks."""
        return [call for call in self.calls if call.plugin is not None]

    def fenced_at(self, seq: int) -> set[str | None]:
        """Return the plugins that had a hook abandoned before a place in the trace."""
        abandoned = (call for call in self.hooks if call.outcome == Outcome.ABANDONED)
        return {call.plugin for call in abandoned if call.ended is not None and call.ended < seq}

    @cached_property
    def entered(self) -> Mapping[str, int]:
        """The place where each stage was first entered."""
        entered: dict[str, int] = {}
        for seq, event in self.of(Kind.MOVE):
            entered.setdefault(event.stage, seq)
        return entered

    @cached_property
    def declared(self) -> Mapping[str, frozenset[str]]:
        """Plugins in the order of their declaration, with the names of those whose hooks come first."""
        return {
            str(plugin.get("name")): frozenset(_texts(plugin.get("after")))
            for _, event in self.of(Kind.RUN)
            for plugin in _items(event.get("plugins"))
            if isinstance(plugin, Mapping)
        }

    @cached_property
    def created(self) -> Mapping[str, frozenset[str]]:
        """The plugins that made a task plugin, with the hooks that it has."""
        return {
            str(event.plugin): frozenset(_texts(event.get("hooks"))) for _, event in self.of(Kind.CREATED)
        }

    @cached_property
    def creation(self) -> str | None:
        """The hook that creates task plugins: the one of the stage whose action is `prepare`."""
        return next((stage.hook for stage in self.lifecycle.stages if stage.action == "prepare"), None)

    @cached_property
    def disposal(self) -> str | None:
        """The hook that disposes task plugins."""
        return self.lifecycle[self.disposing].hook

    @cached_property
    def disposing(self) -> str:
        """The stage whose action is `dispose`: the final one, unless the table is unsound."""
        named = (stage.name for stage in self.lifecycle.stages if stage.action == "dispose")
        return next(named, self.lifecycle.final)

    @cached_property
    def cut_short(self) -> frozenset[str]:
        """Stages in which an abort, or an error of the run's own, left hooks uncalled."""
        return frozenset(
            event.stage
            for event in self.trace
            if (event.kind is Kind.ABORT and event.get("accepted"))
            or (event.kind is Kind.ERROR and event.get("counted") and event.plugin is None)
        )


def _items(stored: object) -> Iterator[Any]:
    """Yield what a list holds; a stored trace may have anything in its place."""
    yield from stored if isinstance(stored, (list, tuple)) else ()


def _texts(stored: object) -> Iterator[str]:
    return (item for item in _items(stored) if isinstance(item, str))
