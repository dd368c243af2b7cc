"""The parts of an explanation, each a function from the story of a run to sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ...specs.durations import took
from ...specs.rules import judge
from ...specs.trace import Event, Kind, Trace
from ..escaping import escaped
from .story import DIED, FATAL, OK, Blow, Doing, Story, names, shown
from .wording import count, few, listed, name, stop

RESOLUTIONS = {
    "completed": "it completed",
    "failed": "the task failed",
    "exception": "it became an exception",
}
AFTER_GRACE = {
    "cancelled": "was cancelled",
    "timeout": "overran its time and was cancelled",
    "abandoned": "did not end when it was cancelled, and was abandoned",
    "failed": "failed",
}


def headline(story: Story) -> str:
    """Return what became of which run."""
    run = story.run
    number, task = (name(run.get("run_id")), name(run.get("task_id"))) if run is not None else ("?", "?")
    became = resolution(story)
    where = "" if story.ended is not None else f"; its trace stops in {name(story.stage)}"
    return stop(f"Run {number} of task {task}: {became}, after {took(_length(story))}{where}")


def resolution(story: Story) -> str:
    """Return what the run became, in a few words."""
    if story.outcome is None:
        return "it has no resolution"
    state, reason = story.outcome.get("state"), story.outcome.get("reason")
    became = RESOLUTIONS.get(str(state), f"it became {name(state)}")
    return became if reason is None else f"{became}, {name(reason)}"


def way(story: Story, trace: Trace) -> Iterator[str]:
    """Tell when it began, which stages it went through, and how long each took."""
    plugins = list(names(story.run.get("plugins"))) if story.run is not None else []
    began = escaped(trace.started.isoformat(" ", "seconds"))
    with_them = {0: "no plugins", 1: "the plugin "}.get(len(plugins), "the plugins ")
    yield f"It was created at {began}, with {with_them}{listed(plugins, '')}."
    visits = [visit for visit in story.visits if visit.stage != story.lifecycle.initial.name]
    if not visits:
        yield f"It never left {name(story.stage)}."
        return
    yield f"It went through {listed(f'{name(one.stage)} ({took(one.end - one.start)})' for one in visits)}."
    longest = max(visits, key=lambda one: one.end - one.start)
    if len(visits) > 1 and longest.end - longest.start > _length(story) / 2:
        yield f"Most of the time it was in {name(longest.stage)}."
    entered = {one.stage for one in visits}
    missed = [stage for stage in story.lifecycle.main_path[1:] if stage not in entered]
    if missed and story.ended is not None:
        yield f"It never entered {listed(map(name, missed))}."


def why(story: Story, trace: Trace) -> Iterator[str]:
    """Tell what went wrong first, what it led to, what decided and what was overruled."""
    counted = [blow for blow in story.blows if blow.counted]
    decisive = story.decisive()
    if not counted:
        yield _nothing(story)
    marked = len(counted) > 1 and story.outcome is not None and not story.resolved_by_recovery
    sentences = [
        _blow(place, blow, (blow in decisive) if marked else None) for place, blow in enumerate(counted)
    ]
    yield from few(sentences, "errors")
    if counted and story.outcome is not None and not any(blow.weight for blow in counted):
        yield "So the task failed, which is no error: no hook was left out."
    exceptions = [visit for visit in story.visits if visit.stage in story.lifecycle.exception_stages]
    for before, visit in zip(story.visits, story.visits[1:], strict=False):
        if visit in exceptions:
            yield f"So the run left {name(before.stage)} for {name(visit.stage)} at {took(visit.start)}."
    yield from few([sentence for call in story.calls for sentence in _halt(call)], "aborts")
    refused = [event for event in trace.of(Kind.ABORT) if not event.get("accepted")]
    if refused:
        yield stop(
            f"{count(len(refused), 'abort')} came too late to decide: "
            f"{listed(dict.fromkeys(name(event.get('reason')) for event in refused))}"
        )
    if any(blow.weight == FATAL for blow in story.blows):
        yield "A defect may concern other runs too: the worker must stop."
    later = [blow for blow in story.blows if not blow.counted]
    yield from few(
        [
            stop(f"When the outcome was final already, at {took(one.time)} in {name(one.stage)}: {one.told}")
            for one in later
        ],
        "errors after the outcome",
    )


def _nothing(story: Story) -> str:
    if story.resolved_by_recovery:
        return "Nothing had gone wrong before the process died; whoever recovered the run resolved it."
    if story.outcome is None:
        return "Nothing had gone wrong so far."
    told = story.outcome.get("state") == "completed"
    return "Nothing went wrong." if told else "The trace does not tell."


def _blow(place: int, blow: Blow, decided: bool | None) -> str:
    when = f"at {took(blow.time)} in {name(blow.stage)}"
    told = stop(f"{'First' if place == 0 else 'Then'}, {when}, {blow.told}")
    return told if decided is None else f"{told} This {'decided' if decided else 'was overruled'}."


def _halt(call: Doing) -> Iterator[str]:
    if call.name != "abort_sandbox" or call.plugin is not None:
        return
    how = (
        f"which took {took(call.end - call.start)}"
        if call.outcome == OK and call.end is not None
        else _how(call)
    )
    yield stop(f"The sandbox was aborted at {took(call.start)}, {how}")


def calls(story: Story, trace: Trace) -> Iterator[str]:
    """Tell which calls did not end as they should, and what came back too late."""
    ways = [
        call
        for call in story.calls
        if call.outcome in AFTER_GRACE
        and call.stage != story.lifecycle.final
        and call.name != "abort_sandbox"
    ]
    yield from few(
        [stop(f"{call.subject} {_how(call)}") for call in ways if not call.recovering], "such calls"
    )
    fenced = dict.fromkeys(
        name(one.plugin) for one in ways if one.outcome == "abandoned" and one.plugin is not None
    )
    if fenced:
        yield f"So {listed(fenced)} got nothing more but dispose."
    yield from few(
        [_late(story, seq, event) for seq, event in enumerate(trace) if event.kind is Kind.LATE],
        "late returns",
    )
    absent = trace.of(Kind.NOT_CREATED)
    yield from few(
        [stop(f"Plugin {name(event.plugin)} took no part: {escaped(event.get('why'))}") for event in absent],
        "plugins",
    )
    for event in trace.of(Kind.OBSERVER)[:3]:
        yield stop(f"An observer of the run raised and was removed: {escaped(event.get('error'))}")


def _how(call: Doing) -> str:
    if call.outcome is None:
        return "has not ended"
    if call.outcome == DIED:
        return "was under way when the process died"
    seconds = took((call.end or call.start) - call.start)
    how = AFTER_GRACE.get(call.outcome, f"ended as {name(call.outcome)}")
    if call.outcome == "abandoned" and call.error:
        how = f"{escaped(call.error)}, and was abandoned"
    error = f": {escaped(call.error)}" if call.error and call.outcome in ("failed", "timeout") else ""
    return f"{how} after {seconds}{error}"


def _late(story: Story, seq: int, event: Event) -> str:
    what = f"{name(event.call)} of plugin {name(event.plugin)}" if event.plugin else name(event.call)
    disposed = event.get("disposed")
    if event.get("error") is not None:
        then = f" with an error: {escaped(event.get('error'))}"
    elif disposed is None:
        then = ""
    else:
        then = f"; what it returned was disposed{'' if disposed == OK else f', which failed: {escaped(disposed)}'}"
    return stop(f"At {took(story.times[seq])} {what} came back after all{then}")


def death(story: Story) -> Iterator[str]:
    """Tell where a trace stops, or where the process died, and what recovery did."""
    for place, (time, stage, event) in enumerate(story.recoveries[:10]):
        lost = [call for call in story.calls if call.outcome == DIED and call.end == time]
        who = f" by {name(event.get('by'))}" if event.get("by") is not None else ""
        when = f" at {name(event.get('at'))}" if event.get("at") is not None else ""
        again = "The recovery was cut short itself" if place else "The process that had the run died"
        yield f"{again}, in {name(stage)}; under way {_were(lost)}."
        yield f"The run was recovered{who}{when}."
        if event.get("lost"):
            yield "Pieces of its trace were lost."
    undone = [call for call in story.calls if call.recovering and call.name.startswith("dispose:")]
    if story.recoveries:
        well = listed(
            (name(call.name.removeprefix("dispose:")) for call in undone if call.outcome == OK), "nothing"
        )
        yield f"Recovery undid {well}."
        yield from few(
            [stop(f"{call.subject} {_how(call)}") for call in undone if call.outcome != OK], "undos"
        )
    if story.ended is None:
        yield f"The trace stops at {took(story.now)} in {name(story.stage)}: the process died, or the run goes on."
        open_calls = story.under_way()
        yield f"Under way {_were(open_calls, story.now)}."
        if story.stage != story.lifecycle.final:
            yield f"{name(story.lifecycle.final)} had not begun."
    if story.leases:
        held = [f"{name(event.get('what'))}{shown(event.get('data'))}" for event in story.leases.values()]
        yield f"{'Still held' if story.ended is not None else 'Held there'}: {listed(held)}."


def _were(calls: list[Doing], now: float | None = None) -> str:
    told = [
        f"{call.called} (for {took((now if now is not None else call.end or 0.0) - call.start)})"
        for call in calls
    ]
    return f"{'was' if len(told) < 2 else 'were'} {listed(told)}"


def end(story: Story, trace: Trace) -> Iterator[str]:
    """Tell what became of log, artifacts and report, and what dispose did."""
    for event in trace.of(Kind.LOG_CLOSED)[:1]:
        yield f"The task log was closed at {name(event.get('bytes'))} bytes."
    if late := trace.of(Kind.LATE_LOG):
        first, text = "it" if len(late) == 1 else "the first", escaped(late[0].get("text"))
        yield stop(f"{count(len(late), 'message')} came when the log was closed; {first} says: {text}")
    stored = dict.fromkeys(name(event.get("name")) for event in trace.of(Kind.ARTIFACT))
    if stored:
        were = "was" if len(stored) == 1 else "were"
        yield f"{count(len(stored), 'artifact')} {were} stored: {listed(stored, most=12)}."
    for event in trace.of(Kind.REPORT)[:3]:
        outcome = event.get("outcome")
        yield (
            "The resolution was reported." if outcome == OK else f"Reporting the resolution: {name(outcome)}."
        )
    steps = [call for call in story.calls if call.stage == story.lifecycle.final and not call.recovering]
    if steps:
        seconds = max((call.end or story.now) for call in steps) - steps[0].start
        did = listed(_step(call) for call in steps)
        well = ", and all went well" if all(call.outcome == OK for call in steps) else ""
        yield f"{name(story.lifecycle.final)} took {took(seconds)}: {did}{well}."
        bad = [stop(f"{call.subject} {_how(call)}") for call in steps if call.outcome not in (OK, None)]
        yield from few(bad, "steps")


def _step(call: Doing) -> str:
    return name(call.plugin) if call.plugin is not None else name(call.name.removeprefix("dispose:"))


def rules(story: Story, trace: Trace) -> Iterator[str]:
    """Tell which rules are broken, where they can be judged."""
    told = story.run.get("lifecycle") if story.run is not None else None
    if told not in (None, story.lifecycle.name):
        yield f"It is a run of the lifecycle {name(told)}, whose table is needed to judge it by the rules."
    elif story.ended is None:
        yield "The rules judge runs that have ended; this one has not."
    else:
        broken = [stop(escaped(one, 1000)) for one in judge(trace, story.lifecycle)]
        yield from few(broken, "findings") or ["It kept every rule."]


def _length(story: Story) -> float:
    return story.visits[-1].end if story.visits else 0.0
