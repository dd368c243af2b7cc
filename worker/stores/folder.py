"""Artifacts as files in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.journal.lease import Leasing
from ...lifecycle.offload import StoppedError, offload
from ...lifecycle.surroundings import Artifact
from ...plugins.artifacts.names import name_problem
from .content import CHUNK_BYTES, pieces
from .descent import made_folder, open_file
from .replacing import Shelves, by_run, check_name, run_folder
from .undo import part_name

if TYPE_CHECKING:
    from ...specs.task import TaskInfo

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStore:
    """Objects as files below `root`, each run's in the folder that `layout` names; other kinds leave no file.

    A file appears under its name when it is complete. No symbolic link below `root` is followed, whoever put
    it there. An artifact's `path` begins with `root` as it was given. `public_url` is where the world finds `root`.

    What a run may replace is remembered as long as the run's TaskInfo lives, and no longer.
    """

    def __init__(
        self, root: Path, layout: Callable[[TaskInfo], Path] = by_run, *, public_url: str | None = None
    ) -> None:
        self.root = Path(root)
        self.public_url = public_url
        self._layout = layout
        self._folder = self.root.absolute()
        self._shelves = Shelves()

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Store `content` and return the artifact completed; see `ArtifactStore`.

        Raises: NonFatalInternalError; LifecycleError for a layout that leads out of `root`.
        """
        check_name(artifact.name)
        folder = run_folder(self._layout, task)
        if content is None:
            return self._shelves.admit(self._shelves.of(task), artifact)
        return await self._put_file(task, folder, artifact, content, part_name())

    async def put_leased(
        self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None, leasing: Leasing
    ) -> Artifact:
        """Do what `put` does; the file that is not complete is leased, so that recovery removes it.

        Raises: as `put`, and as `Leasing`.
        """
        if content is None:
            return await self.put(task, artifact, None)
        check_name(artifact.name)
        folder, name = run_folder(self._layout, task), part_name()
        folders = [*folder.parts, *artifact.name.split("/")[:-1]]
        lease = await leasing.lease("store.part", root=str(self._folder), folders=folders, name=name)
        try:
            return await self._put_file(task, folder, artifact, content, name)
        finally:
            # One whose thread hangs is left to recovery.
            if not await offload(partial(_exists, self._folder.joinpath(*folders, name))):
                await leasing.release(lease)

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the content of a stored object, also of a run that has gone; see `ReadableStore`.

        Raises: NonFatalInternalError, FileNotFoundError; LifecycleError for a layout that leads out of `root`.
        """
        stored = self._shelves.get(task, name)
        if name_problem(name) or (stored is not None and stored.storage != "object"):
            raise FileNotFoundError(f"the run has stored no object {name!r}")
        parts = [*run_folder(self._layout, task).parts, *name.split("/")]
        reader = _Reader(self._folder, parts, offset)
        try:
            while piece := await offload(reader.next):
                yield piece
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the run has stored no object {name!r}") from error
        except OSError as error:
            raise NonFatalInternalError(
                f"the artifact {name!r} cannot be read in {self.root}: {error.strerror or error}"
            ) from error
        finally:
            reader.close()

    def url(self, task: TaskInfo, name: str) -> str | None:
        """Return the address of an artifact's file: public if there is one, else `file:///...`. Raises: as `put`."""
        check_name(name)
        place = run_folder(self._layout, task) / name
        if self.public_url is not None:
            return f"{self.public_url.rstrip('/')}/{quote(place.as_posix())}"
        return (self._folder / place).as_uri()

    async def _put_file(
        self, task: TaskInfo, folder: Path, artifact: Artifact, content: BinaryIO | bytes, part: str
    ) -> Artifact:
        shelf = self._shelves.of(task)
        try:
            return await offload(partial(self._write, folder, shelf, artifact, content, part))
        except OSError as error:
            why = "there is a folder of that name" if error.errno == errno.EISDIR else error.strerror or error
            raise NonFatalInternalError(
                f"the artifact {artifact.name!r} cannot be stored in {self.root / folder}: {why}"
            ) from error

    def _write(
        self,
        folder: Path,
        shelf: dict[str, Artifact],
        artifact: Artifact,
        content: BinaryIO | bytes,
        temporary: str,
        stop: threading.Event,
    ) -> Artifact:
        *folders, name = artifact.name.split("/")
        with made_folder(self._folder, [*folder.parts, *folders]) as parent:
            try:
                digest, size = hashlib.sha256(), 0
                with open(os.open(temporary, _NEW_FILE, 0o666, dir_fd=parent), "wb") as file:
                    for piece in pieces(artifact.name, content, stop):
                        size += file.write(piece)
                        digest.update(piece)
                path = str(self.root / folder / artifact.name)
                complete = attrs.evolve(artifact, path=path, bytes=size, sha256=digest.hexdigest())
                publish = partial(os.rename, temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                return self._shelves.admit(shelf, complete, publish)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise


class _Reader:
    """Reads a file piece by piece in threads; closed while a thread hangs in it, it is closed by that thread."""

    def __init__(self, root: Path, parts: list[str], offset: int) -> None:
        self._place = (root, parts)
        self._offset = offset
        self._file: int | None = None
        self._busy = False
        self._closed = False
        self._lock = threading.Lock()

    def next(self, stop: threading.Event) -> bytes:
        with self._lock:
            if self._closed:
                raise StoppedError
            self._busy = True
        try:
            if self._file is None:
                self._file = open_file(*self._place)
            piece = os.pread(self._file, CHUNK_BYTES, self._offset)
            self._offset += len(piece)
            return piece
        finally:
            with self._lock:
                self._busy = False
                self._release()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._release()

    def _release(self) -> None:
        if self._closed and not self._busy and self._file is not None:
            os.close(self._file)
            self._file = None


def _exists(path: Path, stop: threading.Event) -> bool:
    return os.path.lexists(path)
