"""What a hook costs: an `async def` stays on the loop, a plain `def` takes a thread."""

from __future__ import annotations

import asyncio

from bench.effort import Effort
from bench.figures import Figure, Result
from bench.measure import cpu_of, take_turns
from bench.surroundings import MOCK_TASK, complete, definition, runtime_of
from stagecall.engines import Sandbox
from stagecall.plugins import Plugin, TaskPlugin, TaskPluginOptions


class _Idle(TaskPlugin):
    pass


class _Async(TaskPlugin):
    async def started(self, sandbox: Sandbox) -> None:
        pass


class _Def(TaskPlugin):
    def started(self, sandbox: Sandbox) -> None:
        pass


class _Plugin(Plugin):
    def __init__(self, kind: type[TaskPlugin]) -> None:
        self.kind = kind

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return self.kind()


async def def_hook(effort: Effort) -> Result:
    """CPU that a run takes more for one `def` hook than for none."""
    runs = effort.of(300, 10)
    task = definition(MOCK_TASK)
    loop = asyncio.get_running_loop()
    async with (
        runtime_of("mock", [_Plugin(_Idle)]) as idle,
        runtime_of("mock", [_Plugin(_Async)]) as with_async,
        runtime_of("mock", [_Plugin(_Def)]) as with_def,
    ):
        series = await take_turns(
            {
                "none": cpu_of(lambda: complete(idle, task), runs),
                "async": cpu_of(lambda: complete(with_async, task), runs),
                "def": cpu_of(lambda: complete(with_def, task), runs),
                "hop": cpu_of(lambda: loop.run_in_executor(None, _nothing), runs),
            },
            effort.rounds,
        )
    asynchronous = series["async"].less(series["none"])
    return Result.of(
        series["def"].less(series["none"]),
        "a bare hop: run_in_executor of a function that does nothing",
        series["hop"],
        "us",
        (Figure("an async def hook in its place", asynchronous.median, "us"),),
    )


def _nothing() -> None:
    pass
