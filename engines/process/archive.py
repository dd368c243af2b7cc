"""A folder as a tar stream, written by a thread of its own as fast as it is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import tarfile
import threading

from ..errors import InvalidResourceError, ResourceNotFoundError
from ._streams import PipeReader
from .files import Entry, Parts, Tree, name_of

BLOCK_BYTES = 65_536


class Archive:
    """The bytes of a tar file in the format PAX; read them to the end, or `close` it.

    The thread is not one of the pool's: how long it takes is up to whoever reads.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._unreadable: list[str] = []
        read_end, write_end = os.pipe()
        self._reader = PipeReader(read_end)
        threading.Thread(target=self._write, args=(write_end,), name="stagecall-archive", daemon=True).start()

    async def read(self, limit: int = 65536) -> bytes:
        """Return the next bytes, `b""` at the end. Raises: InvalidResourceError if something is missing."""
        data = await self._reader.read(limit)
        if not data:
            await asyncio.shield(self._done)
            if self._unreadable:
                raise InvalidResourceError(f"not everything could be archived: {'; '.join(self._unreadable)}")
        return data

    async def close(self) -> None:
        """End the stream, and wait for the thread to let go of the folder."""
        self._reader.shut()
        await asyncio.wait([self._done])
        self._done.exception()  # seen; who closed the stream does not ask what became of it

    def _write(self, pipe: int) -> None:
        error: BaseException | None = None
        try:
            with (
                contextlib.suppress(BrokenPipeError),  # nobody wants the rest
                open(pipe, "wb", buffering=BLOCK_BYTES) as stream,
                tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                self._add_all(tar)
        except BaseException as raised:  # it belongs to whoever reads
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: BaseException | None) -> None:
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    def _add_all(self, tar: tarfile.TarFile) -> None:
        folders: list[Parts] = [()]
        while folders:
            try:
                entries = self._tree.entries(folders.pop())
            except ResourceNotFoundError as error:
                self._unreadable.append(str(error))
                continue
            for entry in entries:
                try:
                    self._add(tar, entry)
                except ResourceNotFoundError as error:
                    self._unreadable.append(str(error))
            folders += [entry.parts for entry in reversed(entries) if entry.is_folder]

    def _add(self, tar: tarfile.TarFile, entry: Entry) -> None:
        info = tarfile.TarInfo(name_of(entry.parts))
        status = entry.status
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), status.st_mtime
        info.uid, info.gid = status.st_uid, status.st_gid
        if entry.is_file:
            with self._tree.open_file(entry.parts) as file:
                info.size = os.fstat(file.fileno()).st_size
                tar.addfile(info, file)
        elif entry.is_folder:
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        elif entry.is_link:
            info.type, info.linkname = tarfile.SYMTYPE, self._tree.read_link(entry.parts)
            tar.addfile(info)
