"""The check's findings in words: a path in one line, a counter-example event by event, states as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...specs.rules import Broken
from ...specs.trace import Event, Kind, Trace
from .exploration import Path, Report
from .inputs import QUIET


def line_of(path: Path) -> str:
    """Return a path in one line: the stages entered, what went wrong in them, and what the run became.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> from stagecall.lifecycle.check import explore
    >>> lines = []
    >>> _ = explore(TASK_RUN, show=lambda path: lines.append(line_of(path)))
    >>> print(lines[1])
    pending (abort before) > exception > resolved > dispose = exception (canceled)
    """
    wrong: dict[str, list[str]] = defaultdict(list)
    for point, happened in path.happened:
        if happened != QUIET:
            wrong[point.stage].append(str(happened))
    entered = [path.trace[0].stage, *(event.stage for event in path.trace.of(Kind.MOVE))]
    told = (f"{stage} ({'; '.join(wrong.pop(stage))})" if stage in wrong else stage for stage in entered)
    return f"{' > '.join(told)} = {_became(path)}"


def _became(path: Path) -> str:
    if path.stuck is not None:
        return f"stuck: {path.stuck}"
    outcomes = path.trace.of(Kind.OUTCOME)
    if not outcomes:
        return "no resolution"
    state, reason = outcomes[-1].get("state"), outcomes[-1].get("reason")
    return f"{state} ({reason})" if reason else str(state)


def story(trace: Trace, broken: Sequence[Broken]) -> Iterator[str]:
    """Yield a trace event by event, with each broken rule below the event that breaks it.

    >>> from stagecall.lifecycle.check import Walk
    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> walk = Walk(TASK_RUN)
    >>> walk.go()
    >>> print(*list(story(walk.trace, []))[:3], sep="\\n")
      0  pending     run of task-run with the plugins first, second
      1  prepare     entered from pending
      2  prepare     call new_sandbox_builder
    """
    width = max((len(event.stage) for event in trace), default=0) + 2
    for seq in range(len(trace) + 1):
        if seq < len(trace):
            yield f"{seq:3}  {trace[seq].stage:{max(width, 12)}}{_told(trace[seq])}"
        yield from (f"     ^ {found}" for found in broken if found.seq == seq)


def _told(event: Event) -> str:
    of = f" of plugin {event.plugin}" if event.plugin else ""
    match event.kind:
        case Kind.RUN:
            names = ", ".join(plugin["name"] for plugin in event.get("plugins", ()))
            return f"run of {event.get('lifecycle')} with the plugins {names}"
        case Kind.MOVE:
            return f"entered from {event.get('source')}"
        case Kind.CALL:
            return f"call {event.call}{of}"
        case Kind.RETURN:
            said = "" if event.get("value") is None else f", {event.get('value')}"
            return f"return {event.call}{of}: {event.get('outcome')}{said}"
        case Kind.ERROR:
            counted = "counts" if event.get("counted") else "does not count any more"
            return f"error ({event.get('severity')}, {counted}): {event.get('message')}"
        case Kind.ABORT:
            return f"abort ({event.get('reason')}): {'accepted' if event.get('accepted') else 'too late'}"
        case Kind.OUTCOME:
            reason = f" ({event.get('reason')})" if event.get("reason") else ""
            return f"the resolution is final: {event.get('state')}{reason}"
    detail = ", ".join(f"{name} {value}" for name, value in (event.detail or {}).items() if name != "hooks")
    return f"{event.kind.value}{of}{f': {detail}' if detail else ''}"


def table_of_states(report: Report) -> Iterator[str]:
    """Yield the states that were reached: for each stage and outcome a line with the aborts it is combined with."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for state in report.states:
        rows[state.stage, state.outcome].append(state.abort)
    stages, outcomes = (max(map(len, column)) for column in zip(*rows, strict=True))
    for (stage, outcome), aborts in rows.items():
        yield f"{stage:{stages}}  {outcome:{outcomes}}  abort: {', '.join(aborts)}"
