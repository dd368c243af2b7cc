"""What a store gives back: objects, as they were stored, in pieces that need no memory."""

from __future__ import annotations

import io

import attrs

from ...lifecycle.surroundings import ArtifactStore, ReadableStore
from ..conformance import needs
from .kit import StoreKit, an_object, content_of, is_kept, new_task, read_all
from .putting import WITHOUT_CONTENT

MOST = 1_048_576
"""The largest piece that a store may give."""


class ReadingChecks(StoreKit, kit=True):
    """What a store gives back."""

    @needs("readable")
    async def test_objects_are_given_back_from_any_byte_on(self, store: ArtifactStore) -> None:
        """Also from beyond the end, where there is nothing."""
        task, content = new_task(), content_of(100)
        await store.put(task, an_object("public/a"), content)

        for offset in (0, 1, 99, 100, 1000):
            assert await read_all(store, task, "public/a", offset) == content[offset:], (
                f"from byte {offset} on"
            )

    @needs("readable")
    async def test_large_objects_are_given_back_in_pieces(self, store: ArtifactStore) -> None:
        """Nobody needs memory for more than a megabyte of it."""
        assert isinstance(store, ReadableStore)
        task, content = new_task(), content_of(2 * self.large)
        await store.put(task, an_object("a"), io.BytesIO(content))

        pieces = [piece async for piece in store.read(task, "a", 3)]

        assert b"".join(pieces) == content[3:]
        assert max(map(len, pieces)) <= MOST, "a piece must have at most 1 MiB"

    @needs("readable")
    async def test_only_objects_can_be_read(self, store: ArtifactStore) -> None:
        """Whatever else is asked for is not there, whichever way it is spelt."""
        task = new_task()
        await store.put(task, an_object("public/a"), b"content")
        for artifact in WITHOUT_CONTENT:
            await store.put(task, attrs.evolve(artifact, name=f"public/{artifact.name}"), None)

        for name in (
            "public",
            "public/b",
            "public/a/b",
            "",
            "..",
            "../a",
            "\0",
            "public/redirect",
            "public/link",
        ):
            assert not await is_kept(store, task, name), f"{name!r} has no content"

    @needs("readable")
    async def test_an_object_in_place_of_a_redirect_can_be_read(self, store: ArtifactStore) -> None:
        """What counts is what is stored now."""
        task = new_task()
        await store.put(task, attrs.evolve(WITHOUT_CONTENT[1], name="a"), None)

        await store.put(task, an_object("a"), b"content")

        assert await read_all(store, task, "a") == b"content"
