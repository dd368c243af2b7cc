"""What each rule looks for: functions that yield the place in the trace, and a sentence, for every way in which
it breaks the rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ._rule_reading import SPANNING, Called, Reading
from .lifecycle import Combine, Order
from .trace import Event, Kind, Outcome

Found = Iterator[tuple[int, str]]

AFTERMATH = (Kind.LATE, Kind.LATE_LOG, Kind.ARTIFACT, Kind.OBSERVER)
"""What abandoned calls may still do when the run has ended."""

SEVERITIES = ("malformed", "task_exception", "non_fatal", "fatal")
"""The weights of errors, the least first."""


def declared_order(reading: Reading) -> Found:
    """Every move is an edge of the table from where the run is, into a stage that is new to it."""
    lifecycle = reading.lifecycle
    here, seen, edges = lifecycle.initial.name, {lifecycle.initial.name}, set(lifecycle.edges())
    for seq, event in enumerate(reading.trace):
        if event.kind is not Kind.MOVE:
            if event.stage != here:
                yield seq, f"an event of {event.stage!r} while the run was in {here!r}"
            continue
        if event.get("source") != here:
            yield seq, f"a move from {event.get('source')!r} while the run was in {here!r}"
        if (here, event.stage) not in edges:
            yield seq, f"a move from {here!r} to {event.stage!r}, which the table does not have"
        if event.stage in seen:
            yield seq, f"{event.stage!r} entered a second time"
        here = event.stage
        seen.add(here)


def exception_once(reading: Reading) -> Found:
    """Behind the exception stage come only those that its own way to the end has."""
    lifecycle, allowed = reading.lifecycle, None
    for seq, event in reading.of(Kind.MOVE):
        if allowed is not None and event.stage not in allowed:
            yield seq, f"{event.stage!r} entered after the exception; only {', '.join(allowed)} may follow"
        if event.stage in lifecycle.exception_stages:
            allowed = lifecycle.following(event.stage)[1:]


def dispose_last(reading: Reading) -> Found:
    """The stage that disposes is entered once, does nothing else, no stage follows it, and the trace ends with
    nothing under way.
    """
    final, entered = reading.disposing, reading.entered
    times = sum(event.stage == final for _, event in reading.of(Kind.MOVE))
    if times != 1:
        yield len(reading.trace), f"{final!r} was entered {times} times, not once"
    for seq, event in reading.of(Kind.MOVE):
        if seq > entered.get(final, len(reading.trace)):
            yield seq, f"{event.stage!r} was entered after {final!r}"
    for call in reading.calls:
        disposes = call.name == reading.disposal or call.name.startswith("dispose:")
        disposes |= call.name == "report" and _recovers(reading, call)
        if call.began > entered.get(final, len(reading.trace)) and not disposes:
            yield call.began, f"{call} was called after {final!r} had begun"
    for start, life in reading.lives:
        ends = [start + place for place, event in enumerate(life) if event.kind is Kind.END]
        last = start + len(life) == len(reading.trace)
        if len(ends) > 1 or (
            last and not ends
        ):  # a run that ended owing something is recovered behind its end
            yield len(reading.trace), f"the trace has {len(ends)} ends, not one"
        for end in ends[:1]:
            yield from _ended(reading, start, life, end)


def _ended(reading: Reading, start: int, life: Sequence[Event], end: int) -> Found:
    for seq, event in enumerate(life, start):
        if seq > end and event.kind not in AFTERMATH:
            yield seq, f"{event.kind.value} after the end"
    for call in reading.calls:
        if call.running_at(end):
            yield end, f"the run ended while {call} had neither returned nor been abandoned"


def _recovers(reading: Reading, call: Called) -> bool:
    return reading.died is not None and call.began > reading.died


def one_hook_at_a_time(reading: Reading) -> Found:
    """The hooks of one task plugin do not overlap, and one that was abandoned gets no other but dispose."""
    returned = {call.ended for call in reading.calls}
    for seq, event in reading.of(Kind.RETURN):
        if seq not in returned:
            yield seq, f"{event.call} returned without having been called"
    for index, call in enumerate(reading.hooks):
        for earlier in reading.hooks[:index]:
            if earlier.plugin != call.plugin:
                continue
            if earlier.running_at(call.began):
                yield call.began, f"{call} began while its {earlier.name} was running"
            elif earlier.outcome == Outcome.ABANDONED and call.name != reading.disposal:
                yield call.began, f"{call} was called although its {earlier.name} had been abandoned"


def stage_barrier(reading: Reading) -> Found:
    """No stage is entered while a call is under way, hooks keep their order, and none is cut off for a
    sibling's sake.
    """
    for seq, event in reading.of(Kind.MOVE):
        for call in reading.calls:
            may_span = call.name.startswith(SPANNING) and event.stage != reading.lifecycle.final
            if call.running_at(seq) and not may_span:
                yield seq, f"{event.stage!r} was entered while {call} was running"
    for index, call in enumerate(reading.hooks):
        for earlier in reading.hooks[:index]:
            if (
                earlier.name == call.name
                and earlier.running_at(call.began)
                and _ordered(reading, earlier, call)
            ):
                yield call.began, f"{call} began before that of {earlier.plugin!r} had returned"
        first = () if _reversed(reading, call) else reading.declared.get(str(call.plugin), ())
        for later in reading.hooks[index + 1 :]:
            if later.name == call.name and later.plugin in first:
                yield call.began, f"{call} began before that of {later.plugin!r}"
        if call.outcome in (Outcome.CANCELLED, Outcome.ABANDONED) and not _called_off(reading, call):
            yield (
                call.began,
                f"{call} was {call.outcome} although nobody had aborted the run, nor was it late",
            )


def _ordered(reading: Reading, earlier: Called, call: Called) -> bool:
    return _reversed(reading, call) or earlier.plugin in reading.declared.get(str(call.plugin), ())


def _reversed(reading: Reading, call: Called) -> bool:
    stage = reading.lifecycle.hooks.get(call.name)
    return stage is not None and stage.order is Order.REVERSE


def _called_off(reading: Reading, call: Called) -> bool:
    """Whether the run was aborted before the call ended, or the call overran its time, which its error says; that
    comes right behind, so nobody knows if the process died between the two.
    """
    ended = len(reading.trace) if call.ended is None else call.ended
    if ended + 1 == reading.died:
        return True
    return any(seq < ended for seq, _ in reading.of(Kind.ABORT)) or any(
        (event.call, event.plugin) == (call.name, call.plugin) and seq > ended
        for seq, event in reading.of(Kind.ERROR)
    )


def resolution_final(reading: Reading) -> Found:
    """There is one resolution; it is what aborts, errors and verdicts make of it, and nothing that counts comes
    after it.
    """
    outcomes = list(reading.of(Kind.OUTCOME))
    if not outcomes:
        yield len(reading.trace), "the run has no final resolution"
        return
    place, final = outcomes[0]
    for seq, event in outcomes[1:]:
        yield seq, f"an outcome ({event.get('state')}) after the final one ({final.get('state')})"
    told, expected = (final.get("state"), final.get("reason")), _resolution(reading, place)
    if told != expected:
        yield place, f"the outcome is {told[0]} ({told[1]}) where it should be {expected[0]} ({expected[1]})"
    for call in reading.hooks:
        if call.running_at(place):
            yield place, f"the outcome became final while {call} was running"
    provisionals = {stage.name for stage in reading.lifecycle.stages if stage.provisional}
    for seq, event in reading.of(Kind.MOVE):
        provisional = event.stage in provisionals
        if provisional == (seq > place):
            yield (
                seq,
                f"{event.stage!r} was entered {'after' if provisional else 'before'} the outcome was final",
            )
        if event.stage in reading.lifecycle.exception_stages and final.get("state") != "exception":
            yield seq, f"{event.stage!r} was entered although the run is {final.get('state')}"
    if final.get("state") == "exception" and not reading.lifecycle.exception_stages & reading.entered.keys():
        yield place, "the outcome is an exception, and the run took another way"


def _resolution(reading: Reading, place: int) -> tuple[str, str | None]:
    """What the run had to become, from what the trace tells before the outcome."""
    if reading.died is not None and reading.died < place:
        return "exception", "worker-shutdown"
    for seq, event in reading.of(Kind.ABORT):
        if event.get("accepted") and seq < place:
            return "exception", event.get("reason")
    errors = [event for seq, event in reading.of(Kind.ERROR) if seq < place]
    if errors:
        return "exception", max(errors, key=_severity).get("reason")
    judging = {stage.hook for stage in reading.lifecycle.stages if stage.combine is Combine.ALL}
    verdicts = [
        call
        for call in reading.hooks
        if call.name in judging and call.ended is not None and call.ended < place
    ]
    failed = any(call.value is False for call in verdicts)
    return "failed" if failed else "completed", None


def _severity(error: Event) -> int:
    severity = error.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def disposed_once(reading: Reading) -> Found:
    """Each task plugin that can be disposed is, once, and in the reverse order of declaration; where the process
    died, its leases are undone instead.
    """
    if reading.died is not None:
        yield from _undone(reading)
    disposals = [call for call in reading.hooks if call.name == reading.disposal]
    owed = [plugin for plugin, hooks in reading.created.items() if reading.disposal in hooks]
    counts = Counter(call.plugin for call in disposals)
    for plugin in owed:
        if counts[plugin] > 1 or (counts[plugin] == 0 and reading.died is None):
            yield len(reading.trace), f"plugin {plugin!r} was disposed {counts[plugin]} times, not once"
    for call in disposals:
        if call.plugin not in owed:
            yield call.began, f"plugin {call.plugin!r} was disposed although no task plugin of it was created"
        if call.plugin not in reading.declared:
            yield call.began, f"plugin {call.plugin!r} was disposed, and the run declares none of that name"
    declared = list(reading.declared)
    places = [declared.index(call.plugin) for call in disposals if call.plugin in declared]
    if places != sorted(places, reverse=True):
        order = ", ".join(str(call.plugin) for call in disposals)
        yield disposals[0].began, f"disposed in the order {order}, not the reverse of declaration"


def _undone(reading: Reading) -> Found:
    open_leases: dict[str, str] = {}
    for _, event in reading.of(Kind.LEASE, Kind.RELEASE):
        number = str(event.get("lease"))  # a strange trace may have anything here
        if event.kind is Kind.LEASE:
            open_leases[number] = f"{number} ({event.get('what')})"
        else:
            open_leases.pop(number, None)
    for lease in open_leases.values():
        yield len(reading.trace), f"lease {lease} was neither released nor undone"


def log_closed_first(reading: Reading) -> Found:
    """The log is closed once, by a stage that does so and before its hooks; the report comes once, after those."""
    stages = reading.lifecycle.stages
    closing = {stage.name for stage in stages if stage.action in ("close_log", "give_up")}
    closed = list(reading.of(Kind.LOG_CLOSED))
    if len(closed) != 1:
        yield len(reading.trace), f"the log was closed {len(closed)} times, not once"
    for seq, event in closed:
        if event.stage not in closing:
            yield seq, f"the log was closed in {event.stage!r}"
    hooks = [call for call in reading.hooks if call.stage in closing]
    for call in hooks:
        if not (closed and closed[0][0] < call.began):
            yield call.began, f"{call} was called before the log was closed"
    reports = [call for call in reading.calls if call.name == "report" and call.plugin is None]
    reporting = {stage.name for stage in stages if stage.action == "report"}
    for start, life in reading.lives:  # recovery reports again what may not have arrived
        here = [report for report in reports if start <= report.began < start + len(life)]
        places = reporting | {reading.lifecycle.final} if start else reporting
        for index, report in enumerate(here):
            if index or report.stage not in places or any(hook.running_at(report.began) for hook in hooks):
                yield (
                    report.began,
                    f"the resolution was reported in {report.stage!r}, {index} reports after the first",
                )


def created_only(reading: Reading) -> Found:
    """Hooks are called on task plugins that exist, once, in their own stage; and where a stage was entered, on
    all of them.
    """
    stages, seen = reading.lifecycle.hooks, set()
    for call in reading.hooks:
        hooks = reading.created.get(str(call.plugin), frozenset())
        if call.name != reading.creation and call.name not in hooks:
            yield call.began, f"{call} was called, and there is no task plugin with that hook"
        if call.name not in stages or stages[call.name].name != call.stage:
            yield call.began, f"{call} was called in {call.stage!r}"
        if (call.name, call.plugin) in seen:
            yield call.began, f"{call} was called a second time"
        seen.add((call.name, call.plugin))
    for name, seq in reading.entered.items():
        stage = reading.lifecycle.by_name.get(name)
        if stage is None or stage.hook is None or stage.hook == reading.creation:
            continue
        for plugin, hooks in reading.created.items():
            excused = (name in reading.cut_short and stage.provisional) or plugin in reading.fenced_at(seq)
            excused |= reading.cut_off(name)
            if stage.hook in hooks and (stage.hook, plugin) not in seen and not excused:
                yield seq, f"{stage.hook} of plugin {plugin!r} was not called although {name!r} was entered"
