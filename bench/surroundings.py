"""Runtimes whose temporary folders are the benchmark's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from stagecall.lifecycle.journal import Journal
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.surroundings import WebHooks
from stagecall.plugins import Plugin
from stagecall.specs.task import TaskDefinition
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import Runtime

SUCCESS: Mapping[str, Mapping[str, Any]] = {"success": {}}
THREE: Mapping[str, Mapping[str, Any]] = {"success": {}, "env": {}, "maxruntime": {"maxRunTime": 3600}}

MEMORY = "/dev/shm"
"""Where files lie in memory, on Linux."""

MOCK_TASK = {"delay": 0, "function": "true", "argument": "whatever"}
"""A payload that names all there is to name for the mock engine."""

MOCK_TASK_OF_THREE = {**MOCK_TASK, "env": {"GREETING": "hello"}, "maxRunTime": 600}


@asynccontextmanager
async def runtime_of(
    engine: str,
    plugins: Mapping[str, Mapping[str, Any]] | Sequence[Plugin],
    config: Mapping[str, Any] | None = None,
    *,
    in_memory: bool = False,
    journal: bool = False,
    secrets: Sequence[bytes] = (),
    limits: Limits | None = None,
    webhooks: WebHooks | None = None,
) -> AsyncIterator[Runtime]:
    """Give a runtime whose temporary folders lie below a fresh one, which is removed in the end.

    With `in_memory` they lie in memory where that can be had: some disks take milliseconds to remove a folder.
    With a `journal` that lies beside them.
    """
    below = MEMORY if in_memory and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-", dir=below) as folder:
        async with AsyncExitStack() as stack:
            kept = (
                await stack.enter_async_context(await Journal.open(Path(folder, "journal.db")))
                if journal
                else None
            )
            around = LocalEnvironment(root=Path(folder), journal=kept, secrets=secrets, webhooks=webhooks)
            await stack.enter_async_context(around)
            making = Runtime.create(
                engine, plugins, engine_config=config, environment=around, limits=limits, journal=kept
            )
            yield await stack.enter_async_context(await making)


def definition(payload: Mapping[str, Any]) -> TaskDefinition:
    """Return a task with this payload, parsed: what the worker has in hand when a run begins."""
    return TaskDefinition.parse({"payload": payload})


async def complete(runtime: Runtime, task: TaskDefinition) -> None:
    """Run a task, which must complete: a benchmark of what fails would be a fast one."""
    resolution = await runtime.new_run(task).wait()
    if not resolution.success:
        raise RuntimeError(f"the benchmark's own task did not complete: {resolution}")
