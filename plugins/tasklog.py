"""The plugin `tasklog`: the task log becomes an artifact, whatever became of the task.

It is packed in a thread, piece by piece, so that a long log costs other runs neither time nor memory; the
same log gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tempfile
import threading
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

import attrs

from ..lifecycle.errors import NonFatalInternalError
from ..lifecycle.offload import StoppedError, offload
from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions

if TYPE_CHECKING:
    from ..lifecycle.context import TaskContext
    from ..lifecycle.errors import ExceptionReason

ARTIFACT = "public/logs/task.log"
CHUNK_BYTES = 1_048_576
"""What is packed at once, and the longest log that is packed in memory."""


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
        try:
            with self.context.extract_log() as log, self._new_file() as packed:
                await offload(partial(_pack, log, packed))
                packed.seek(0)
                await self.context.upload_artifact(
                    ARTIFACT, packed, content_type="text/plain; charset=utf-8", content_encoding="gzip"
                )
        except OSError as error:
            raise NonFatalInternalError(f"the task log cannot be packed for {ARTIFACT}: {error}") from error
        self.stored = True

    def _new_file(self) -> BinaryIO:
        if self.context.log_bytes <= CHUNK_BYTES:
            return io.BytesIO()
        return cast(BinaryIO, tempfile.TemporaryFile(dir=self.context.temporary_folder))


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


def _pack(log: BinaryIO, packed: BinaryIO, stop: threading.Event) -> None:
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as out:
        while piece := log.read(CHUNK_BYTES):
            if stop.is_set():
                raise StoppedError
            out.write(piece)


provider = TaskLogProvider()
