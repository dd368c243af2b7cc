"""The plugin itself: reads the payload in `prepare`, stores in `stopped`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from .entries import PAYLOAD_SCHEMA, Entry, read_entries
from .uploads import Uploads

if TYPE_CHECKING:
    from ...engines.base import ResultSet
    from ...lifecycle.context import TaskContext
    from ...specs.schemas import Schema


@attrs.define(eq=False)
class ArtifactsTaskPlugin(TaskPlugin):
    """Stores the artifacts that the payload of one run lists."""

    context: TaskContext
    entries: tuple[Entry, ...]

    async def stopped(self, result_set: ResultSet) -> bool:
        """Store everything, five at a time; return False if something is missing.

        A run that was cancelled stores nothing.

        Raises: MalformedPayloadError for paths that the engine refuses; NonFatalInternalError, or an
        ExceptionGroup, for what could not be stored.
        """
        if self.context.cancelled:
            return True
        return await Uploads(self.context, result_set).run(self.entries)


class ArtifactsPlugin(Plugin):
    """Keeps what `artifacts` of the payload lists, each
    `{type: file | directory, path, name, expires?, optional?, contentType?, contentEncoding?: gzip | identity}`.

    A missing file or folder, or one that cannot be read, becomes an error artifact, and the task has failed; in a
    folder each such file does, and the others are kept. One that is `optional` may be missing. What is neither file
    nor folder is left out of folders, and no symbolic link is followed.
    `expires` defaults to the task's. The content type follows from the extension of the path, else of the
    name. No configuration.
    """

    def payload_schema(self) -> Schema:
        """Return the schema of `artifacts`."""
        return PAYLOAD_SCHEMA

    async def new_task_plugin(self, options: TaskPluginOptions) -> ArtifactsTaskPlugin | None:
        """Return the task plugin, or None if there is nothing to keep.

        Raises: MalformedPayloadError with everything wrong with the list.
        """
        listed = (options.payload or {}).get("artifacts")
        return (
            ArtifactsTaskPlugin(options.context, read_entries(listed, options.task_info)) if listed else None
        )


class ArtifactsProvider(PluginProvider):
    """Creates the plugin `artifacts`."""

    def new_plugin(self, options: PluginOptions) -> ArtifactsPlugin:
        """Return the plugin; there is nothing to configure."""
        return ArtifactsPlugin()


provider = ArtifactsProvider()
