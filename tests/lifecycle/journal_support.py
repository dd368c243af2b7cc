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
from stagecall.lifecycle.journal.locks import guarded
from stagecall.lifecycle.journal.opening import open_store
from stagecall.lifecycle.journal.store import insert
from stagecall.specs.lifecycle_yaml import lifecycle_document
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.worker.task_run import TaskRun


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


def leave_behind(
    path: Path, run: TaskRun, *events: int, reports: bool = False, home: Path | None = None
) -> None:
    """Write what a process leaves that was killed when so many of a run's events were on disk.

    Several numbers leave as many runs, each with its number as the run's id.
    """
    session = "0123456789abcdef"
    statements = [
        insert(session, 0, "session", 0, {}),
        insert(session, 0, "lifecycle", 0, lifecycle_document(run.lifecycle)),
    ]
    for count in events:
        facts = {
            "task_id": run.info.task_id,
            "run_id": count,
            "home": None if home is None else str(home),
            "reports": reports,
            "started": run.trace.started.isoformat(),
            "lifecycle": 0,
        }
        stored = run.trace.to_document()["events"][:count]
        statements.append(insert(session, count, "run", 0, facts))
        statements.append(insert(session, count, "events", 0, stored))
        for number, body in _open_leases(stored).items():
            statements.append(insert(session, count, "lease", number, body))
    with guarded(path):
        store, _ = open_store(path)
        store.commit(statements)
        store.close()


def _open_leases(stored: list[dict[str, Any]]) -> dict[int, Any]:
    leases: dict[int, Any] = {}
    for event in stored:
        if event["kind"] == "lease":
            leases[event["lease"]] = {"kind": event["what"], "data": event["data"]}
        elif event["kind"] == "release":
            leases.pop(event["lease"], None)
    return leases
