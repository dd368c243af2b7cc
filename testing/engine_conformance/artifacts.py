"""Checks of what a task left behind: its files, its folders, the archive of all."""

from __future__ import annotations

import asyncio
import io
import tarfile
from typing import BinaryIO

from ...engines.errors import HandlerInterruptError, PartlyExtractedError, ResourceNotFoundError
from ..conformance import needs
from .expect import expect_error, read_all
from .recipes import FILE_CONTENT, EngineRecipes
from .rig import MARK

NAMES = ("folder/a.txt", "folder/sub/b.txt", "folder/sub/sub/c.txt")
"""The files of a nested folder."""

ODD = ("fifo", "socket", "link")
"""What is neither a file nor a folder."""


class ArtifactChecks(EngineRecipes):
    """What `ResultSet` promises about files."""

    @needs("artifacts")
    async def test_artifact_text_file(self) -> None:
        """`extract_file` gives the whole file, open for reading at its start, as often as it is asked for."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(["hello.txt"]))

            contents = []
            for _ in range(2):
                with await result.extract_file("hello.txt") as file:
                    contents.append(file.read())

            assert contents == [FILE_CONTENT] * 2, "an extracted file has the content that the task wrote"

    @needs("artifacts")
    async def test_artifact_file_not_found(self) -> None:
        """`extract_file` raises ResourceNotFoundError where there is nothing."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(["hello.txt"]))

            await expect_error(
                ResourceNotFoundError,
                result.extract_file("hello.txt.missing"),
                "a file that the task did not write is not found",
            )

    @needs("artifacts")
    async def test_artifact_folder_is_no_file(self) -> None:
        """`extract_file` raises ResourceNotFoundError, or its subclass InvalidResourceError, for a folder."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(NAMES))

            await expect_error(ResourceNotFoundError, result.extract_file("folder"), "a folder is no file")

    @needs("artifacts")
    async def test_artifact_folder_not_found(self) -> None:
        """`extract_folder` raises ResourceNotFoundError where there is nothing, and calls no handler."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(NAMES))
            seen: list[str] = []

            await expect_error(
                ResourceNotFoundError,
                result.extract_folder("fold", _Collector(seen)),
                "a folder that the task did not make is not found",
            )

            assert seen == [], "no handler is called for a folder that is not found"

    @needs("artifacts")
    async def test_artifact_nested_folder(self) -> None:
        """`extract_folder` hands over every file below the folder once, named relative to it, and no other."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files([*NAMES, "beside.txt", "folder.txt"]))
            seen: list[str] = []
            contents: list[bytes] = []

            await result.extract_folder("folder", _Collector(seen, contents))

            assert sorted(seen) == ["a.txt", "sub/b.txt", "sub/sub/c.txt"], (
                "the files below a folder are handed over, each once"
            )
            assert contents == [FILE_CONTENT] * 3, "a handler gets the content that the task wrote"

    @needs("artifacts")
    async def test_artifact_handler_files_are_closed(self) -> None:
        """The file that a handler is given is open until the handler returns, and closed by the engine then."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(NAMES))
            given: list[BinaryIO] = []
            open_at_end: list[bool] = []

            async def handler(path: str, file: BinaryIO) -> None:
                given.append(file)
                await asyncio.sleep(0)
                open_at_end.append(not file.closed)

            await result.extract_folder("folder", handler)

            assert all(open_at_end), "a file is open as long as its handler runs"
            assert all(file.closed for file in given), "the engine closes what it gave to a handler"

    @needs("artifacts")
    async def test_artifact_handler_interrupt(self) -> None:
        """When a handler raises, HandlerInterruptError comes from its error, once all running ones returned."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(NAMES))
            running: set[str] = set()
            broken = RuntimeError("the handler is broken")

            async def handler(path: str, file: BinaryIO) -> None:
                running.add(path)
                if path == "a.txt":
                    running.discard(path)
                    raise broken
                await asyncio.sleep(0.01)
                running.discard(path)

            error = await expect_error(
                HandlerInterruptError,
                result.extract_folder("folder", handler),
                "a handler that raises interrupts the extraction",
            )

            assert not running, "the error comes when no handler runs any more"
            assert error.__cause__ is broken, "the handler's error is the cause"

    @needs("artifacts", "odd_files")
    async def test_artifact_odd_files_left_out(self) -> None:
        """`extract_folder` leaves out what is no plain file, without opening it, and the task log names it."""
        async with self.rig() as rig:
            kinds = {"folder/a.txt": "file", **{f"folder/{kind}": kind for kind in ODD}}
            result, run = await rig.finish(self.writes_odd_files(kinds))
            seen: list[str] = []

            await result.extract_folder("folder", _Collector(seen))

            told = [line for line in run.log().splitlines() if line.startswith(MARK)]
            assert seen == ["a.txt"], "what is no plain file is not handed over"
            assert [kind for kind in ODD if not any(f"folder/{kind}" in line for line in told)] == [], (
                "the task log names what was left out"
            )

    @needs("artifacts", "odd_files")
    async def test_artifact_odd_file_is_no_file(self) -> None:
        """`extract_file` raises ResourceNotFoundError, or its subclass InvalidResourceError, for a fifo or socket."""
        async with self.rig() as rig:
            result, _ = await rig.finish(
                self.writes_odd_files({"folder/fifo": "fifo", "folder/socket": "socket"})
            )

            for path in ("folder/fifo", "folder/socket"):
                await expect_error(
                    ResourceNotFoundError, result.extract_file(path), "a fifo or a socket is no file"
                )

    @needs("artifacts", "odd_files")
    async def test_artifact_unreadable_file(self) -> None:
        """`extract_folder` goes on past a file that it may not read, and PartlyExtractedError names it then."""
        async with self.rig() as rig:
            kinds = {"folder/a.txt": "file", "folder/locked": "locked", "folder/z.txt": "file"}
            result, _ = await rig.finish(self.writes_odd_files(kinds))
            seen: list[str] = []
            told: list[str] = []

            try:
                await result.extract_folder("folder", _Collector(seen))
            except PartlyExtractedError as error:
                told += error.failures

            assert {"a.txt", "z.txt"} <= set(seen), "what can be read is handed over, before and after"
            assert sorted(seen + told) == ["a.txt", "locked", "z.txt"], (
                "a file is handed over, or named by the error: an engine may read what its task may not"
            )

    @needs("archive")
    async def test_archive_holds_every_file(self) -> None:
        """`archive_sandbox` is a tar stream that holds all that the task wrote."""
        async with self.rig() as rig:
            result, _ = await rig.finish(self.writes_files(NAMES))

            data = await read_all(await result.archive_sandbox())

            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                names = [member.name for member in tar if member.isfile()]
                found = [name for name in NAMES if any(f"/{member}".endswith(f"/{name}") for member in names)]
            assert found == list(NAMES), "the archive holds every file of the task"


class _Collector:
    """A handler that notes the paths it was called with, and what is in the files."""

    def __init__(self, seen: list[str], contents: list[bytes] | None = None) -> None:
        self._seen = seen
        self._contents = [] if contents is None else contents

    async def __call__(self, path: str, file: BinaryIO) -> None:
        self._seen.append(path)
        self._contents.append(file.read())
