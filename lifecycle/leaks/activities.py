"""What still runs within this process: threads, and the tasks of the running loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any

from ..barrier import left_behind
from ..escaping import escaped
from ..threads import PoolThread
from .leak import Held, Leak, LeakKind, created_at

LOOP_EXECUTOR = "asyncio_"
"""How asyncio names the threads of a loop's own executor, which keeps them until the loop is closed."""


def threads() -> Held:
    """Return the threads of this process, by the job where one of the library's pools works at one.

    Idle threads of those pools, and those of a loop's own executor, are nobody's leak; nor is a thread that
    Python did not start.
    """
    held: dict[Any, Any] = {}
    for thread in threading.enumerate():
        if isinstance(thread, PoolThread):
            if (job := thread.job) is not None:
                held[job] = partial(_thread_told, thread, f"is busy: {_named(job.call)}")
        elif not thread.name.startswith(LOOP_EXECUTOR) and type(thread).__name__ != "_DummyThread":
            held[thread] = partial(_thread_told, thread, "is running")
    return held


def tasks() -> Held:
    """Return the tasks of the running loop, and those of abandoned calls of any loop."""
    try:
        found = asyncio.all_tasks()
    except RuntimeError:  # no loop is running
        found = set()
    return {task: partial(task_told, task) for task in found | left_behind() if not task.done()}


def is_current(task: object) -> bool:
    """Return whether it is the task that asks, which is not left behind."""
    try:
        return task is asyncio.current_task()
    except RuntimeError:
        return False


def task_told(task: asyncio.Task[Any]) -> Leak:
    """Return what there is to tell of a task that has not ended."""
    frames = task.get_stack(limit=1)
    where = f", waiting at {_line(frames[-1])}" if frames else ""
    told = f"{escaped(task.get_name())} ({escaped(_named(task.get_coro()))}){where}"
    return Leak(LeakKind.TASK, told, created_at(task))


def _thread_told(thread: threading.Thread, how: str) -> Leak:
    frame = sys._current_frames().get(thread.ident or 0)
    where = f", now at {_line(frame)}" if frame is not None else ""
    return Leak(LeakKind.THREAD, f"{escaped(thread.name)} {escaped(how)}{where}", created_at(thread))


def _named(made: object) -> str:
    """Return the name of a function, also behind `partial` and `Context.run`, or of a coroutine's function."""
    while isinstance(made, partial):
        made = next((one for one in made.args if callable(one)), made.func)
    return getattr(made, "__qualname__", None) or type(made).__name__


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
