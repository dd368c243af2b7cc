"""The plugin `tasklog` keeps the log of a task, whatever became of it."""

import gzip
from datetime import UTC, datetime

import pytest

from stagecall.lifecycle.errors import ExceptionReason, NonFatalInternalError
from stagecall.plugins import packing
from stagecall.plugins.base import Plugin, TaskPlugin
from stagecall.plugins.tasklog import ARTIFACT, provider
from stagecall.worker.stores import MemoryStore

from .plugin_support import StubEngine, configured, run

EXPIRES = datetime(2031, 1, 1, tzinfo=UTC)
TASK = {
    "created": "2030-01-01T00:00:00Z",
    "deadline": "2030-01-02T00:00:00Z",
    "expires": "2031-01-01T00:00:00Z",
}


class Talker(Plugin):
    """Logs `text` when the task is started."""

    def __init__(self, text):
        self.text = text

    async def new_task_plugin(self, options):
        return TalkerTaskPlugin(self.text, options.context)


class TalkerTaskPlugin(TaskPlugin):
    def __init__(self, text, context):
        self.text = text
        self.context = context

    async def build_sandbox(self, builder):
        self.context.write_log(self.text)


class FailingStore(MemoryStore):
    """Refuses as often as it is told to."""

    def __init__(self, refusals):
        super().__init__()
        self.refusals = refusals

    async def put(self, task, artifact, content):
        if self.refusals:
            self.refusals -= 1
            raise NonFatalInternalError("the store is down")
        return await super().put(task, artifact, content)


async def test_log_is_kept_as_gzip():
    """The artifact is a text, gzip-encoded, that expires with the task; unpacked it is the log."""
    text = b"\xff\x00 any bytes\r\n"

    seen = await run(StubEngine(), Talker(text), await configured(provider), **TASK)

    artifact = seen.artifacts[ARTIFACT]
    content = seen.contents[ARTIFACT]
    assert ARTIFACT == "public/logs/task.log"
    assert gzip.decompress(content) == text
    assert (artifact.storage, artifact.content_type, artifact.content_encoding) == (
        "object",
        "text/plain; charset=utf-8",
        "gzip",
    )
    assert (artifact.expires, artifact.bytes) == (EXPIRES, len(content))


@pytest.mark.parametrize(
    "text", [b"", b"short\n", b"0123456789abcdef" * 131_072], ids=["empty", "short", "2 MiB"]
)
async def test_same_log_gives_the_same_bytes(text):
    """Neither the time nor a file name is in what is stored, however long the log is."""
    plugin = await configured(provider)

    contents = [(await run(StubEngine(), Talker(text), plugin)).contents[ARTIFACT] for _ in range(2)]

    assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]) == text
    assert contents[0][4:8] == b"\0\0\0\0"


async def test_log_is_packed_in_pieces(monkeypatch):
    """What is longer than one piece goes through a file, whole."""
    monkeypatch.setattr(packing, "CHUNK_BYTES", 7)
    text = bytes(range(256))

    seen = await run(StubEngine(), Talker(text), await configured(provider))

    assert gzip.decompress(seen.contents[ARTIFACT]) == text


@pytest.mark.parametrize("stage", ["build", "waiting", "stopped", "finished"])
async def test_log_of_an_aborted_run_is_kept(stage):
    """Wherever a run is aborted once its plugins exist, its log is kept."""
    plugin = await configured(provider)

    seen = await run(StubEngine(endless=stage == "waiting"), plugin, abort_in=stage)

    assert seen.resolution.reason is ExceptionReason.CANCELED
    assert gzip.decompress(seen.contents[ARTIFACT]) == b""


async def test_log_of_a_malformed_task_is_kept():
    """What was wrong with a payload can be read in the artifact."""
    seen = await run(StubEngine(), await configured(provider), payload={"unknown": 1})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert gzip.decompress(seen.contents[ARTIFACT]).decode().splitlines() == seen.log
    assert "payload.unknown" in seen.log[0]


async def test_log_that_cannot_be_stored_is_an_internal_error():
    """The run becomes an exception, in which storing is tried once more."""
    seen = await run(StubEngine(), await configured(provider), store=FailingStore(1))

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "the store is down" in str(seen.resolution.cause)
    assert list(seen.artifacts) == [ARTIFACT]


async def test_log_is_stored_once_where_finished_is_followed_by_exception():
    """What `finished` has stored `exception` leaves alone."""
    store = FailingStore(0)

    class Spoiler(Plugin):
        after = frozenset({"tasklog"})

        async def new_task_plugin(self, options):
            return SpoilerTaskPlugin()

    class SpoilerTaskPlugin(TaskPlugin):
        async def finished(self, success):
            store.refusals = 1
            raise NonFatalInternalError("spoilt")

    seen = await run(StubEngine(), await configured(provider), Spoiler(), store=store)

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert store.refusals == 1
    assert list(seen.artifacts) == [ARTIFACT]


async def test_full_disk_is_not_a_defect(monkeypatch):
    """A log that cannot be packed is an internal error that the worker survives."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_pack", full)

    seen = await run(StubEngine(), await configured(provider))

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "NonFatalInternalError" in str(seen.resolution.cause)
