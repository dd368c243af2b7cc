"""What a mock task left behind: its success, and the files that it wrote into memory."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from typing import BinaryIO

import attrs

from ..base import FileHandler, ResultSet
from ..errors import HandlerInterruptError, ResourceNotFoundError
from ._paths import normal
from ._streams import BytesReader


@attrs.define(eq=False)
class MockResultSet(ResultSet):
    """The result of a task: `files` maps paths without a leading slash to content, None if there are none."""

    _success: bool
    _files: Mapping[str, bytes] | None = None

    @property
    def success(self) -> bool:
        """Whether the task's function succeeded."""
        return self._success

    async def extract_file(self, path: str) -> BinaryIO:
        """Return the file at `path`, with or without a leading slash. Raises: ResourceNotFoundError."""
        content = (self._files or {}).get(normal(path))
        if content is None:
            raise ResourceNotFoundError(f"the task wrote no file {path!r}")
        return io.BytesIO(content)

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        """Call `handler` for all files below `path`. Raises: ResourceNotFoundError, HandlerInterruptError."""
        folder = normal(path)
        start = f"{folder}/" if folder else ""
        found = {
            name.removeprefix(start): data
            for name, data in (self._files or {}).items()
            if name.startswith(start)
        }
        if not found:
            raise ResourceNotFoundError(f"the task wrote no file below {path!r}")
        calls = (_handle(handler, name, data) for name, data in found.items())
        results = await asyncio.gather(*calls, return_exceptions=True)
        errors = [result for result in results if result is not None]
        if errors:
            raise HandlerInterruptError(f"a handler of the files below {path!r} failed") from errors[0]

    async def archive_sandbox(self) -> BytesReader:
        """Return all files as a tar stream, the same for the same files."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in sorted((self._files or {}).items()):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return BytesReader(archive.getvalue())


async def _handle(handler: FileHandler, name: str, content: bytes) -> None:
    with io.BytesIO(content) as file:
        await handler(name, file)
