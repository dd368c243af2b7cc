"""Plugins that do not let go, or let go only as long as all goes as expected."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

from ....engines.base import Sandbox
from ....lifecycle.context import TaskContext
from ....lifecycle.errors import ExceptionReason
from ....lifecycle.surroundings import WebHooks
from ....plugins.base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions


class _Summarizing(TaskPlugin):
    summary: str | None = None

    async def finished(self, success: bool) -> None:
        self.summary = "finished"

    async def exception(self, reason: ExceptionReason) -> None:
        self.summary = "exception"

    async def dispose(self) -> None:
        assert self.summary is not None


class ExpectsToHaveBeenUsed(Plugin):
    """Disposes what only its hooks make, also where none was called."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Summarizing()


class _Once(TaskPlugin):
    def __init__(self) -> None:
        self._held = ["something"]

    async def dispose(self) -> None:
        self._held.remove("something")


class DisposesOnlyOnce(Plugin):
    """Fails when its task plugin is disposed again."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Once()


KEPT: list[object] = []
"""What the leaking mutants keep, so that it does not end by itself; `clean_up` lets go of it."""


def clean_up() -> None:
    """Let go of everything that leaking mutants keep."""
    while KEPT:
        one = KEPT.pop()
        if isinstance(one, threading.Event):
            one.set()
        elif isinstance(one, int):
            os.close(one)
        elif isinstance(one, subprocess.Popen):
            one.kill()
            one.wait()


class _Leaking(TaskPlugin):
    def __init__(self, context: TaskContext) -> None:
        self._context = context


class _LeakingTask(_Leaking):
    async def started(self, sandbox: Sandbox) -> None:
        KEPT.append(asyncio.create_task(asyncio.sleep(10_000)))


class LeavesATask(Plugin):
    """Starts a task of its own instead of `context.spawn`, and forgets it."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _LeakingTask(options.context)


class _LeakingThread(_Leaking):
    async def started(self, sandbox: Sandbox) -> None:
        ended = threading.Event()
        KEPT.append(ended)
        threading.Thread(target=ended.wait, name="mutant", daemon=True).start()


class LeavesAThread(Plugin):
    """Starts a thread that nobody ends."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _LeakingThread(options.context)


class _LeakingFile(_Leaking):
    async def started(self, sandbox: Sandbox) -> None:
        KEPT.append(os.open(os.devnull, os.O_RDONLY))


class LeavesAFile(Plugin):
    """Opens a file for each run, and closes none."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _LeakingFile(options.context)


class _LeakingProcess(_Leaking):
    def started(self, sandbox: Sandbox) -> None:
        KEPT.append(subprocess.Popen(["sleep", "100"], close_fds=True))


class LeavesAProcess(Plugin):
    """Starts a process for each run, and ends none."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _LeakingProcess(options.context)


class _LeakingFolder(_Leaking):
    async def started(self, sandbox: Sandbox) -> None:
        tempfile.mkdtemp(prefix="mutant-")


class LeavesAFolder(Plugin):
    """Makes a temporary folder beside the run's own, which nobody removes."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _LeakingFolder(options.context)


class _LeakingHook(Plugin):
    def __init__(self, webhooks: WebHooks) -> None:
        self._webhooks = webhooks

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        await self._webhooks.attach(_nothing)


async def _nothing(request: Any) -> Any:
    raise NotImplementedError


class _LeakingHookProvider(PluginProvider):
    def new_plugin(self, options: PluginOptions) -> Plugin:
        assert options.environment.webhooks is not None
        return _LeakingHook(options.environment.webhooks)


def leaves_a_web_hook() -> tuple[PluginProvider, Mapping[str, Any]]:
    """Attaches a web hook for each run, and detaches none."""
    return _LeakingHookProvider(), {}
