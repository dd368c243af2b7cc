"""Engines whose result sets do not give what the task left."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import tarfile
from typing import Any, BinaryIO

from ....engines.base import FileHandler
from ....engines.errors import (
    HandlerInterruptError,
    InvalidResourceError,
    PartlyExtractedError,
    ResourceNotFoundError,
)
from .layers import ResultLayer
from .left import LEFT


class OpensAFileAtItsEnd(ResultLayer):
    """Gives a file as it stood after it was written."""

    async def extract_file(self, path: str) -> Any:
        file = await self.inner.extract_file(path)
        file.seek(0, os.SEEK_END)
        return file


class TakesAFileOfAShorterName(ResultLayer):
    """Finds `hello.txt` where `hello.txt.gz` was asked for."""

    async def extract_file(self, path: str) -> Any:
        try:
            return await self.inner.extract_file(path)
        except ResourceNotFoundError:
            return await self.inner.extract_file(path.rpartition(".")[0])


class RaisesKeyErrors(ResultLayer):
    """Lets an error through that only it can know: a file that is no sibling of any is not in its table."""

    async def extract_file(self, path: str) -> Any:
        try:
            return await self.inner.extract_file(path)
        except ResourceNotFoundError:
            if path.count(".") > 1:
                raise KeyError(path) from None
            raise


class OpensAFolderAsAFile(ResultLayer):
    """Gives a folder as an empty file."""

    async def extract_file(self, path: str) -> Any:
        try:
            return await self.inner.extract_file(path)
        except ResourceNotFoundError:
            await self.inner.extract_folder(path, _ignore)
            return io.BytesIO()


class TakesAMissingFolderForEmpty(ResultLayer):
    """Says nothing about a folder that is not there."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        try:
            await self.inner.extract_folder(path, handler)
        except InvalidResourceError:
            raise
        except ResourceNotFoundError:
            return


class ForgetsSubfolders(ResultLayer):
    """Names each file of a folder by its last name alone."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        async def named(name: str, file: BinaryIO) -> None:
            await handler(name.rpartition("/")[2], file)

        await self.inner.extract_folder(path, named)


class GivesNeighbours(ResultLayer):
    """Takes `folder.txt` for something in `folder`."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        await self.inner.extract_folder(path, handler)
        try:
            file = await self.inner.extract_file(f"{path}.txt")
        except ResourceNotFoundError:
            return
        with file:
            await handler(".txt", file)


class LeavesFilesOpen(ResultLayer):
    """Does not close what it gave to a handler."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        async def given(name: str, file: BinaryIO) -> None:
            await handler(name, io.BytesIO(file.read()))

        await self.inner.extract_folder(path, given)


class ClosesFilesEarly(ResultLayer):
    """Closes a file as soon as its handler waits for something."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        async def given(name: str, file: BinaryIO) -> None:
            asyncio.get_running_loop().call_soon(file.close)
            await handler(name, file)

        await self.inner.extract_folder(path, given)


class DoesNotWaitForHandlers(ResultLayer):
    """Says that a handler raised while others still run."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        async def watched(name: str, file: BinaryIO) -> None:
            try:
                await handler(name, file)
            except Exception as error:
                if not failed.done():
                    failed.set_result(error)

        extraction = asyncio.ensure_future(self.inner.extract_folder(path, watched))
        await asyncio.wait([extraction, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            raise HandlerInterruptError("a handler raised") from failed.result()
        failed.cancel()
        await extraction


class RaisesTheHandlersError(ResultLayer):
    """Lets a handler's own error through."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        try:
            await self.inner.extract_folder(path, handler)
        except HandlerInterruptError as error:
            raise (error.__cause__ or error) from None


class OpensAFifo(ResultLayer):
    """Takes a fifo for an empty file where it is asked for one."""

    async def extract_file(self, path: str) -> Any:
        try:
            return await self.inner.extract_file(path)
        except InvalidResourceError:
            return io.BytesIO()


class HandsOverFifos(ResultLayer):
    """Takes a fifo for an empty file where it meets one."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        await self.inner.extract_folder(path, handler)
        try:
            await self.inner.extract_file(f"{path}/fifo")
        except InvalidResourceError:
            await handler("fifo", io.BytesIO())
        except ResourceNotFoundError:
            return


class LeavesOutInSilence(ResultLayer):
    """Does not say what it left out."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        self.inner._context = None
        await self.inner.extract_folder(path, handler)


class StopsAtTheUnreadable(ResultLayer):
    """Hands over what comes before the file that cannot be read, and nothing after it."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        held: list[tuple[str, bytes]] = []

        async def hold(name: str, file: BinaryIO) -> None:
            held.append((name, file.read()))

        try:
            await self.inner.extract_folder(path, hold)
        except PartlyExtractedError as error:
            for name, content in held:
                if name < min(error.failures):
                    await handler(name, io.BytesIO(content))
            raise
        await self.inner.extract_folder(path, handler)


class PassesOverTheUnreadable(ResultLayer):
    """Says nothing about a file that cannot be read."""

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        with contextlib.suppress(PartlyExtractedError):
            await self.inner.extract_folder(path, handler)


class ArchivesTheTopOnly(ResultLayer):
    """Leaves out of the archive what lies deeper than one folder."""

    async def archive_sandbox(self) -> Any:
        stream = await self.inner.archive_sandbox()
        data = b"".join([piece async for piece in _pieces(stream)])
        kept = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=kept, mode="w") as new:
            for member in old:
                if member.name.count("/") < 2:
                    new.addfile(member, old.extractfile(member))
        return _Bytes(kept.getvalue())


class LeavesAProcess(ResultLayer):
    """Starts a helper to archive the sandbox, and does not end it."""

    async def archive_sandbox(self) -> Any:
        _start_helper()
        return await self.inner.archive_sandbox()


def _start_helper() -> None:
    process = subprocess.Popen(["/bin/sleep", "1000"])
    LEFT.extend([process.wait, process.kill])


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, limit: int = 65536) -> bytes:
        piece, self._data = self._data[:limit], self._data[limit:]
        return piece


async def _pieces(stream: Any) -> Any:
    while piece := await stream.read():
        yield piece


async def _ignore(path: str, file: BinaryIO) -> None:
    """Take a file and do nothing with it."""
