"""What a store takes: content as it is, described as it was stored, beside whatever else goes on."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading

import attrs

from ...lifecycle.surroundings import AddressedStore, Artifact, ArtifactStore
from ..conformance import needs
from .kit import EXPIRES, StoreKit, Watched, an_object, content_of, new_task, read_all

UNUSUAL = (
    "public/a b.txt",
    "public/ü/日本.txt",
    "100%",
    "a%20b",
    "a b",
    "#?&=+;:@$,!*'()",
    '[]{}|^`~\\<>"',
    ".hidden",
    "...",
    "a..b",
    " leading",
    "trailing ",
    "UPPER",
    "upper",
)
"""Names that are fit for an artifact, and that something on the way may take for something else."""

WITHOUT_CONTENT = (
    Artifact("error", "error", "text/plain", EXPIRES, reason="file-missing-on-worker", message="gone"),
    Artifact("redirect", "redirect", "text/plain", EXPIRES, url="https://example.com/"),
    Artifact("link", "link", "text/plain", EXPIRES, target="public/b"),
)


class PuttingChecks(StoreKit, kit=True):
    """What a store does with what it is given."""

    async def test_object_is_completed_with_size_and_digest(self, store: ArtifactStore) -> None:
        """What is returned is what was given, and describes the content as stored, whichever way it came."""
        task = new_task()
        for number, size in enumerate((0, 7, self.large)):
            content = content_of(size)
            for name, given in ((f"bytes-{number}", content), (f"file-{number}", io.BytesIO(content))):
                artifact = an_object(name, content_encoding="gzip")

                stored = await store.put(task, artifact, given)

                told = attrs.evolve(stored, path=None, url=None)
                sha256 = hashlib.sha256(content).hexdigest()
                assert told == attrs.evolve(artifact, bytes=size, sha256=sha256), (
                    "what is returned must be the artifact with bytes and sha256 of its content"
                )

    async def test_content_is_read_from_where_it_stands_and_left_open(self, store: ArtifactStore) -> None:
        """The caller closes what it opened, and may have read its beginning."""
        content = io.BytesIO(b"before after")
        content.seek(7)

        stored = await store.put(new_task(), an_object("a"), content)

        assert (stored.bytes, content.closed) == (5, False), "what stands before must not be stored"

    async def test_what_has_no_content_is_returned_as_it_is(self, store: ArtifactStore) -> None:
        """Errors, redirects and links are remembered, and nothing is added to them."""
        task = new_task()

        stored = [await store.put(task, artifact, None) for artifact in WITHOUT_CONTENT]

        assert stored == list(WITHOUT_CONTENT), "what is returned must be what was given"

    async def test_uploads_side_by_side_are_all_whole(self, store: ArtifactStore) -> None:
        """Many at once, below folders that nobody has made yet."""
        task = new_task()
        wanted = {f"{number % 3}/{number % 5}/{number}": content_of(number * 1000) for number in range(20)}

        stored = await asyncio.gather(
            *(store.put(task, an_object(name), io.BytesIO(data)) for name, data in wanted.items())
        )

        digests = {name: hashlib.sha256(data).hexdigest() for name, data in wanted.items()}
        assert {one.name: one.sha256 for one in stored} == digests, "every upload must be of its own content"

    async def test_content_is_read_in_threads(self, store: ArtifactStore) -> None:
        """Content may take its time, and everything else on the loop goes on meanwhile."""
        content = Watched(content_of(100))

        await store.put(new_task(), an_object("a"), content)

        assert content.readers, "the content must be read"
        assert threading.get_ident() not in content.readers, "it must not be read in the thread of the loop"

    @needs("readable")
    async def test_names_are_kept_apart(self, store: ArtifactStore) -> None:
        """Whatever characters a name has, it means itself and nothing else."""
        task = new_task()
        for name in UNUSUAL:
            await store.put(task, an_object(name), name.encode())

        found = {name: await read_all(store, task, name) for name in UNUSUAL}

        assert found == {name: name.encode() for name in UNUSUAL}

    @needs("readable")
    async def test_runs_do_not_meet(self, store: ArtifactStore) -> None:
        """The same name in another run is another artifact."""
        first = new_task()
        again = attrs.evolve(first, run_id=1)

        await store.put(first, an_object("a"), b"first")
        await store.put(again, an_object("a"), b"second")

        assert [await read_all(store, task, "a") for task in (first, again)] == [b"first", b"second"]

    @needs("addressed")
    async def test_an_address_is_of_one_artifact(self, store: ArtifactStore) -> None:
        """Where there are addresses, each artifact has its own, which stays as it is."""
        assert isinstance(store, AddressedStore), f"{type(store).__name__} has no method url"
        task, other = new_task(), new_task()
        await store.put(task, an_object("a"), b"content")

        addresses = [store.url(task, "a"), store.url(task, "a"), store.url(task, "b"), store.url(other, "a")]

        if addresses == [None] * 4:
            return  # it has none as it is set up here
        assert addresses[0] == addresses[1], "an address must stay as it is"
        assert len(set(addresses)) == 3, "two artifacts must not have one address"
        assert all(address and "://" in address for address in addresses), "an address must be a URL"
