"""A lifecycle as a Promela model, for Spin to verify the ordering rules on.

Theory. The driver is a process whose control flow is the table, edge by edge. What surrounds it may do anything, at
any time: each plugin is a process whose hooks return, fail, refuse or hang, and may come back after they were
abandoned; another process aborts the run, twice. The driver may give up on a hook that runs at any time, for in a model
without clocks every wait may have run out. A sandbox that never ends is left out: a run waits for it as long as nobody
aborts it.

Severities are left out as well, since no edge depends on them; `lifecycle/check` looks at those.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

from ...specs.lifecycle import Combine, Lifecycle, Order, Stage
from .claims import CLAIMS
from .names import check_names
from .promela_parts import ABANDON, DECLARATIONS, HEAD, OUTSIDE, PLUGIN, STEPS


def promela(lifecycle: Lifecycle, plugins: int = 2) -> str:
    """Return the lifecycle as a Promela model with its claims.

    Raises: ExportError.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> model = promela(TASK_RUN)
    >>> print(model[model.index("L_started:"):model.index("L_waiting:")].rstrip().expandtabs(4))
    L_started:
        enter(at_started, been_started, false)
        if
        :: astray -> skip
        :: else ->
            call_hooks(true, false, false)
        fi;
        atomic {
            if
            :: astray ->
                decide();
                goto L_exception
            :: else ->
                goto L_waiting
            fi
        }
    """
    check_names(lifecycle, "Promela", ascii_only=True)
    names = [stage.name for stage in lifecycle.stages]
    parts = [
        HEAD.format(name=_comment(lifecycle.name), plugins=plugins),
        f"mtype:stage = {{ {', '.join(f'at_{name}' for name in names)} }};",
        f"mtype:stage stage = at_{names[0]};",
        f"bool {', '.join(f'been_{name}' for name in names)};",
        DECLARATIONS.format(
            counting=_any_of(_counting(lifecycle)),
            all_ended=" && ".join(f"!running({plugin})" for plugin in range(plugins)),
            disposing=_any_of([stage.name for stage in lifecycle.stages if stage.action == "dispose"]),
        ),
        STEPS.replace("@ABANDON@", "\n".join(ABANDON.format(plugin=plugin) for plugin in range(plugins))),
        PLUGIN,
        OUTSIDE,
        "\n".join(_driver(lifecycle)),
        *map(str, CLAIMS),
    ]
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    return text.replace("*/", "* /").replace("\n", " ")


def _any_of(stages: list[str]) -> str:
    return " || ".join(f"stage == at_{name}" for name in stages) or "false"


def _exceptions(lifecycle: Lifecycle) -> set[str]:
    return {
        *lifecycle.exception_stages,
        *(stage.name for stage in lifecycle.stages if stage.action == "give_up"),
    }


def _counting(lifecycle: Lifecycle) -> list[str]:
    """Return the stages in which errors have to count: those of the main path before the exception's way joins it."""
    tail = {stage for start in _exceptions(lifecycle) for stage in lifecycle.following(start)}
    return [name for name in lifecycle.main_path if name not in tail]


def _driver(lifecycle: Lifecycle) -> Iterator[str]:
    yield "active proctype driver()\n{\n\tbyte p, q;\n"
    for stage in lifecycle.stages:
        yield f"L_{stage.name}:"
        yield indent("\n".join(_stage(lifecycle, stage)), "\t")
    yield "L_end:\n\tover = true\n}\n"


def _stage(lifecycle: Lifecycle, stage: Stage) -> Iterator[str]:
    exceptions = _exceptions(lifecycle)
    tails = [lifecycle.following(start) for start in sorted(exceptions)]
    in_tail = any(stage.name in tail for tail in tails)
    name = f"at_{stage.name}, been_{stage.name}"
    if stage is not lifecycle.initial:
        yield f"enter_exception({name})" if stage.name in exceptions else f"enter({name}, {_bool(in_tail)})"
    works = list(_works(stage))
    for work in works:
        yield f"if\n:: astray -> skip\n:: else ->\n{indent(work, chr(9))}\nfi;"
    yield from _edges(lifecycle, stage)


def _works(stage: Stage) -> Iterator[str]:
    closes = stage.action in ("close_log", "give_up")
    match stage.action:
        case None:
            pass
        case "prepare":
            yield "create()"
        case "dispose":
            yield "dispose()"
        case "close_log" | "give_up":
            yield "close_log()"
        case "report":
            yield "report()"
        case _:
            yield "act()"
    if stage.hook is not None and not stage.action_calls_hook:
        judging, telling = stage.combine is Combine.ALL, stage.action == "give_up"
        if stage.order is Order.REVERSE:
            yield f"call_one_by_one({_bool(judging)})"
        else:
            yield f"call_hooks({_bool(not closes)}, {_bool(judging)}, {_bool(telling)})"


def _edges(lifecycle: Lifecycle, stage: Stage) -> Iterator[str]:
    counting = _counting(lifecycle)
    along = [f"goto L_{stage.next or 'end'}"]
    if stage.name in counting and stage.next not in counting:
        along.insert(0, "settled = true;")
    if stage.on_exception is None:
        yield "\n".join(along)
        return
    aside = [f"goto L_{stage.on_exception}"]
    if not lifecycle[stage.on_exception].provisional:
        aside.insert(0, "decide();")
    if stage.next is not None and not lifecycle[stage.next].provisional:
        along.insert(0, "decide();")
    choices = [":: astray ->", *(f"\t{one}" for one in aside), ":: else ->", *(f"\t{one}" for one in along)]
    yield "atomic {\n\tif\n" + indent("\n".join(choices), "\t") + "\n\tfi\n}"


def _bool(value: bool) -> str:
    return "true" if value else "false"
