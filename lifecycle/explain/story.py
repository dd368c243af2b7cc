"""What a trace says about a run, read in one pass.

A stored trace may break off anywhere and may have been written by anyone: a time that is no time or goes back counts
as the time before it, an unknown outcome is told as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ...specs.lifecycle import Combine, Lifecycle
from ...specs.trace import Event, Kind, Trace
from ..diagram.history import later
from ..escaping import escaped

OK = "ok"
DIED = "died"
"""How a call ended that was under way when its process died."""

FAULTS = {
    "malformed": "a malformed payload",
    "task_exception": "an exception of the task",
    "non_fatal": "an internal error",
    "fatal": "a defect",
}
"""What an error is by its severity, the least first."""

_SEVERITIES = tuple(FAULTS)


@attrs.define(eq=False)
class Doing:
    """One call, in seconds since the run was created; `end` is None while it is under way."""

    stage: str
    plugin: str | None
    name: str
    start: float
    end: float | None = None
    outcome: str | None = None
    error: str | None = None
    value: object = None
    recovering: bool = False

    @property
    def called(self) -> str:
        """What it is called in the middle of a sentence."""
        name = escaped(self.name, 100)
        return name if self.plugin is None else f"{name} of plugin {escaped(self.plugin, 100)}"

    @property
    def subject(self) -> str:
        """What it is called at the beginning of a sentence."""
        return f"The {'call' if self.plugin is None else 'hook'} {self.called}"


@attrs.define(eq=False)
class Blow:
    """Something that spoke against the task: an error, the abort, or a verdict; `weight` decides among them."""

    time: float
    stage: str
    told: str
    weight: int
    counted: bool = True


@attrs.define(eq=False)
class Visit:
    """The time that the run was in one stage."""

    stage: str
    start: float
    end: float


@attrs.define(eq=False)
class Story:
    """Everything that is told about one run, in order; `now` is the time of the last event."""

    lifecycle: Lifecycle
    run: Event | None = None
    visits: list[Visit] = attrs.field(factory=list)
    calls: list[Doing] = attrs.field(factory=list)
    blows: list[Blow] = attrs.field(factory=list)
    leases: dict[str, Event] = attrs.field(factory=dict)
    recoveries: list[tuple[float, str, Event]] = attrs.field(factory=list)
    outcome: Event | None = None
    resolved_by_recovery: bool = False
    ended: float | None = None
    now: float = 0.0
    times: list[float] = attrs.field(factory=list)

    @classmethod
    def of(cls, trace: Trace, lifecycle: Lifecycle) -> Story:
        """Read a trace."""
        story = cls(lifecycle)
        for event in trace:
            story.now = later(story.now, event.time)
            story.times.append(story.now)
            story._take(event)
        return story

    @property
    def stage(self) -> str:
        """The stage that the run was in last."""
        return self.visits[-1].stage if self.visits else self.lifecycle.initial.name

    def under_way(self) -> list[Doing]:
        """Return the calls that have not ended."""
        return [call for call in self.calls if call.end is None]

    def decisive(self) -> list[Blow]:
        """Return what made the run an exception: the abort, else the worst error; of malformations all."""
        weights = [blow.weight for blow in self.blows if blow.counted]
        if not weights or max(weights) == VERDICT:
            return [blow for blow in self.blows if blow.counted]
        worst = [blow for blow in self.blows if blow.counted and blow.weight == max(weights)]
        return worst if max(weights) == MALFORMED else worst[:1]

    def _take(self, event: Event) -> None:
        if not self.visits:
            first = event.get("source") if event.kind is Kind.MOVE else event.stage
            self.visits.append(Visit(str(first), self.now, self.now))
        if self.ended is None or self.recoveries:  # the time of late returns is nobody's stage
            self.visits[-1].end = self.now
        match event.kind:
            case Kind.RUN if self.run is None:
                self.run = event
            case Kind.MOVE:
                self.visits.append(Visit(event.stage, self.now, self.now))
            case Kind.CALL:
                recovering = bool(self.recoveries)
                stage, name = self.visits[-1].stage, str(event.call)
                self.calls.append(Doing(stage, event.plugin, name, self.now, recovering=recovering))
            case Kind.RETURN:
                self._returned(event)
            case Kind.ERROR:
                counted = bool(event.get("counted")) and self.outcome is None
                weight = _weight(event)
                fault = FAULTS[_SEVERITIES[weight - 1]]
                self._blow(f"{fault}: {escaped(event.get('message', ''), 2000)}", weight, counted)
            case Kind.ABORT if event.get("accepted"):
                self._blow(f"the run was aborted: {escaped(event.get('reason'), 100)}", ABORT, True)
            case Kind.OUTCOME if self.outcome is None:
                self.outcome, self.resolved_by_recovery = event, bool(self.recoveries)
            case Kind.LEASE:
                self.leases[str(event.get("lease"))] = event
            case Kind.RELEASE:
                self.leases.pop(str(event.get("lease")), None)
            case Kind.RECOVERED:
                self._died(event)
            case Kind.END:
                self.ended = self.now

    def _returned(self, event: Event) -> None:
        for call in self.calls:
            if (call.name, call.plugin, call.end) == (str(event.call), event.plugin, None):
                call.end = self.now
                call.outcome = str(event.get("outcome", OK))
                call.error = None if event.get("error") is None else str(event.get("error"))
                call.value = event.get("value")
                if event.get("value") is False and call.plugin is not None and self._judges(call.name):
                    self._blow(f"{call.called} said that the task failed", VERDICT, self.outcome is None)
                return

    def _judges(self, hook: str) -> bool:
        stage = self.lifecycle.hooks.get(hook)
        return stage is not None and stage.combine is Combine.ALL

    def _blow(self, told: str, weight: int, counted: bool) -> None:
        self.blows.append(Blow(self.now, self.visits[-1].stage, told, weight, counted))

    def _died(self, event: Event) -> None:
        for call in self.under_way():
            call.end, call.outcome = self.now, DIED
        self.recoveries.append((self.now, self.visits[-1].stage, event))
        self.ended = None


VERDICT = 0
MALFORMED = 1
FATAL = len(_SEVERITIES)
ABORT = FATAL + 1


def _weight(error: Event) -> int:
    severity = str(error.get("severity")).lower()
    return _SEVERITIES.index(severity) + 1 if severity in _SEVERITIES else FATAL


def names(plugins: object) -> Iterator[str]:
    """Yield the names of the plugins that the first event tells."""
    for plugin in plugins if isinstance(plugins, list) else []:
        yield escaped(plugin.get("name", "") if isinstance(plugin, Mapping) else plugin, 100)


def shown(data: Any) -> str:
    """Return what a lease says, as far as it is one or a few short values."""
    if not isinstance(data, Mapping):
        return ""
    pairs = [f"{escaped(name, 40)} {escaped(value, 120)}" for name, value in list(data.items())[:6]]
    return f" ({', '.join(pairs)})" if pairs else ""
