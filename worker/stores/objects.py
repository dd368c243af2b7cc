"""Artifacts in object storage: S3, Google Cloud Storage, Azure, through obstore.

What fits into one request is read first and then sent, each try by itself. What does not is sent in parts while it is
read; only obstore can try a single part again, and does. Either way there is one layer of retries, never two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.offload import offload
from ...lifecycle.surroundings import Artifact
from ...plugins.artifacts.names import name_problem
from .content import CHUNK_BYTES
from .faults import Retry, Tries
from .replacing import Shelves, by_run, check_name, run_folder
from .uploading import Clients, Upload

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

    from ...specs.task import TaskInfo


class ObjectStore:
    """Objects under `<taskId>/<runId>/<name>` below a bucket's prefix; other kinds leave nothing there.

    Content type and content encoding are kept as such, the time of expiry as metadata `expires`. A large upload takes
    some 50 MB of memory, however large it is; one that is cancelled or fails leaves no parts, if the process lives long
    enough: `close` waits for that.

    `connect(tries)` makes a client of obstore that tries each request so many times; `place` is what bucket and prefix
    are called: `s3://bucket/prefix`. Where `public_url` leads to the same place, the objects have addresses.
    `metadata` is False for what can keep none. What a run may replace is remembered as long as its TaskInfo lives.
    """

    def __init__(
        self,
        connect: Callable[[int], Client],
        place: str,
        *,
        public_url: str | None = None,
        retry: Retry | None = None,
        layout: Callable[[TaskInfo], Path] = by_run,
        metadata: bool = True,
    ) -> None:
        retry = retry or Retry()
        self.place = place.rstrip("/")
        self.public_url = public_url
        self._clients = Clients(connect(1), connect(retry.tries), retry)
        self._layout = layout
        self._metadata = metadata
        self._shelves = Shelves()

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Upload `content` and return the artifact completed; see `ArtifactStore`.

        Its `url` is the public address, or else `s3://bucket/...`. Raises: NonFatalInternalError that names bucket,
        key and what the server answered; LifecycleError for a layout that leads out of the prefix.
        """
        check_name(artifact.name)
        shelf = self._shelves.of(task)
        if content is None:
            return self._shelves.admit(shelf, artifact)
        key = self._key(task, artifact.name)
        where = self.url(task, artifact.name) or f"{self.place}/{key}"
        upload = Upload(
            self._clients,
            key,
            attrs.evolve(artifact, url=where),
            self._attributes(artifact) if self._metadata else None,
            self._shelves,
            shelf,
            f"the artifact {artifact.name!r} cannot be stored as {self.place}/{key}",
        )
        return await upload.run(content)

    async def read(self, task: TaskInfo, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the content of a stored object, also of a run that has gone; see `ReadableStore`.

        A connection that breaks off is taken up where it broke. Raises: NonFatalInternalError, FileNotFoundError.
        """
        stored = self._shelves.get(task, name)
        if name_problem(name) or (stored is not None and stored.storage != "object"):
            raise FileNotFoundError(f"the run has stored no object {name!r}")
        key = self._key(task, name)
        tries = Tries(self._clients.retry, f"the artifact {name!r} cannot be read from {self.place}/{key}")
        reader = _Reader(self._clients.once, key, offset)
        while not reader.ended:
            try:
                piece = await reader.next()
            except FileNotFoundError:
                raise FileNotFoundError(f"the run has stored no object {name!r}") from None
            except Exception as error:
                await asyncio.sleep(tries.failed(error))
            else:
                tries.went_on()
                for start in range(0, len(piece), CHUNK_BYTES):
                    yield piece[start : start + CHUNK_BYTES]

    def url(self, task: TaskInfo, name: str) -> str | None:
        """Return the public address of an artifact, None if the store has none. Raises: as `put`."""
        check_name(name)
        if self.public_url is None:
            return None
        return f"{self.public_url.rstrip('/')}/{quote(self._key(task, name))}"

    async def close(self, patience: float = 10.0) -> bool:
        """Wait, at most `patience` seconds, until uploads that were cancelled have given up their parts.

        Return whether they have: those that have not leave their parts in the bucket if the process ends now.
        """
        return await offload(partial(self._clients.under_way.wait, patience))

    def _key(self, task: TaskInfo, name: str) -> str:
        return (run_folder(self._layout, task) / name).as_posix()

    @staticmethod
    def _attributes(artifact: Artifact) -> dict[str, str]:
        kept = {"Content-Type": artifact.content_type, "expires": artifact.expires.isoformat()}
        if artifact.content_encoding is not None:
            kept["Content-Encoding"] = artifact.content_encoding
        for header, value in kept.items():
            if not (value.isascii() and value.isprintable()):
                raise NonFatalInternalError(
                    f"the artifact {artifact.name!r} cannot be stored: {value!r} cannot be sent as {header}"
                )
        return kept


class _Reader:
    """Reads an object from a byte on, and takes it up where it broke off."""

    def __init__(self, client: Client, key: str, offset: int) -> None:
        self.ended = False
        self._client = client
        self._key = key
        self._offset = offset
        self._stream: AsyncIterator[bytes] | None = None

    async def next(self) -> bytes:
        """Return the next piece, empty at the end. Raises: what obstore does; call again for the next try."""
        try:
            if self._stream is None:
                self._stream = await self._open()
            piece = bytes(await anext(self._stream, b""))
        except BaseException:
            self._stream = None
            raise
        self._offset += len(piece)
        self.ended = not piece
        return piece

    async def _open(self) -> AsyncIterator[bytes]:
        import obstore

        if self._offset and self._offset >= (await obstore.head_async(self._client, self._key))["size"]:
            return _nothing()
        found = await obstore.get_async(self._client, self._key, options={"range": {"offset": self._offset}})
        return aiter(found.stream(CHUNK_BYTES))


async def _nothing() -> AsyncIterator[bytes]:
    """Be a stream that is at its end."""
    return
    yield
