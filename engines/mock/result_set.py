"""What a mock task left behind: its success, and the files that it wrote into memory."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import attrs

from ..base import FileHandler, ResultSet
from ..errors import (
    HandlerInterruptError,
    InvalidResourceError,
    PartlyExtractedError,
    ResourceNotFoundError,
)
from ._odd import Left, Odd
from ._paths import normal
from ._streams import BytesReader

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext


@attrs.define(eq=False)
class MockResultSet(ResultSet):
    """The result of a task: `files` maps paths without a leading slash to content, None if there are none.

    What was left out of a folder is told to the log of `context`.
    """

    _success: bool
    _files: Mapping[str, Left] | None = None
    _context: TaskContext | None = None

    @property
    def success(self) -> bool:
        """Whether the task's function succeeded."""
        return self._success

    async def extract_file(self, path: str) -> BinaryIO:
        """Return the file at `path`, with or without a leading slash.

        Raises: ResourceNotFoundError, InvalidResourceError.
        """
        content = (self._files or {}).get(normal(path))
        if content is None:
            raise ResourceNotFoundError(f"the task wrote no file {path!r}")
        if isinstance(content, Odd):
            raise InvalidResourceError(f"{normal(path)} {content.why_not}")
        return io.BytesIO(content)

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        """Call `handler` for all files below `path`; what is none is left out.

        Raises: ResourceNotFoundError, PartlyExtractedError, HandlerInterruptError.
        """
        folder = normal(path)
        if folder in (self._files or {}):
            raise InvalidResourceError(f"{folder} is no folder")
        start = f"{folder}/" if folder else ""
        found = {
            name.removeprefix(start): data
            for name, data in (self._files or {}).items()
            if name.startswith(start)
        }
        if not found:
            raise ResourceNotFoundError(f"the task wrote no file below {path!r}")
        calls = (_handle(handler, name, data) for name, data in found.items() if isinstance(data, bytes))
        results = await asyncio.gather(*calls, return_exceptions=True)
        errors = [result for result in results if result is not None]
        if errors:
            raise HandlerInterruptError(f"a handler of the files below {path!r} failed") from errors[0]
        odd = {name: data for name, data in found.items() if isinstance(data, Odd)}
        self._tell([f"{start}{name}" for name, kind in odd.items() if kind.is_special])
        locked = {name: f"{start}{name} {kind.why_not}" for name, kind in odd.items() if not kind.is_special}
        if locked:
            raise PartlyExtractedError(folder or "/", locked)

    async def archive_sandbox(self) -> BytesReader:
        """Return all files as a tar stream, the same for the same files."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in sorted((self._files or {}).items()):
                if isinstance(content, bytes):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        return BytesReader(archive.getvalue())

    def _tell(self, left_out: list[str]) -> None:
        if left_out and self._context is not None and not self._context.log_closed:
            self._context.log(f"left out, as they are neither files nor folders: {', '.join(left_out)}")


async def _handle(handler: FileHandler, name: str, content: bytes) -> None:
    with io.BytesIO(content) as file:
        await handler(name, file)
