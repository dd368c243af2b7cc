"""The plugin `success`: a task failed if its command did.

Nothing else judges the result of the sandbox itself, so that an embedder may leave this plugin out where
another verdict is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions

if TYPE_CHECKING:
    from ..engines.base import ResultSet


class SuccessTaskPlugin(TaskPlugin):
    """Hands on the verdict of the result set."""

    async def stopped(self, result_set: ResultSet) -> bool:
        """Return whether the sandbox succeeded."""
        return result_set.success


class SuccessPlugin(Plugin):
    """A task fails if the command in its sandbox does. No payload, no configuration."""

    async def new_task_plugin(self, options: TaskPluginOptions) -> SuccessTaskPlugin:
        """Return the task plugin; every run gets the same kind."""
        return SuccessTaskPlugin()


class SuccessProvider(PluginProvider):
    """Creates the plugin `success`."""

    def new_plugin(self, options: PluginOptions) -> SuccessPlugin:
        """Return the plugin; there is nothing to configure."""
        return SuccessPlugin()


provider = SuccessProvider()
