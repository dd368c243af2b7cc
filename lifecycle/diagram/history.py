"""What one trace says about a run, in the shape that is drawn: visits of stages, calls in them, the outcome.

A stored trace may break off anywhere and may have been written by anyone, so nothing here trusts it: an
unknown outcome counts as failed, a time that is no time or goes back counts as the time before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import attrs

from ...specs.trace import Event, Kind, Outcome, Trace


@attrs.define
class Call:
    """One hook, engine call or step, in seconds since the run was created; `end` is None until it returns.

    `plugin` is None for the engine and the run's own steps; `value` is what the hook returned, if known.
    """

    stage: str
    plugin: str | None
    name: str
    start: float
    end: float | None = None
    outcome: Outcome | None = None
    error: str | None = None
    value: object = None

    @property
    def bad(self) -> bool:
        """Whether it ended badly; to be cancelled is no fault of its own."""
        return self.outcome in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.ABANDONED)

    @property
    def refused(self) -> bool:
        """Whether it said that the task failed, which is no fault of the call."""
        return self.outcome is Outcome.OK and self.value is False


@attrs.frozen
class Problem:
    """An error that the run recorded, and the plugin and call that it came from, if any."""

    plugin: str | None
    call: str | None
    message: str


@attrs.define
class Visit:
    """The time that the run was in one stage; `end` is None for the stage it is in."""

    stage: str
    start: float
    end: float | None = None
    calls: list[Call] = attrs.field(factory=list)
    problems: list[Problem] = attrs.field(factory=list)
    aborts: list[tuple[float, str]] = attrs.field(factory=list)
    """The time and the reason of each abort that came meanwhile."""

    @property
    def bad(self) -> bool:
        """Whether a call in it ended badly or an error was recorded."""
        return bool(self.problems) or any(call.bad for call in self.calls)

    def other_problems(self) -> list[Problem]:
        """Return those that no call which ended badly tells of: a payload that breaks the schema, say."""
        told = {(call.plugin, call.name) for call in self.calls if call.bad}
        return [problem for problem in self.problems if (problem.plugin, problem.call) not in told]


@attrs.define(slots=False)
class History:
    """What is drawn of one run; `now` is the time of the last event, `over` tells whether it has ended."""

    task_id: str = ""
    plugins: list[str] = attrs.field(factory=list)
    visits: list[Visit] = attrs.field(factory=list)
    moves: list[tuple[str, str]] = attrs.field(factory=list)
    state: str | None = None
    reason: str | None = None
    cause: str | None = None
    over: bool = False
    now: float = 0.0

    @classmethod
    def of(cls, trace: Trace) -> History:
        """Return what the trace says, as far as it goes."""
        history = cls()
        open_calls: dict[tuple[str | None, str | None], list[Call]] = {}
        for event in trace:
            if not history.over:
                history.now = later(history.now, event.time)
                history._take(event, _text(event.plugin), _text(event.call), open_calls)
        return history

    @cached_property
    def by_stage(self) -> dict[str, Visit]:
        """The visit of each stage that was entered."""
        return {visit.stage: visit for visit in self.visits}

    @property
    def current(self) -> str | None:
        """The stage the run is in; None once it is over."""
        return None if self.over or not self.visits else self.visits[-1].stage

    @property
    def calls(self) -> list[Call]:
        """Every call, stage by stage."""
        return [call for visit in self.visits for call in visit.calls]

    def end(self, part: Visit | Call) -> float:
        """Return when a visit or call ended; if it has not, now."""
        return self.now if part.end is None else part.end

    def seconds(self, part: Visit | Call) -> float:
        """Return how long a visit or call took, or has taken so far."""
        return self.end(part) - part.start

    def verdict(self) -> str:
        """Return in a few words what became of the run.

        >>> History(state="exception", reason="canceled").verdict()
        'exception: canceled'
        >>> History(visits=[Visit("waiting", 0.0)]).verdict()
        'under way, in waiting'
        """
        if self.current is not None and self.state is None:
            return f"under way, in {self.current}"
        if self.state is None:
            return "never resolved"
        return f"{self.state}: {self.reason}" if self.reason else self.state

    def _take(
        self,
        event: Event,
        plugin: str | None,
        name: str | None,
        open_calls: dict[tuple[str | None, str | None], list[Call]],
    ) -> None:
        if not self.visits:
            stage = event.get("source") if event.kind is Kind.MOVE else event.stage
            self.visits.append(Visit(str(stage), self.now))
        visit = self.visits[-1]
        match event.kind:
            case Kind.RUN:
                self.task_id = str(event.get("task_id", ""))
                self.plugins += _names(event.get("plugins"))
            case Kind.MOVE:
                visit.end = self.now
                self.moves.append((str(event.get("source")), event.stage))
                self.visits.append(Visit(event.stage, self.now))
            case Kind.CALL:
                call = Call(visit.stage, plugin, name or "", self.now)
                visit.calls.append(call)
                open_calls.setdefault((plugin, name), []).append(call)
                if plugin is not None and plugin not in self.plugins:
                    self.plugins.append(plugin)
            case Kind.RETURN if started := open_calls.get((plugin, name)):
                _end(started.pop(0), event, self.now)
            case Kind.ERROR:
                visit.problems.append(Problem(plugin, name, str(event.get("message", ""))))
            case Kind.ABORT if event.get("accepted", True):
                visit.aborts.append((self.now, str(event.get("reason"))))
            case Kind.OUTCOME if event.get("final", True):
                self.state, self.reason, self.cause = (
                    _text(event.get(field)) for field in ("state", "reason", "cause")
                )
            case Kind.END:
                self.over, visit.end = True, self.now


def later(before: float, time: float) -> float:
    """Return `time`, or `before` if it is earlier than that or not finite.

    >>> later(1.0, 2.5), later(1.0, 0.5), later(1.0, float("nan"))
    (2.5, 1.0, 1.0)
    """
    return time if math.isfinite(time) and time > before else before


def _end(call: Call, event: Event, now: float) -> None:
    call.end = now
    call.outcome = next((known for known in Outcome if known == event.get("outcome")), Outcome.FAILED)
    call.error = _text(event.get("error"))
    call.value = event.get("value")


def _names(plugins: object) -> Iterator[str]:
    for plugin in plugins if isinstance(plugins, list) else []:
        yield str(plugin.get("name", "")) if isinstance(plugin, dict) else str(plugin)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
