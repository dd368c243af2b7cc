"""What a task left behind: whether it succeeded, and the files in its working folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, BinaryIO, ClassVar

import attrs

from ...lifecycle.threads import WORK
from ..base import FileHandler, ResultSet
from ..errors import HandlerInterruptError, InvalidResourceError, ResourceNotFoundError
from ._thread import settled
from .archive import Archive
from .child import Exit
from .files import Entry, Parts, Tree, name_of, printable
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
        does; InvalidResourceError also once all else was handled, if something below could not be read;
        HandlerInterruptError once a handler raised and those that ran beside it have returned.
        """
        top = self._tree.parts(path, self.base)
        unreadable: list[str] = []
        crew = _Crew(handler)
        async with crew, aclosing(self._files(top, unreadable)) as found:
            async for parts in found:
                try:
                    file = await self._open(parts)
                except ResourceNotFoundError as error:
                    unreadable.append(str(error))
                    continue
                if not await crew.take("/".join(parts[len(top) :]), file):
                    break
        crew.check()
        if unreadable:
            raise InvalidResourceError(
                f"not all of {printable(name_of(top))} was extracted: {_some(unreadable)}"
            )

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

    async def _files(self, top: Parts, unreadable: list[str]) -> AsyncGenerator[Parts, None]:
        """Yield the regular files below a folder; the others are told to the log."""
        skipped: list[str] = []
        folders = [top]
        while folders:
            parts = folders.pop()
            try:
                entries: list[Entry] = await settled(WORK.submit(self._tree.entries, parts))
            except ResourceNotFoundError as error:
                if parts == top:
                    raise
                unreadable.append(str(error))
                continue
            folders += [entry.parts for entry in reversed(entries) if entry.is_folder]
            skipped += [name_of(entry.parts) for entry in entries if not (entry.is_file or entry.is_folder)]
            for entry in entries:
                if entry.is_file:
                    yield entry.parts
        if skipped and not self._context.log_closed:
            names = _some([printable(name) for name in skipped])
            self._context.log(f"left out, as they are neither files nor folders: {names}")


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


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
