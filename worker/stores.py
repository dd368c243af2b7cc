"""Where artifacts go without a queue: a folder on disk, or memory.

Both refuse bad names although plugins have checked them, and both hold that a run may replace a redirect by
anything, and anything else only by the same. For that a FolderStore remembers what a run has stored, for as
long as the run's TaskInfo lives, and no longer.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import attrs

from ..lifecycle.errors import LifecycleError, NonFatalInternalError
from ..lifecycle.journal.lease import Lease, Leasing
from ..lifecycle.offload import StoppedError, offload
from ..lifecycle.surroundings import Artifact
from ..plugins.artifacts.names import name_problem

if TYPE_CHECKING:
    from ..specs.task import TaskInfo

CHUNK_BYTES = 1_048_576
"""What is copied between two looks at whether it is still wanted."""

_PART = re.compile(r"\.[0-9a-f]{16}\.part")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def by_run(task: TaskInfo) -> Path:
    """Return the folder of a run within a store that serves many: `<taskId>/<runId>`."""
    return Path(task.task_id, str(task.run_id))


class FolderStore:
    """Objects as files below `root`, each run's in the folder that `layout` names; other kinds leave no file.

    A file appears under its name when it is complete. No symbolic link below `root` is followed, whoever put
    it there. An artifact's `path` begins with `root` as it was given.
    """

    def __init__(self, root: Path, layout: Callable[[TaskInfo], Path] = by_run) -> None:
        self.root = Path(root)
        self._layout = layout
        self._folder = self.root.absolute()
        self._stored: dict[int, dict[str, Artifact]] = {}
        self._lock = threading.Lock()

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Store `content` and return the artifact completed; see `ArtifactStore`.

        Raises: NonFatalInternalError; LifecycleError for a layout that leads out of `root`.
        """
        _check_name(artifact.name)
        folder = self._run_folder(task)
        if content is None:
            return self._admit(self._stored_by(task), artifact)
        return await self._put_file(task, folder, artifact, content, _part_name())

    async def put_leased(
        self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None, leasing: Leasing
    ) -> Artifact:
        """Do what `put` does; the file that is not complete is leased, so that recovery removes it.

        Raises: as `put`, and as `Leasing`.
        """
        if content is None:
            return await self.put(task, artifact, None)
        _check_name(artifact.name)
        folder, name = self._run_folder(task), _part_name()
        folders = [*folder.parts, *artifact.name.split("/")[:-1]]
        lease = await leasing.lease("store.part", root=str(self._folder), folders=folders, name=name)
        try:
            return await self._put_file(task, folder, artifact, content, name)
        finally:
            # One whose thread hangs is left to recovery.
            if not await offload(partial(_part_exists, self._folder, folders, name)):
                await leasing.release(lease)

    async def _put_file(
        self, task: TaskInfo, folder: Path, artifact: Artifact, content: BinaryIO | bytes, part: str
    ) -> Artifact:
        stored = self._stored_by(task)
        try:
            return await offload(partial(self._write, folder, stored, artifact, content, part))
        except OSError as error:
            why = "there is a folder of that name" if error.errno == errno.EISDIR else error.strerror or error
            raise NonFatalInternalError(
                f"the artifact {artifact.name!r} cannot be stored in {self.root / folder}: {why}"
            ) from error

    def _run_folder(self, task: TaskInfo) -> Path:
        folder = self._layout(task)
        if folder.is_absolute() or ".." in folder.parts:
            raise LifecycleError(
                f"the layout of a FolderStore must stay below its root, {str(folder)!r} does not"
            )
        return folder

    def _stored_by(self, task: TaskInfo) -> dict[str, Artifact]:
        with self._lock:
            if id(task) not in self._stored:
                self._stored[id(task)] = {}
                weakref.finalize(task, self._stored.pop, id(task), None).atexit = False
            return self._stored[id(task)]

    def _admit(
        self, stored: dict[str, Artifact], artifact: Artifact, publish: Callable[[], None] | None = None
    ) -> Artifact:
        with self._lock:
            _check_replacement(stored.get(artifact.name), artifact)
            if publish is not None:
                publish()
            stored[artifact.name] = artifact
        return artifact

    def _write(
        self,
        folder: Path,
        stored: dict[str, Artifact],
        artifact: Artifact,
        content: BinaryIO | bytes,
        temporary: str,
        stop: threading.Event,
    ) -> Artifact:
        *folders, name = artifact.name.split("/")
        with _open_folder(self._folder, [*folder.parts, *folders]) as parent:
            try:
                digest, size = hashlib.sha256(), 0
                with open(os.open(temporary, _NEW_FILE, 0o666, dir_fd=parent), "wb") as file:
                    for piece in _pieces(artifact.name, content, stop):
                        size += file.write(piece)
                        digest.update(piece)
                path = str(self.root / folder / artifact.name)
                complete = attrs.evolve(artifact, path=path, bytes=size, sha256=digest.hexdigest())
                publish = partial(os.rename, temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                return self._admit(stored, complete, publish)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise


@attrs.frozen
class Kept:
    """What a MemoryStore holds under a name; `content` is None for error, redirect and link artifacts."""

    artifact: Artifact
    content: bytes | None


class MemoryStore:
    """Artifacts in memory, for tests and for embedders who want none on disk.

    `entries` maps (task id, run id, name) to what is kept: at most `limit` bytes, and a kilobyte is counted
    for each artifact besides. `forget` makes room.
    """

    def __init__(self, limit: int = 64 * 1_048_576) -> None:
        self.limit = limit
        self.entries: dict[tuple[str, int, str], Kept] = {}
        self._used = 0
        self._lock = threading.Lock()

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Keep `content` and return the artifact completed; see `ArtifactStore`.

        Raises: NonFatalInternalError, also when full.
        """
        _check_name(artifact.name)
        kept = Kept(artifact, None)
        if content is not None:
            kept = await offload(partial(self._read, artifact, content))
        with self._lock:
            key = (task.task_id, task.run_id, artifact.name)
            before = self.entries.get(key)
            _check_replacement(None if before is None else before.artifact, kept.artifact)
            used = self._used + _weight(kept) - (_weight(before) if before is not None else 0)
            if used > self.limit:
                raise self._full(artifact)
            self.entries[key] = kept
            self._used = used
        return kept.artifact

    def forget(self, task_id: str, run_id: int) -> None:
        """Drop what a run has stored."""
        with self._lock:
            for key in [key for key in self.entries if key[:2] == (task_id, run_id)]:
                self._used -= _weight(self.entries.pop(key))

    def _read(self, artifact: Artifact, content: BinaryIO | bytes, stop: threading.Event) -> Kept:
        data = bytearray()
        for piece in _pieces(artifact.name, content, stop):
            data += piece
            if len(data) > self.limit:
                raise self._full(artifact)
        sha256 = hashlib.sha256(data).hexdigest()
        return Kept(attrs.evolve(artifact, bytes=len(data), sha256=sha256), bytes(data))

    def _full(self, artifact: Artifact) -> NonFatalInternalError:
        return NonFatalInternalError(
            f"the artifact {artifact.name!r} does not fit into the MemoryStore, it holds {self.limit} bytes"
        )


async def undo_part(lease: Lease) -> None:
    """Remove an artifact's file that never became complete. Raises: NonFatalInternalError."""
    root, folders, name = Path(lease.data["root"]), list(lease.data["folders"]), str(lease.data["name"])
    if not (_PART.fullmatch(name) and root.is_absolute()) or any(
        part in ("", "..") or "/" in part for part in folders
    ):
        raise NonFatalInternalError(
            f"{name!r} in {root} is no file that a store would have made: it is left alone"
        )
    try:
        await offload(partial(_remove_part, root, folders, name))
    except OSError as error:
        place = root.joinpath(*folders, name)
        raise NonFatalInternalError(f"{place} cannot be removed: {error.strerror or error}") from error


def _part_name() -> str:
    return f".{secrets.token_hex(8)}.part"


def _part_exists(root: Path, folders: list[str], name: str, stop: threading.Event) -> bool:
    return os.path.lexists(root.joinpath(*folders, name))


def _remove_part(root: Path, folders: list[str], name: str, stop: threading.Event) -> None:
    """Remove a file below `root`, through folders only; what is not there is fine."""
    with suppress(FileNotFoundError):
        parent = os.open(root, _FOLDER)
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
                os.close(parent)
                parent = inner
            os.unlink(name, dir_fd=parent)
        finally:
            os.close(parent)


def _weight(kept: Kept) -> int:
    return 1024 + len(kept.content or b"")


def _check_name(name: str) -> None:
    if problem := name_problem(name):
        raise NonFatalInternalError(f"the artifact {name!r} cannot be stored: its name {problem}")


def _check_replacement(stored: Artifact | None, new: Artifact) -> None:
    """Source: the protocols; a redirect is pointed elsewhere when a live log ends, nothing else changes."""
    if stored is not None and stored.storage != "redirect" and stored != new:
        raise NonFatalInternalError(
            f"the run has stored {new.name!r} already ({stored.storage}); only a redirect may be replaced"
        )


def _pieces(name: str, content: BinaryIO | bytes, stop: threading.Event) -> Iterator[bytes]:
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    while not stop.is_set():
        try:
            piece = file.read(CHUNK_BYTES)
        except OSError as error:
            raise NonFatalInternalError(
                f"the content of the artifact {name!r} cannot be read: {error}"
            ) from error
        if not piece:
            return
        yield piece
    raise StoppedError


@contextmanager
def _open_folder(root: Path, parts: list[str]) -> Iterator[int]:
    """Open the folder at `parts` below `root`, making what is missing, through folders only."""
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            inner = _open_inner(part, folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _open_inner(name: str, parent: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise NotADirectoryError(
            error.errno, f"{name!r} is a file or a symbolic link, not a folder"
        ) from error
