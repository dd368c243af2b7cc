"""What the sweep and the explorer see of a scenario: the runs it makes, its tasks, and what the loop complains of.

A scenario is an `async` callable without arguments that makes a run and drives it, each time from the start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ..lifecycle.driver import Run
from ..lifecycle.leaks import SETTLE_SECONDS, Snapshot
from ..lifecycle.resolution import describe
from ..specs.rules import Broken, judge
from .virtual_time import VirtualLoop

Scenario = Callable[[], Coroutine[Any, Any, Any]]
"""Makes a run and drives it, from the start each time it is called; what it raises counts as a failure."""

SETTLING_TURNS = 3
"""Turns of the loop in which tasks that are about to end may do so, before they count as left behind."""

CLEANING_SECONDS = 10.0
"""How long, by the loop's clock, a task that was left behind has to end once it is cancelled."""

LEAK_PAUSE = 0.01
"""In seconds, between two looks at whether something has gone."""


@contextmanager
def watched_runs() -> Iterator[list[Run]]:
    """Collect every run of the process that is made while this is entered."""
    runs: list[Run] = []
    make = Run.__init__

    def make_and_watch(run: Run, *arguments: Any, **options: Any) -> None:
        make(run, *arguments, **options)
        runs.append(run)

    with mock.patch.object(Run, "__init__", make_and_watch):
        yield runs


def broken_rules(runs: Iterable[Run]) -> list[Broken]:
    """Return every way in which a run that was begun breaks a rule; one that has not ended has lost its dispose."""
    return [broken for run in runs if run.trace.events for broken in judge(run.trace, run.lifecycle)]


@contextmanager
def watched_loop(loop: asyncio.AbstractEventLoop) -> Iterator[list[str]]:
    """Collect what the loop would only log while this is entered, such as errors that nobody asked for."""
    problems: list[str] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        told = f": {describe(error)}" if error is not None else ""
        problems.append(f"{context['message']}{told}")

    before = loop.get_exception_handler()
    loop.set_exception_handler(note)
    try:
        yield problems
    finally:
        loop.set_exception_handler(before)


async def tasks_left(known: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Return the tasks of the running loop that are not `known`, once what is about to end has ended."""
    for _ in range(SETTLING_TURNS):
        await asyncio.sleep(0)
    here = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task not in known and task is not here]


async def clear_away(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks that were left behind, and wait a bounded time for them."""
    left = list(tasks)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLEANING_SECONDS)


async def leaks_since(before: Snapshot) -> list[str]:
    """Return what the process holds and did not hold before, once what is about to go has gone, in real time."""
    end = time.monotonic() + SETTLE_SECONDS
    while (leaks := before.compare()) and time.monotonic() < end:
        if isinstance(asyncio.get_running_loop(), VirtualLoop):
            time.sleep(LEAK_PAUSE)  # noqa: ASYNC251 (its own sleep takes no time, and threads and kernel need some)
        await asyncio.sleep(LEAK_PAUSE)
    return list(map(str, leaks))


def label(task: asyncio.Task[Any] | None, runs: Iterable[Run]) -> str:
    """Return what a task does: the call it makes for one of the runs, else its name."""
    if task is None:
        return "no task"
    for run in runs:
        for call in run._barrier.open if run._begun else ():
            if call.task is task:
                return call.where
    return task.get_name()
