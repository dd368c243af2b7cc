"""Plugins that do as if they were alone, or always in use."""

from __future__ import annotations

from typing import Any

from ....engines.base import ResultSet, Schema
from ....lifecycle.context import TaskContext
from ....plugins.base import Plugin, TaskPlugin, TaskPluginOptions


class _Sharing(TaskPlugin):
    def __init__(self, plugin: SharesItsState) -> None:
        self._plugin = plugin

    async def stopped(self, result_set: ResultSet) -> bool:
        self._plugin.context.log("stopped")
        return True


class SharesItsState(Plugin):
    """Keeps what belongs to a run on the plugin, where the next run overwrites it."""

    context: TaskContext

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        self.context = options.context
        return _Sharing(self)


class UsesUpItsPayload(Plugin):
    """Takes the items out of the payload as it works on them."""

    def payload_schema(self) -> Schema:
        return {"kitItems": {"type": "list", "schema": {"type": "string"}}}

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        items: list[Any] = (options.payload or {}).get("kitItems", [])
        while items:
            options.context.log(items.pop())


class CannotBeIdle(Plugin):
    """Divides by the time for which the worker was idle."""

    def report_idle(self, seconds: float) -> None:
        self.rate = 1 / seconds
