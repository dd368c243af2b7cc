"""CPU time per run: a task of the mock engine costs what the lifecycle costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from transitions import Machine

from bench.effort import Effort
from bench.figures import Figure, Result
from bench.measure import cpu_of, cpu_of_plain, take_turns
from bench.surroundings import MOCK_TASK, MOCK_TASK_OF_THREE, SUCCESS, THREE, complete, definition, runtime_of
from stagecall.lifecycle.machine import move
from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.task import TaskDefinition

AT_ONCE = 100
TABLE = dict(zip(TASK_RUN.main_path, TASK_RUN.main_path[1:], strict=False))


async def success(effort: Effort) -> Result:
    """CPU per run with the plugin `success` alone."""
    return await _per_run(effort, SUCCESS, MOCK_TASK)


async def three_plugins(effort: Effort) -> Result:
    """CPU per run with `success`, `env` and `maxruntime`."""
    return await _per_run(effort, THREE, MOCK_TASK_OF_THREE)


async def _per_run(
    effort: Effort, plugins: Mapping[str, Mapping[str, Any]], payload: Mapping[str, Any]
) -> Result:
    runs, often = effort.of(300, 10), effort.of(2000, 20)
    async with runtime_of("mock", plugins) as runtime:
        task = definition(payload)

        async def many() -> None:
            await asyncio.gather(*(complete(runtime, task) for _ in range(AT_ONCE)))

        series = await take_turns(
            {
                "run": cpu_of(lambda: complete(runtime, task), runs),
                "table": cpu_of_plain(_walk_table, often),
                "moves": cpu_of_plain(_walk_machine, often),
                "transitions": cpu_of_plain(_walk_transitions, often),
                "payload": cpu_of_plain(lambda: runtime.schema.violations(payload), often),
                "definition": cpu_of_plain(lambda: TaskDefinition.parse({"payload": payload}), often),
                "at once": cpu_of(many, max(1, runs // AT_ONCE)),
            },
            effort.rounds,
        )
    told = {
        "moves": f"the {len(TABLE)} moves alone, on the lifecycle's machine",
        "transitions": f"the {len(TABLE)} moves alone, on an ordinary machine of transitions",
        "payload": "the payload's check alone",
        "definition": "parsing the task's definition, not counted above",
    }
    beside = [Figure(title, series[name].median, "us") for name, title in told.items()]
    beside.append(
        Figure(f"a run of {AT_ONCE} that are in flight at once", series["at once"].median / AT_ONCE, "us")
    )
    floor = f"a bare table: {len(TABLE)} look-ups in a dict"
    return Result.of(series["run"], floor, series["table"], "us", tuple(beside))


def _walk_table() -> None:
    stage = TASK_RUN.initial.name
    while stage in TABLE:
        stage = TABLE[stage]


class _Model:
    """The least that a machine moves."""

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage = TASK_RUN.initial.name

    def entered(self, source: str) -> None:
        pass


def _walk_machine() -> None:
    model = _Model()
    for stage in TASK_RUN.main_path[1:]:
        move(model, TASK_RUN, stage)


def _ordinary_machine() -> Machine:
    machine = Machine(
        model=None,
        states=list(TASK_RUN.main_path),
        initial=TASK_RUN.initial.name,
        auto_transitions=False,
        model_attribute="stage",
    )
    for source, destination in TABLE.items():
        machine.add_transition(destination, [source], destination)
    return machine


_ORDINARY = _ordinary_machine()


def _walk_transitions() -> None:
    model = _Model()
    for stage in TASK_RUN.main_path[1:]:
        _ORDINARY.events[stage].trigger(model)
