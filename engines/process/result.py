"""What a task left behind: whether it succeeded, and the files in its working folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, BinaryIO, ClassVar

import attrs

from ...lifecycle.threads import WORK
from ..base import FileHandler, ResultSet
from ..errors import HandlerInterruptError, PartlyExtractedError, ResourceNotFoundError
from ._thread import settled
from .archive import Archive
from .child import Exit
from .files import Listing, Parts, Tree, name_of, printable
from .workspace import Workspace

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext

AT_ONCE = 5
"""Handlers of one folder that run side by side."""
SHOWN = 10
"""Names that a message lists."""


@attrs.define(eq=False)
class ProcessResult(ResultSet):
    """The result of a command: `exit` says how it ended; one that was killed has failed, however it ended."""

    base: ClassVar[Parts] = ()
    """Where relative paths begin."""

    exit: Exit
    _success: bool
    _workspace: Workspace
    _context: TaskContext
    _archives: list[Archive] = attrs.field(factory=list, init=False)

    @property
    def success(self) -> bool:
        """Whether the command exited with code 0, and was not killed."""
        return self._success

    async def extract_file(self, path: str) -> BinaryIO:
        """Return the regular file at `path`, open for reading; the caller closes it.

        `path` is relative to the working folder, or absolute and below it; no symbolic link on the way is
        followed, wherever it leads. Raises: MalformedPayloadError for a path that leads outside,
        ResourceNotFoundError for one where there is nothing, InvalidResourceError if it is no regular file.
        """
        return await self._open(self._tree.parts(path, self.base))

    async def extract_folder(self, path: str, handler: FileHandler) -> None:
        """Call `handler` for every regular file below the folder `path`, five side by side.

        Symbolic links and special files are left out, and the task log says so. Raises: what `extract_file`
        does; PartlyExtractedError once all else was handled, if something below could not be read;
        HandlerInterruptError once a handler raised and those that ran beside it have returned.
        """
        top = self._tree.parts(path, self.base)
        unreadable: dict[str, str] = {}
        crew = _Crew(handler)
        async with crew, aclosing(self._files(top, unreadable)) as found:
            async for parts in found:
                name = name_of(parts[len(top) :])
                try:
                    file = await self._open(parts)
                except ResourceNotFoundError as error:
                    unreadable[name] = str(error)
                    continue
                if not await crew.take(name, file):
                    break
        crew.check()
        if unreadable:
            raise PartlyExtractedError(printable(name_of(top)), unreadable)

    async def archive_sandbox(self) -> Archive:
        """Return the working folder as a tar stream, with symbolic links as links and without special files.

        The stream may be closed before its end. Its last `read` raises InvalidResourceError if something
        could not be read.
        """
        archive = Archive(self._tree)
        self._archives.append(archive)
        return archive

    async def dispose(self) -> None:
        """Remove the working folder and all that is in it; streams that are still open come to their end."""
        for archive in self._archives:
            await archive.close()
        await self._workspace.remove()

    @property
    def _tree(self) -> Tree:
        return self._workspace.tree

    async def _open(self, parts: Parts) -> BinaryIO:
        return await settled(WORK.submit(self._tree.open_file, parts), undo=lambda file: file.close())

    async def _files(self, top: Parts, unreadable: dict[str, str]) -> AsyncGenerator[Parts, None]:
        """Yield the regular files below a folder; the others are told to the log."""
        skipped = _Names()
        folders = [top]
        while folders:
            parts = folders.pop()
            try:
                found: Listing = await settled(WORK.submit(self._tree.listing, parts))
            except ResourceNotFoundError as error:
                if parts == top:
                    raise
                unreadable[name_of(parts[len(top) :])] = str(error)
                continue
            folders += [(*parts, name) for name in reversed(found.folders)]
            for name in found.others:
                skipped.add((*parts, name))
            for name in found.files:
                yield (*parts, name)
        if skipped.count and not self._context.log_closed:
            self._context.log(f"left out, as they are neither files nor folders: {skipped}")


class _Crew:
    """At most five handlers at once; the first error keeps others from beginning, and all are waited for."""

    def __init__(self, handler: FileHandler) -> None:
        self._handler = handler
        self._running: set[asyncio.Future[None]] = set()
        self._error: BaseException | None = None

    async def take(self, name: str, file: BinaryIO) -> bool:
        """Begin to handle a file, once there is room; return whether more may come."""
        task = asyncio.ensure_future(self._handler(name, file))
        task.add_done_callback(lambda _: file.close())
        self._running.add(task)
        if len(self._running) >= AT_ONCE:
            await self._wait(asyncio.FIRST_COMPLETED)
        return self._error is None

    def check(self) -> None:
        """Raise what a handler raised. Raises: HandlerInterruptError."""
        if self._error is not None:
            raise HandlerInterruptError(
                f"a handler of extracted files raised {self._error!r}"
            ) from self._error

    async def __aenter__(self) -> _Crew:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            if kind is None:
                await self._wait(asyncio.ALL_COMPLETED)
        finally:
            for task in self._running:
                task.cancel()
            await self._wait(asyncio.ALL_COMPLETED)

    async def _wait(self, until: str) -> None:
        if not self._running:
            return
        done, self._running = await asyncio.wait(self._running, return_when=until)
        for task in done:
            if self._error is None:
                self._error = asyncio.CancelledError() if task.cancelled() else task.exception()


@attrs.define(eq=False)
class _Names:
    """The first few of any number of names, and how many there are."""

    count: int = 0
    _shown: list[str] = attrs.field(factory=list, init=False)

    def add(self, parts: Parts) -> None:
        """Count a name."""
        self.count += 1
        if len(self._shown) < SHOWN:
            self._shown.append(printable(name_of(parts)))

    def __str__(self) -> str:
        more = f" and {self.count - SHOWN} more" if self.count > SHOWN else ""
        return ", ".join(self._shown) + more
