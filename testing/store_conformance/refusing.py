"""What a store refuses, and that nothing is left of what it does not take."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import attrs

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.surroundings import Artifact, ArtifactStore
from ..conformance import needs
from .kit import EXPIRES, PATIENCE, Broken, Held, StoreKit, an_object, content_of, is_kept, new_task, read_all

BAD_NAMES = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a\0b", "a\nb", "x" * 1025, "é" * 128)

REDIRECT = Artifact("a", "redirect", "text/plain", EXPIRES, url="https://example.com/live")
ELSEWHERE = attrs.evolve(REDIRECT, url="https://example.com/done")
ERROR = Artifact("a", "error", "text/plain", EXPIRES, reason="file-missing-on-worker", message="gone")
OBJECT = an_object("a")

Step = tuple[Artifact, bytes | None]
REPLACEMENTS: tuple[tuple[Step, Step, bool], ...] = (
    ((REDIRECT, None), (ELSEWHERE, None), True),
    ((REDIRECT, None), (OBJECT, b"1"), True),
    ((REDIRECT, None), (ERROR, None), True),
    ((ERROR, None), (ERROR, None), True),
    ((OBJECT, b"1"), (OBJECT, b"1"), True),
    ((OBJECT, b"1"), (OBJECT, b"2"), False),
    ((OBJECT, b"1"), (REDIRECT, None), False),
    ((OBJECT, b"1"), (ERROR, None), False),
    ((ERROR, None), (OBJECT, b"1"), False),
)
"""What was stored, what comes after it, and whether that may take its place."""


class RefusingChecks(StoreKit, kit=True):
    """What a store does not take."""

    async def test_bad_names_are_refused(self, store: ArtifactStore) -> None:
        """A store does not rely on what plugins check."""
        for name in BAD_NAMES:
            await self.refused(store, new_task(), an_object(name), b"content", f"the name {name[:20]!r}")

    async def test_only_a_redirect_is_replaced_by_something_else(self, store: ArtifactStore) -> None:
        """Anything may be stored again as it is, and a redirect may become anything."""
        for first, second, allowed in REPLACEMENTS:
            task = new_task()
            await store.put(task, *first)

            if allowed:
                assert (await store.put(task, *second)).storage == second[0].storage
            else:
                what = f"{second[0].storage} in place of {first[0].storage}"
                await self.refused(store, task, *second, what)

    async def test_content_that_cannot_be_read_is_an_error(self, store: ArtifactStore) -> None:
        """What breaks off is no artifact, large or small, and the name is free again."""
        task = new_task()
        for size in (10, 2 * self.large):
            await self.refused(
                store, task, an_object("a"), Broken(content_of(size)), "content that breaks off"
            )

        assert (await store.put(task, an_object("a"), b"content")).bytes == 7

    async def test_content_that_changes_while_it_is_read_is_an_error(self, store: ArtifactStore) -> None:
        """A file must have been at one time what its digest says."""
        with tempfile.TemporaryDirectory(prefix="stagecall-kit-") as folder:
            for change in ("grow", "shrink", "touch"):
                with _Changing(Path(folder, change), content_of(2 * self.large), change) as file:
                    await self.refused(store, new_task(), an_object("a"), file, f"a file that will {change}")

    @needs("readable")
    async def test_nothing_is_left_of_what_was_refused(self, store: ArtifactStore) -> None:
        """What was stored first stays as it was, and what broke off is not there."""
        task, large = new_task(), content_of(2 * self.large)
        await store.put(task, an_object("a"), b"first")

        await self.refused(store, task, an_object("a"), large, "an object in place of another")
        await self.refused(store, task, an_object("b"), Broken(large), "content that breaks off")

        assert await read_all(store, task, "a") == b"first"
        assert not await is_kept(store, task, "b"), "half of an object must not be kept"

    async def test_cancelled_upload_lets_go_of_its_content(self, store: ArtifactStore) -> None:
        """Whoever cancels may close what was read from: nothing reads it any more."""
        content, task = Held(), new_task()
        putting = asyncio.ensure_future(store.put(task, an_object("a"), content))
        await asyncio.to_thread(content.reading.wait, PATIENCE)

        putting.cancel()
        await asyncio.sleep(0)
        content.go.set()
        await asyncio.wait([putting], timeout=PATIENCE)
        reads = content.reads
        await asyncio.sleep(0.05)

        assert putting.done(), "a cancelled upload must end"
        assert putting.cancelled(), "a cancellation must not be lost"
        assert content.reads == reads, "the content must not be read after the upload has ended"
        assert (await store.put(task, an_object("a"), b"content")).bytes == 7, "the name must be free again"

    async def refused(
        self, store: ArtifactStore, task: object, artifact: Artifact, content: object, what: str
    ) -> None:
        """Assert that the store refuses something with the error that it may raise."""
        __tracebackhide__ = True
        try:
            await store.put(task, artifact, content)  # type: ignore[arg-type]
        except NonFatalInternalError:
            return
        raise AssertionError(f"the store took {what}; it must raise NonFatalInternalError")


class _Changing:
    """A file that somebody changes after its first piece was read."""

    def __init__(self, path: Path, content: bytes, change: str) -> None:
        path.write_bytes(content)
        self._path = path
        self._change = change
        self._file = path.open("rb", buffering=0)

    def __enter__(self) -> _Changing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        first = self._file.tell() == 0
        piece = self._file.read(min(size, 1000) if first and size > 0 else size)
        if first:
            self._do()
        return piece

    def _do(self) -> None:
        if self._change == "grow":
            with self._path.open("ab") as file:
                file.write(b"more")
        elif self._change == "shrink":
            os.truncate(self._path, 2000)
        else:
            os.utime(self._path, ns=(0, 0))

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()
