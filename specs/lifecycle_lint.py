"""The lint of a lifecycle's table: what the driver's guarantees rest on, checked before a run ever begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs

from .lifecycle import Combine, Lifecycle, Order, Stage

ONCE = frozenset({"prepare", "start_sandbox", "wait_for_result", "close_log", "give_up", "report", "dispose"})
"""The actions of a run that are done at most once, so that what the first has made is not lost."""

CALLERS = {"prepare": ("new_task_plugin", Order.SIDE_BY_SIDE), "dispose": ("dispose", Order.REVERSE)}
"""The actions that call a hook themselves: which one, and in what order."""


@attrs.frozen
class Finding:
    """One thing that is wrong with a table: `check` names what was tested, `message` says where and what is allowed."""

    check: str
    stage: str | None
    message: str

    def __str__(self) -> str:
        where = f"stage {self.stage!r}: " if self.stage else ""
        return f"{where}{self.message} [{self.check}]"


def lint(lifecycle: Lifecycle) -> list[Finding]:
    """Return everything that is wrong with the table, nothing if it is sound.

    >>> from stagecall.specs.lifecycle import TASK_RUN, Stage, Lifecycle
    >>> lint(TASK_RUN)
    []
    >>> print(*lint(Lifecycle("lost", (Stage("a", next="b"), Stage("b", next="c")))))
    stage 'b': leads to 'c', which is no stage; stages are a, b [unknown-target]
    """
    if not lifecycle.stages:
        return [Finding("empty", None, "a lifecycle needs at least one stage")]
    findings = [*_clashes(lifecycle), *_targets(lifecycle), *_hooks(lifecycle), *_callers(lifecycle)]
    if not findings:  # the checks of the graph take for granted that every name leads to one stage
        findings += [*_unreachable(lifecycle), *_traps(lifecycle), *_final(lifecycle)]
    if not findings:  # and these that there is one way to the end
        findings += [
            *_exception_edges(lifecycle),
            *_log(lifecycle),
            *_verdicts(lifecycle),
            *_early(lifecycle),
        ]
    return findings


def _clashes(lifecycle: Lifecycle) -> Iterator[Finding]:
    for name, count in Counter(stage.name for stage in lifecycle.stages).items():
        if count > 1:
            yield Finding("name-clash", name, f"{count} stages have this name; names must differ")
        if not name.isidentifier():
            yield Finding("name", name, "a stage's name must be a Python identifier")
    for hook, count in Counter(stage.hook for stage in lifecycle.stages if stage.hook).items():
        if count > 1:
            yield Finding(
                "name-clash", None, f"{count} stages call the hook {hook!r}; each hook belongs to one stage"
            )
    for action, count in Counter(stage.action for stage in lifecycle.stages).items():
        if count > 1 and action in ONCE:
            yield Finding("name-clash", None, f"{count} stages have the action {action!r}; it is done once")


def _targets(lifecycle: Lifecycle) -> Iterator[Finding]:
    for source, target in lifecycle.edges():
        if target not in lifecycle.by_name:
            known = ", ".join(lifecycle.by_name)
            yield Finding(
                "unknown-target", source, f"leads to {target!r}, which is no stage; stages are {known}"
            )
        if target == lifecycle.initial.name:
            yield Finding("initial", source, f"leads back to {target!r}, where a run begins")


def _hooks(lifecycle: Lifecycle) -> Iterator[Finding]:
    for stage in lifecycle.stages:
        if stage.hook is None and (
            stage.arguments or stage.combine is not Combine.NOTHING or stage.action_calls_hook
        ):
            yield Finding("hook", stage.name, "has arguments, combine or actionCallsHook, but no hook")
        if stage.hook is not None and (not stage.hook.isidentifier() or stage.hook.startswith("_")):
            yield Finding("hook", stage.name, f"hook {stage.hook!r} must be the name of a public method")
    if lifecycle.initial.hook or lifecycle.initial.action:
        yield Finding(
            "initial", lifecycle.initial.name, "a run begins here before anything is done: no action, no hook"
        )


def _callers(lifecycle: Lifecycle) -> Iterator[Finding]:
    for stage in lifecycle.stages:
        if stage.action in CALLERS:
            hook, order = CALLERS[stage.action]
            if (stage.hook, stage.order, stage.action_calls_hook) != (hook, order, True):
                yield Finding(
                    "caller",
                    stage.name,
                    f"the action {stage.action!r} calls the hook {hook!r} itself, {order.value}: "
                    "hook, order and actionCallsHook must say so",
                )
        elif stage.action_calls_hook or stage.hook in {hook for hook, _ in CALLERS.values()}:
            yield Finding(
                "caller",
                stage.name,
                "actionCallsHook and the hooks new_task_plugin and dispose are for the actions prepare and dispose",
            )


def _reached(lifecycle: Lifecycle, start: str) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        stage = lifecycle.by_name[waiting.pop()]
        for target in (stage.next, stage.on_exception):
            if target is not None and target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


def _unreachable(lifecycle: Lifecycle) -> Iterator[Finding]:
    reached = _reached(lifecycle, lifecycle.initial.name)
    for stage in lifecycle.stages:
        if stage.name not in reached:
            yield Finding("unreachable", stage.name, f"no path leads here from {lifecycle.initial.name!r}")


def _traps(lifecycle: Lifecycle) -> Iterator[Finding]:
    for stage in lifecycle.stages:
        if None not in {lifecycle.by_name[name].next for name in _reached(lifecycle, stage.name)}:
            yield Finding(
                "trap", stage.name, "no path leads from here to a stage without next: a run would never end"
            )
        elif _cycle(lifecycle, stage):
            yield Finding("trap", stage.name, "may be entered twice: edges must not form a cycle")


def _cycle(lifecycle: Lifecycle, stage: Stage) -> bool:
    targets = (stage.next, stage.on_exception)
    return any(stage.name in _reached(lifecycle, target) for target in targets if target is not None)


def _final(lifecycle: Lifecycle) -> Iterator[Finding]:
    finals = [stage for stage in lifecycle.stages if stage.next is None]
    if len(finals) != 1:
        names = ", ".join(stage.name for stage in finals) or "none"
        yield Finding("final", None, f"exactly one stage must have no next; here: {names}")
    for stage in finals:
        if stage.on_exception is not None:
            yield Finding("final", stage.name, "is final, so no exception edge may leave it")
        if stage.action != "dispose":
            yield Finding("final", stage.name, "is final, so its action must be 'dispose'")
    for stage in lifecycle.stages:
        if stage.action == "dispose" and stage not in finals:
            yield Finding("final", stage.name, "disposes, so it must be final: nothing may follow dispose")


def _exception_edges(lifecycle: Lifecycle) -> Iterator[Finding]:
    if len(lifecycle.exception_stages) != 1:
        names = ", ".join(sorted(lifecycle.exception_stages)) or "none"
        yield Finding("exception", None, f"exception edges must lead to exactly one stage; here: {names}")
        return
    tail = _tail(lifecycle)
    for name in lifecycle.main_path:
        stage = lifecycle[name]
        if name not in tail and stage.on_exception is None:
            yield Finding(
                "no-exception-edge", name, "an error here would have nowhere to go; add onException"
            )
    (exception,) = lifecycle.exception_stages
    if exception in lifecycle.main_path:
        yield Finding("exception", exception, "is on the main path; it must be entered by onException only")
    if not any(lifecycle[name].action == "report" for name in tail):
        yield Finding("report", None, "a stage after the exception stage must have the action 'report'")
    if lifecycle[exception].action != "give_up":
        yield Finding(
            "exception", exception, "must have the action 'give_up', which cancels, aborts and closes the log"
        )


def _log(lifecycle: Lifecycle) -> Iterator[Finding]:
    if not any(lifecycle[name].action == "close_log" for name in lifecycle.main_path):
        yield Finding("log", None, "a stage on the main path must have the action 'close_log'")


def _verdicts(lifecycle: Lifecycle) -> Iterator[Finding]:
    for name in _tail(lifecycle) if len(lifecycle.exception_stages) == 1 else ():
        if lifecycle[name].combine is Combine.ALL:
            yield Finding(
                "verdict", name, "judges the task when the outcome is final; combine must be nothing"
            )


def _early(lifecycle: Lifecycle) -> Iterator[Finding]:
    path = [lifecycle[name] for name in lifecycle.main_path]
    place = next((place for place, stage in enumerate(path) if stage.action == "prepare"), 0)
    for stage in path[:place]:
        if stage.hook is not None:
            yield Finding(
                "early-hook", stage.name, "comes before 'prepare' has created any plugin to have a hook"
            )


def _tail(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return the stages from the exception stage to the final one, the exception stage first."""
    (name,) = lifecycle.exception_stages
    return lifecycle.following(name)
