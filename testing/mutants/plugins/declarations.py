"""Plugins that declare what does not hold."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any

from ....engines.base import ResultSet, Sandbox, Schema
from ....plugins.base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions


class _HookOnObject(TaskPlugin):
    def __init__(self) -> None:
        self.started = self._greet  # type: ignore[method-assign]

    async def _greet(self, sandbox: Sandbox) -> None:
        raise AssertionError("never called")


class SetsHooksOnTheObject(Plugin):
    """Sets a hook on the object, where nobody looks for it: it is never called."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _HookOnObject()


class _NoVerdict(TaskPlugin):
    async def stopped(self, result_set: ResultSet) -> bool:
        return result_set.success or None  # type: ignore[return-value]


class ForgetsItsVerdict(Plugin):
    """Returns None instead of False where the task failed."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _NoVerdict()


class ChangesItsSchema(Plugin):
    """Declares another property each time it is asked."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def payload_schema(self) -> Schema:
        return {f"kitLevel{next(self._numbers)}": {"type": "integer"}}


class TakesAnothersProperty(Plugin):
    """Declares a property of the plugin `maxruntime`, otherwise than that does."""

    def payload_schema(self) -> Schema:
        return {"maxRunTime": {"type": "boolean"}}


class TakesAnyProperty(Plugin):
    """Takes an object without saying which properties it may have, so that a misspelt one passes."""

    def payload_schema(self) -> Schema:
        return {"kitOptions": {"type": "list", "schema": {"type": "dict"}}}


class _ChangingProvider(PluginProvider):
    _numbers = itertools.count()

    def config_schema(self) -> Schema:
        return {f"level{next(self._numbers)}": {"type": "integer"}}

    def new_plugin(self, options: PluginOptions) -> Plugin:
        return Plugin()


def changes_its_config_schema() -> tuple[PluginProvider, Mapping[str, Any]]:
    """Its provider declares another configuration each time it is asked."""
    return _ChangingProvider(), {}


class _OnePluginProvider(PluginProvider):
    plugin = Plugin()

    def new_plugin(self, options: PluginOptions) -> Plugin:
        return self.plugin


def gives_one_plugin_to_all() -> tuple[PluginProvider, Mapping[str, Any]]:
    """Its provider makes one plugin for all workers, each of which disposes it."""
    return _OnePluginProvider(), {}


class OpensAFileAtOnce(Plugin):
    """Opens a file when it is made, which only a plugin that is disposed gives back."""

    def __init__(self) -> None:
        self._file: int | None = os.open(os.devnull, os.O_RDONLY)

    async def dispose(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class CrashesOnAValue(Plugin):
    """Fails with an IndexError for some values that its schema allows."""

    _names = ("low", "medium", "high")

    def payload_schema(self) -> Schema:
        return {"kitLevel": {"type": "integer", "min": 0, "max": 9}}

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        level = (options.payload or {}).get("kitLevel", 0)
        options.context.log(f"level {self._names[level]}")
