"""A task's log as it is stored: gzip, packed piece by piece in a thread.

A long log thus costs other runs neither time nor memory, and the same log gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tempfile
import threading
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from ..lifecycle.errors import NonFatalInternalError
from ..lifecycle.offload import StoppedError, offload

if TYPE_CHECKING:
    from ..lifecycle.context import TaskContext
    from ..lifecycle.surroundings import Artifact

CHUNK_BYTES = 1_048_576
"""What is packed at once, and the longest log that is packed in memory."""

CONTENT_TYPE = "text/plain; charset=utf-8"
"""What a log is, as every client takes it."""


async def upload_log(context: TaskContext, name: str) -> Artifact:
    """Store the closed log of a run as the artifact `name`, gzip-encoded; return the artifact.

    Raises: NonFatalInternalError.
    """
    try:
        with context.extract_log() as log, _new_file(context) as packed:
            await offload(partial(_pack, log, packed))
            packed.seek(0)
            return await context.upload_artifact(
                name, packed, content_type=CONTENT_TYPE, content_encoding="gzip"
            )
    except OSError as error:
        raise NonFatalInternalError(f"the task log cannot be packed for {name}: {error}") from error


def _new_file(context: TaskContext) -> BinaryIO:
    if context.log_bytes <= CHUNK_BYTES:
        return io.BytesIO()
    return cast(BinaryIO, tempfile.TemporaryFile(dir=context.temporary_folder))


def _pack(log: BinaryIO, packed: BinaryIO, stop: threading.Event) -> None:
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as out:
        while piece := log.read(CHUNK_BYTES):
            if stop.is_set():
                raise StoppedError
            out.write(piece)
