"""The plugin `tasklog`: the task log becomes an artifact, whatever became of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from .packing import upload_log

if TYPE_CHECKING:
    from ..lifecycle.context import TaskContext
    from ..lifecycle.errors import ExceptionReason

ARTIFACT = "public/logs/task.log"


@attrs.define(eq=False)
class TaskLogTaskPlugin(TaskPlugin):
    """Stores the log of one run, once."""

    context: TaskContext
    stored: bool = False

    async def finished(self, success: bool) -> None:
        """Store the log. Raises: NonFatalInternalError."""
        await self._store()

    async def exception(self, reason: ExceptionReason) -> None:
        """Store the log, unless `finished` has. Raises: NonFatalInternalError."""
        if not self.stored:
            await self._store()

    async def _store(self) -> None:
        await upload_log(self.context, ARTIFACT)
        self.stored = True


class TaskLogPlugin(Plugin):
    """Stores the task log as the artifact `public/logs/task.log`, `text/plain` in UTF-8, gzip-encoded.

    No payload, no configuration.
    """

    accepts_invalid_payload = True

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskLogTaskPlugin:
        """Return the task plugin."""
        return TaskLogTaskPlugin(options.context)


class TaskLogProvider(PluginProvider):
    """Creates the plugin `tasklog`."""

    def new_plugin(self, options: PluginOptions) -> TaskLogPlugin:
        """Return the plugin; there is nothing to configure."""
        return TaskLogPlugin()


provider = TaskLogProvider()
