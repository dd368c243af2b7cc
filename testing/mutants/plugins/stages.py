"""Plugins that do not get through what may become of a run."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from ....engines.base import ResultSet, Sandbox, SandboxBuilder, Schema
from ....lifecycle.context import TaskContext
from ....lifecycle.errors import ExceptionReason, FeatureNotSupportedError
from ....plugins.base import Plugin, TaskPlugin, TaskPluginOptions


class _Failing(TaskPlugin):
    async def stopped(self, result_set: ResultSet) -> bool:
        return False


class FailsEveryTask(Plugin):
    """Fails a task whatever it did."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Failing()


class _Worded(TaskPlugin):
    def __init__(self, plugin: _WordedPlugin) -> None:
        self._plugin = plugin

    async def exception(self, reason: ExceptionReason) -> None:
        self._plugin.said.append(self._plugin.words[reason])


class _WordedPlugin(Plugin):
    """Has a word for each reason, but one: `unknown`."""

    unknown: ClassVar[ExceptionReason]

    def __init__(self) -> None:
        self.words = {reason: reason.value for reason in ExceptionReason if reason is not self.unknown}
        self.said: list[str] = []

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Worded(self)


class KnowsNoAbort(_WordedPlugin):
    """Fails in `exception` when somebody cancels the task."""

    unknown = ExceptionReason.CANCELED


class KnowsNoErrorOfOthers(_WordedPlugin):
    """Fails in `exception` when another plugin has failed."""

    unknown = ExceptionReason.INTERNAL_ERROR


class KnowsNoShutdown(_WordedPlugin):
    """Fails in `exception` when the program that drives the run is cancelled."""

    unknown = ExceptionReason.WORKER_SHUTDOWN


class _Deaf(TaskPlugin):
    def __init__(self, context: TaskContext) -> None:
        self._context = context

    async def started(self, sandbox: Sandbox) -> None:
        end = asyncio.get_running_loop().time() + 30
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                if self._context.cancelled.reason is ExceptionReason.WORKER_SHUTDOWN:
                    raise


class IgnoresCancellation(Plugin):
    """Waits for half a minute in `started`, and stops for nothing but the end of the worker."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Deaf(options.context)


class _Demanding(TaskPlugin):
    async def build_sandbox(self, builder: SandboxBuilder) -> None:
        try:
            await builder.set_environment_variable("STAGECALL_MUTANT", "1")
        except FeatureNotSupportedError as error:
            raise RuntimeError("what engine is that?") from error


class DemandsAFeature(Plugin):
    """Takes an engine without variables for a defect."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Demanding()


class NeedsItsPayload(Plugin):
    """Says that it accepts an invalid payload, and then reads what is not there."""

    accepts_invalid_payload = True

    def payload_schema(self) -> Schema:
        return {"kitLevel": {"type": "integer"}}

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        payload: Any = options.payload
        if "kitLevel" in payload:
            options.context.log("level")


class _Chatty(TaskPlugin):
    def __init__(self, context: TaskContext) -> None:
        self._context = context

    async def finished(self, success: bool) -> None:
        self._context.log("all is well")


class TalksToAClosedLog(Plugin):
    """Writes to the task log in `finished`, when that is closed."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Chatty(options.context)


class _Meddling(TaskPlugin):
    def __init__(self, context: TaskContext) -> None:
        self._context = context

    async def stopped(self, result_set: ResultSet) -> bool:
        self._context._owner.log.close()
        return True


class ClosesTheLog(Plugin):
    """Reaches into the run and closes its log, which is the run's to do."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Meddling(options.context)
