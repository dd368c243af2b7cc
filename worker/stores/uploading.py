"""One upload to object storage: in one request what fits into one, in parts what does not."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.offload import StoppedError, offload
from ...lifecycle.surroundings import Artifact
from .content import pieces, size_of
from .faults import Retry, Tries, failure, fault_of
from .replacing import Shelves

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

MEBIBYTE = 1_048_576
PART_BYTES = 8 * MEBIBYTE
"""The most that is sent in one request; larger content goes in parts of this size."""
PARTS_AT_ONCE = 4
"""Parts of one object that are under way at once, and so held in memory."""
MOST_PARTS = 10_000
"""As many as S3 takes; content for which they do not suffice goes in larger parts."""


def part_bytes(size: int | None) -> int:
    """Return how large the parts of content of so many bytes are.

    >>> part_bytes(None) == part_bytes(50_000_000_000) == PART_BYTES
    True
    >>> part_bytes(5 * 1024**4) // MEBIBYTE
    525
    """
    smallest = (size or 0) // MOST_PARTS + 1
    return max(PART_BYTES, -(-smallest // MEBIBYTE) * MEBIBYTE)


@attrs.frozen
class Clients:
    """Two clients of obstore for one place: `once` tries a request once, `often` as often as `retry` says."""

    once: Client
    often: Client
    retry: Retry
    under_way: UnderWay = attrs.field(factory=lambda: UnderWay())


class UnderWay:
    """How many uploads in parts there are, those included that nobody waits for as they were cancelled."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, patience: float, stop: threading.Event) -> bool:
        """Wait in a thread until there are none; return False if there are some after so many seconds."""
        end = time.monotonic() + patience
        with self._changed:
            while self._count and not stop.is_set() and time.monotonic() < end:
                self._changed.wait(0.1)
            return not self._count


@attrs.define(eq=False)
class Upload:
    """An upload of `artifact` to `key`, with what is kept beside the content; `shelf` is of the run's.

    `purpose` begins the message of what fails: `the artifact 'a' cannot be stored as s3://bucket/key`.
    """

    clients: Clients
    key: str
    artifact: Artifact
    attributes: dict[str, str] | None
    shelves: Shelves
    shelf: dict[str, Artifact]
    purpose: str

    async def run(self, content: BinaryIO | bytes) -> Artifact:
        """Upload and return the artifact completed. Raises: NonFatalInternalError."""
        begun = await offload(partial(self._begin, content))
        return begun if isinstance(begun, Artifact) else await self._send_whole(*begun)

    def _begin(self, content: BinaryIO | bytes, stop: threading.Event) -> tuple[bytes, Artifact] | Artifact:
        """Return what there is if it fits into one request; else send it in parts and return the artifact."""
        body = _Body(pieces(self.artifact.name, content, stop))
        if body.fits(PART_BYTES):
            return b"".join(body.head), body.complete(self.artifact)
        size = size_of(content)
        with self.clients.under_way:
            return self._send_parts(body, part_bytes(size and size + body.size), stop)

    async def _send_whole(self, content: bytes, complete: Artifact) -> Artifact:
        import obstore

        tries = Tries(self.clients.retry, self.purpose)
        withdraw = self.shelves.claim(self.shelf, complete)
        try:
            while True:
                try:
                    await obstore.put_async(
                        self.clients.once,
                        self.key,
                        content,
                        attributes=self.attributes,
                        use_multipart=False,
                    )
                except Exception as error:
                    pause = tries.failed(error)
                else:
                    return complete
                await asyncio.sleep(pause)
        except BaseException:
            withdraw()
            raise

    def _send_parts(self, body: _Body, chunk: int, stop: threading.Event) -> Artifact:
        """Send the content in parts, in this thread; obstore gives the parts up once `body` raises anything."""
        import obstore

        known = self.shelf.get(self.artifact.name)
        claim = _Claim(self, body)
        try:
            obstore.put(
                self.clients.often,
                self.key,
                claim.checked(),
                attributes=self.attributes,
                use_multipart=True,
                chunk_size=chunk,
                max_concurrency=PARTS_AT_ONCE,
            )
            if stop.is_set():  # too late to give it up: all had been read
                if known is None or known.storage != "object":
                    obstore.delete(self.clients.often, self.key)
                raise StoppedError
        except BaseException as error:
            claim.withdraw()
            if isinstance(error, (NonFatalInternalError, StoppedError)) or not isinstance(error, Exception):
                raise
            # Without its cause, whose message may hold a signed address.
            raise failure(self.purpose, fault_of(error)) from None
        return claim.complete


class _Body:
    """Content as it is read: what is read ahead, its digest and size so far."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self.head: deque[bytes] = deque()
        self.size = 0
        self._source = source
        self._digest = hashlib.sha256()

    def fits(self, most: int) -> bool:
        """Read ahead until there is more than so many bytes; return False then, True if it ended before."""
        for piece in self._counted():
            self.head.append(piece)
            if self.size > most:
                return False
        return True

    def __iter__(self) -> Iterator[bytes]:
        while self.head:
            yield self.head.popleft()
        yield from self._counted()

    def _counted(self) -> Iterator[bytes]:
        for piece in self._source:
            self.size += len(piece)
            self._digest.update(piece)
            yield piece

    def complete(self, artifact: Artifact) -> Artifact:
        """Return the artifact with what is known of its content once all is read."""
        return attrs.evolve(artifact, bytes=self.size, sha256=self._digest.hexdigest())


class _Claim:
    """The place of an artifact that is sent in parts: taken when all is read, before the parts become an object."""

    def __init__(self, upload: Upload, body: _Body) -> None:
        self._upload = upload
        self._body = body
        self._withdraw: Callable[[], None] | None = None
        self.complete = upload.artifact

    def checked(self) -> Iterator[bytes]:
        yield from self._body
        self.complete = self._body.complete(self._upload.artifact)
        self._withdraw = self._upload.shelves.claim(self._upload.shelf, self.complete)

    def withdraw(self) -> None:
        if self._withdraw is not None:
            self._withdraw()
