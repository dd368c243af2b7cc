"""What tests read from a trace, and the one assertion that holds for every ended run."""

from __future__ import annotations

import json

from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.rules import judge
from ...specs.trace import Kind, Trace


def assert_sound(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> None:
    """Assert that the trace of an ended run keeps every rule, as it is and read back from `run.json`.

    Raises: AssertionError that names each rule it breaks, where, and how.

    >>> from datetime import UTC, datetime
    >>> assert_sound(Trace(datetime(2026, 1, 1, tzinfo=UTC)))
    Traceback (most recent call last):
        ...
    AssertionError: the trace breaks rules:
    rule 3 (dispose-last) broken at event 0: ...
    """
    document = json.loads(json.dumps(trace.to_document()))
    read = Trace.from_document(document)
    for one, what in ((trace, "the trace"), (read, "the trace as run.json keeps it")):
        if broken := judge(one, lifecycle):
            raise AssertionError("\n".join([f"{what} breaks rules:", *map(str, broken)]))
    if read.to_document() != document:
        raise AssertionError("the trace changes when it is stored in run.json and read again")


def assert_sound_so_far(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> None:
    """Assert that the trace of a run under way has broken no rule yet, whatever may still come.

    To be called between two turns of the run's loop, when what belongs together has been recorded. What the stage that
    the run is in still owes is left to later. Raises: AssertionError as `assert_sound`.

    >>> from datetime import UTC, datetime
    >>> assert_sound_so_far(Trace(datetime(2026, 1, 1, tzinfo=UTC)))
    """
    entered = max((seq for seq, event in enumerate(trace) if event.kind is Kind.MOVE), default=-1)
    broken = [
        found
        for found in judge(trace, lifecycle)
        if found.seq < len(trace) and (found.seq, found.rule.name) != (entered, "created-only")
    ]
    if broken:
        raise AssertionError("\n".join(["the trace breaks rules already:", *map(str, broken)]))


def path(trace: Trace) -> list[str]:
    """Return the stages that were entered, in order.

    >>> path(Trace.from_document({"version": 1, "started": "2026-01-01T00:00:00+00:00", "events": [
    ...     {"seq": 0, "time": 0.0, "kind": "move", "stage": "prepare", "source": "pending"}]}))
    ['prepare']
    """
    return [event.stage for event in trace.of(Kind.MOVE)]


def hooks(trace: Trace) -> list[tuple[str, str, str]]:
    """Return every call as `(plugin, call, outcome)`, in the order they ended; the run's own have the plugin "-".

    >>> hooks(Trace.from_document({"version": 1, "started": "2026-01-01T00:00:00+00:00", "events": [
    ...     {"seq": 0, "time": 0.1, "kind": "return", "stage": "start", "call": "start_sandbox", "outcome": "ok"}]}))
    [('-', 'start_sandbox', 'ok')]
    """
    return [(e.plugin or "-", str(e.call), str(e.get("outcome"))) for e in trace.of(Kind.RETURN)]


def outcomes(trace: Trace, call: str) -> dict[str, str]:
    """Return how a call ended, for each plugin; the run's own under "-"."""
    return {plugin: outcome for plugin, name, outcome in hooks(trace) if name == call}


def errors(trace: Trace) -> list[tuple[str, str, bool]]:
    """Return every error as `(severity, message, counted)`, where `counted` tells if it could decide the outcome."""
    return [(e.get("severity"), e.get("message"), e.get("counted")) for e in trace.of(Kind.ERROR)]
