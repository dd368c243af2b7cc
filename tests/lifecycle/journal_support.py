"""Journals for tests: what lies in a file, and sessions that end without a word."""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stagecall.lifecycle.journal import Journal
from stagecall.specs.task import TaskDefinition, TaskInfo


def task_info(task_id: str | None = None) -> TaskInfo:
    definition: dict[str, Any] = {"payload": {}}
    if task_id is not None:
        definition["taskId"] = task_id
    return TaskInfo.from_definition(TaskDefinition.parse(definition))


def records(path: Path) -> list[tuple[int, str, int, Any]]:
    """Return what another process would find: run, what, part and body of each record."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT run, what, part, body FROM records ORDER BY run, what, part"
        ).fetchall()
    finally:
        connection.close()
    return [(run, what, part, json.loads(body)) for run, what, part, body in rows]


def kinds(path: Path) -> list[str]:
    """Return what kinds of records there are, in order of their keys."""
    return [what for _, what, _, _ in records(path)]


def locks(path: Path) -> list[str]:
    """Return the names of the lock files of sessions."""
    return sorted(name for name in os.listdir(path.parent) if name.endswith(".lock"))


async def die(journal: Journal) -> None:
    """Let go of a journal as a killed process would: nothing more is written, the kernel lets go of the lock."""
    journal.writer.fail(RuntimeError("killed"))
    assert journal._lock is not None
    journal._lock.drop()


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds, which another thread or task brings about."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert condition()
