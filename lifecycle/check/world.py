"""What an abstract run does in its stages, as the driver would record it: calls, returns, errors, aborts.

Two plugins with every hook stand for any number, and each of the run's actions for what it may be: done, failed, or
cut off by an abort. The world obeys; it decides nothing, that is done by the `Standing` it is built on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from ...specs.lifecycle import Combine, Lifecycle, Order, Stage
from ...specs.trace import Event, Kind, Outcome, Trace
from ..decision import Standing, Work, calls_on
from ..errors import (
    ExceptionReason,
    FatalInternalError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from ..resolution import Failure, Severity
from .inputs import Input, When

PLUGINS = ("first", "second")
"""Two are enough: a third would do what one of these does, at the same time."""

_ERRORS: Mapping[Severity, Exception] = {
    Severity.MALFORMED: MalformedPayloadError("no such thing"),
    Severity.TASK_EXCEPTION: TaskExceptionError(ExceptionReason.RESOURCE_UNAVAILABLE, "nothing left"),
    Severity.NON_FATAL: NonFatalInternalError("a hiccup"),
    Severity.FATAL: FatalInternalError("a defect"),
}


@attrs.frozen
class Fate:
    """How the hook of one plugin ends: with an error, or with a verdict where hooks judge."""

    error: Severity | None = None
    verdict: bool | None = None


class World(Standing):
    """The trace of an abstract run, and what it does there."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        super().__init__()
        self.lifecycle = lifecycle
        self.stage = lifecycle.initial.name
        self.trace = Trace(datetime(2000, 1, 1, tzinfo=UTC))
        self.created: list[str] = []
        self.log_closed = False
        self.aborted_in: str | None = None
        self.refused_abort = False
        plugins = [{"name": name, "after": []} for name in PLUGINS]
        self.record(Kind.RUN, lifecycle=lifecycle.name, task_id="abstract", run_id=0, plugins=plugins)

    def record(self, kind: Kind, plugin: str | None = None, call: str | None = None, **detail: Any) -> None:
        """Append an event; an abstract run takes a second for each."""
        event = Event(float(len(self.trace)), kind, self.stage, plugin, call, detail or None)
        self.trace.events.append(event)

    def entered(self, source: str) -> None:
        """Record a move; the machine calls this within it."""
        self.record(Kind.MOVE, source=source)

    def abort(self) -> None:
        """Abort the run; where nothing counts any more, only the trace is told."""
        accepted = self.note_abort(ExceptionReason.CANCELED)
        if accepted:
            self.aborted_in = self.stage
        elif self.stage == self.lifecycle.final:
            return
        self.refused_abort |= not accepted
        self.record(Kind.ABORT, reason=ExceptionReason.CANCELED.value, accepted=accepted)

    def do(self, work: Work, name: str, stage: Stage, happens: Input) -> None:
        """Do one piece of work, with what happens meanwhile."""
        match work, name:
            case Work.HOOKS, hook:
                self._call_hooks(stage, hook, self.created, happens)
            case Work.BACKGROUND, _:
                if happens.weight:  # else there is nothing in the background
                    self._run("background:work", happens)
            case _, "prepare":
                self._create(stage, happens)
            case _, "dispose":
                self._call_hooks(stage, stage.hook or name, self.created, happens)
                self._run("dispose:sandbox", Input())
            case _, "close_log" | "give_up":
                self._close_log(name, happens)
            case _, action:
                self._run(action, happens)

    def _run(self, name: str, happens: Input) -> None:
        self.record(Kind.CALL, None, name)
        self._meanwhile(happens)
        error = happens.errors[0] if happens.errors else None
        self._return(name, None, Fate(error))
        if name == "report":
            self.record(Kind.REPORT, outcome="ok" if error is None else "failed")

    def _close_log(self, action: str, happens: Input) -> None:
        self._meanwhile(happens)
        if not self.log_closed:
            self.log_closed = True
            self.record(Kind.LOG_CLOSED, bytes=0)
        for error in happens.errors:
            self._fail(error, action)

    def _create(self, stage: Stage, happens: Input) -> None:
        hook = stage.hook or "prepare"
        self.record(Kind.CALL, None, "new_sandbox_builder")
        outcomes = self._call_hooks(stage, hook, PLUGINS, happens)
        self._return("new_sandbox_builder", None, Fate())
        for plugin, outcome in outcomes.items():
            if outcome is Outcome.OK:
                self.created.append(plugin)
                hooks = [name for name in self.lifecycle.hooks if name != hook]
                self.record(Kind.CREATED, plugin, hooks=hooks)
            else:
                self.record(Kind.NOT_CREATED, plugin, why=f"its creation: {outcome.value}")

    def _call_hooks(
        self, stage: Stage, hook: str, plugins: Sequence[str], happens: Input
    ) -> Mapping[str, Outcome]:
        """Call a hook of these plugins, in the stage's order; the abort comes while that of the last runs."""
        fates = _fates(plugins, happens, stage.combine is Combine.ALL)
        outcomes: dict[str, Outcome] = {}
        together = stage.order is not Order.REVERSE
        for plugin in plugins if together else ():
            self.record(Kind.CALL, plugin, hook)
        for plugin in plugins if together else reversed(plugins):
            if not together:
                if hook != "dispose" and not calls_on(self):
                    break
                self.record(Kind.CALL, plugin, hook)
            if plugin == plugins[-1]:
                self._meanwhile(happens)
            cut_off = plugin == plugins[-1] and happens.abort is When.DURING and self.resolution is None
            outcomes[plugin] = self._return(hook, plugin, fates[plugin], cut_off)
        for plugin, outcome in outcomes.items():
            if outcome is Outcome.OK and fates[plugin].verdict is False:
                self.note_refusal(f"{hook} of plugin {plugin}")
        return outcomes

    def _meanwhile(self, happens: Input) -> None:
        if happens.abort is When.DURING:
            self.abort()

    def _return(self, call: str, plugin: str | None, fate: Fate, cut_off: bool = False) -> Outcome:
        where = f"{call} of plugin {plugin}" if plugin is not None else call
        if fate.error is not None:
            error = f"{type(_ERRORS[fate.error]).__name__}: {_ERRORS[fate.error]}"
            self.record(Kind.RETURN, plugin, call, outcome=Outcome.FAILED.value, error=error)
            self._fail(fate.error, where, plugin, call)
            return Outcome.FAILED
        outcome = Outcome.CANCELLED if cut_off and fate.verdict is not False else Outcome.OK
        told = {} if fate.verdict is None or outcome is not Outcome.OK else {"value": fate.verdict}
        self.record(Kind.RETURN, plugin, call, outcome=outcome.value, **told)
        return outcome

    def _fail(
        self, severity: Severity, where: str, plugin: str | None = None, call: str | None = None
    ) -> None:
        failure = Failure.of(_ERRORS[severity], where)
        self.record(
            Kind.ERROR,
            plugin,
            call,
            severity=failure.severity.name.lower(),
            reason=failure.reason.value,
            message=str(failure),
            incident=None,
            counted=self.note_error(failure),
        )


def _fates(plugins: Sequence[str], happens: Input, judging: bool) -> Mapping[str, Fate]:
    """Return how the hooks of these plugins end: the last one errs first, and another one judges."""
    errors = dict(zip(reversed(plugins), happens.errors, strict=False))
    good = [plugin for plugin in plugins if plugin not in errors]
    return {
        plugin: Fate(
            errors.get(plugin), not (happens.refused and plugin == good[-1]) if judging and good else None
        )
        for plugin in plugins
    }
