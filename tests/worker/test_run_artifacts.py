"""What a run knows of its artifacts: those that are stored, and how far the others are."""

import asyncio
import io
import os
import threading
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.errors import NonFatalInternalError
from stagecall.lifecycle.surroundings import Artifact
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.testing.doubles import RecordingStore, ScriptedPlugin
from stagecall.worker.run_artifacts import Progress, RunArtifacts, Upload
from stagecall.worker.stores import MemoryStore

INFO = TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}))


def artifact(name, storage="object", **fields):
    return Artifact(name, storage, "text/plain", INFO.expires, **fields)


@attrs.define(eq=False)
class SteppingStore:
    """Reads content as its test tells it to; `failing` is raised in the end."""

    failing: Exception | None = None
    content: Any = None
    reading: asyncio.Event = attrs.field(factory=asyncio.Event)
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def put(self, task, artifact, content):
        self.content = content
        self.reading.set()
        await self.go_on.wait()
        if self.failing is not None:
            raise self.failing
        return attrs.evolve(artifact, bytes=len(content if isinstance(content, bytes) else content.read()))


async def test_what_is_stored_is_listed_under_its_name_as_it_is_now():
    """A name that is stored again keeps its place and shows what it has become."""
    artifacts = RunArtifacts(MemoryStore(), INFO)
    empty = artifacts.stored

    await artifacts.store(artifact("live", "redirect", url="https://one.example/"), None, None)
    await artifacts.store(artifact("a"), b"content", None)
    await artifacts.store(artifact("live", "link", target="a"), None, None)

    assert empty == []
    assert [(one.name, one.storage, one.bytes) for one in artifacts.stored] == [
        ("live", "link", None),
        ("a", "object", 7),
    ]
    assert artifacts.progress == Progress(1, 7, ())


async def test_progress_shows_what_is_read_of_what_there_is():
    """An upload under way is shown with the bytes read so far and those there are; read again, they count once."""
    store = SteppingStore()
    artifacts = RunArtifacts(store, INFO)
    file = io.BytesIO(b"skipped" + b"x" * 100)
    file.seek(7)
    storing = asyncio.create_task(artifacts.store(artifact("a"), file, None))
    await store.reading.wait()

    seen = [artifacts.progress]
    store.content.read(60)
    seen.append(artifacts.progress)
    store.content.seek(7)
    seen.append(artifacts.progress)
    store.go_on.set()
    await storing
    seen.append(artifacts.progress)

    assert seen == [
        Progress(0, 0, (Upload("a", 0, 100),)),
        Progress(0, 0, (Upload("a", 60, 100),)),
        Progress(0, 0, (Upload("a", 0, 100),)),
        Progress(1, 100, ()),
    ]


@pytest.mark.parametrize(
    ("content", "total"),
    [
        (lambda tmp_path: b"12345", 5),
        (lambda tmp_path: io.BytesIO(b"12345"), 5),
        (lambda tmp_path: (tmp_path / "file").open("rb"), 5),
        (lambda tmp_path: os.fdopen(os.open("/dev/null", os.O_RDONLY), "rb"), None),
        (lambda tmp_path: Unseekable(), None),
    ],
    ids=["bytes", "memory", "file", "device", "unseekable"],
)
async def test_total_is_known_where_somebody_can_know(tmp_path, content, total):
    """Bytes and regular files have a size; a stream has none, and is uploaded all the same."""
    (tmp_path / "file").write_bytes(b"12345")
    store = SteppingStore()
    artifacts = RunArtifacts(store, INFO)
    given = content(tmp_path)
    storing = asyncio.create_task(artifacts.store(artifact("a"), given, None))
    await store.reading.wait()

    under_way = artifacts.progress.under_way
    store.go_on.set()
    await storing
    if not isinstance(given, bytes):
        given.close()

    assert under_way == (Upload("a", 0, total),)


class Unseekable:
    def read(self, size=-1):
        return b""

    def close(self):
        pass


async def test_upload_that_failed_is_under_way_no_more():
    """What could not be stored is neither done nor under way, and not listed."""
    store = SteppingStore(failing=NonFatalInternalError("the store is down"))
    store.go_on.set()
    artifacts = RunArtifacts(store, INFO)

    with pytest.raises(NonFatalInternalError):
        await artifacts.store(artifact("a"), b"content", None)

    assert (artifacts.progress, artifacts.stored) == (Progress(), [])


async def test_store_that_counts_nothing_leaves_the_bytes_that_it_read():
    """A store need not say how many bytes it has stored: those that it read are counted then."""
    artifacts = RunArtifacts(RecordingStore(), INFO)

    await artifacts.store(artifact("a"), io.BytesIO(b"unread"), None)

    assert artifacts.progress == Progress(1, 0, ())


async def test_progress_is_read_from_threads_while_uploads_come_and_go():
    """Whoever draws the screen asks at any moment, from another thread."""
    artifacts = RunArtifacts(MemoryStore(), INFO)
    over = threading.Event()
    seen, errors = [], []

    def look():
        while not over.is_set():
            try:
                seen.append(artifacts.progress.files_done)
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(100):
        names = [f"{number}/{one}" for one in range(5)]
        await asyncio.gather(*(artifacts.store(artifact(name), io.BytesIO(b"x"), None) for name in names))
    over.set()
    thread.join(10)

    assert errors == []
    assert seen == sorted(seen)
    assert artifacts.progress.files_done == 500


async def test_hooks_see_what_others_have_stored(make_run):
    """`context.artifacts` holds what the run has stored so far, whoever stored it."""
    seen = []

    async def stopped(result_set):
        await plugin.context.upload_artifact("a", b"content")
        seen.append([one.name for one in plugin.context.artifacts])
        return True

    async def finished(success):
        seen.append([one.name for one in other.context.artifacts])

    plugin, other = ScriptedPlugin("first", stopped=stopped), ScriptedPlugin("second", finished=finished)
    run = make_run(plugin, other)

    await run.wait()

    assert seen == [["a"], ["a"]]
    assert run.progress.files_done == 1
