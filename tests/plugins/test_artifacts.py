"""The plugin `artifacts` keeps what a task leaves behind, and says so where it cannot."""

import asyncio
import gzip
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stagecall.engines.errors import InvalidResourceError, PartlyExtractedError
from stagecall.lifecycle.errors import (
    ExceptionReason,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
)
from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.artifacts import provider
from stagecall.worker.stores import FolderStore, MemoryStore

from .plugin_support import StubEngine, StubResultSet, configured, run

TASK = {
    "created": "2030-01-01T00:00:00Z",
    "deadline": "2030-01-02T00:00:00Z",
    "expires": "2031-01-01T00:00:00Z",
}


def file(path, name, **more):
    return {"type": "file", "path": path, "name": name, **more}


def folder(path, name, **more):
    return {"type": "directory", "path": path, "name": name, **more}


async def upload(*listed, files=(), errors=None, store=None, **options):
    """Run a task that left these files and lists these artifacts."""
    content = {name: name.encode(errors="surrogateescape") for name in files}
    engine = StubEngine(StubResultSet(content, errors or {}))
    plugin = await configured(provider)
    return await run(engine, plugin, payload={"artifacts": list(listed)}, store=store, **TASK, **options)


class CountingStore(MemoryStore):
    """Knows how many uploads were under way at once, and refuses names that it is told to."""

    def __init__(self, refused=()):
        super().__init__()
        self.refused = refused
        self.under_way = self.most = 0

    async def put(self, task, artifact, content):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if artifact.name in self.refused:
                raise NonFatalInternalError(f"{artifact.name} is refused")
            return await super().put(task, artifact, content)
        finally:
            self.under_way -= 1


async def test_files_and_folders_are_kept_under_their_names():
    """A file has its entry's name, files of a folder that name and their path in it; each is logged."""
    seen = await upload(
        file("out/app.tar.gz", "public/app"),
        folder("out/docs", "public/docs"),
        files=["out/app.tar.gz", "out/docs/index.html", "out/docs/deep/er/style.css", "out/secret"],
    )

    assert seen.resolution == Resolution("completed")
    assert seen.contents == {
        "public/app": b"out/app.tar.gz",
        "public/docs/index.html": b"out/docs/index.html",
        "public/docs/deep/er/style.css": b"out/docs/deep/er/style.css",
    }
    assert {name: artifact.content_type for name, artifact in seen.artifacts.items()} == {
        "public/app": "application/gzip",
        "public/docs/index.html": "text/html",
        "public/docs/deep/er/style.css": "text/css",
    }
    assert sorted(seen.log) == [
        "[stagecall] artifact public/app: 14 bytes, application/gzip",
        "[stagecall] artifact public/docs/deep/er/style.css: 26 bytes, text/css",
        "[stagecall] artifact public/docs/index.html: 19 bytes, text/html",
    ]


async def test_artifacts_expire_with_the_task_or_before():
    """An entry without an expiry has the task's; one with an expiry gives it to all its artifacts."""
    soon = datetime(2030, 6, 1, tzinfo=UTC)

    seen = await upload(
        file("a", "public/a"),
        folder("d", "public/d", expires="2030-06-01T02:00:00+02:00"),
        file("none", "public/none", expires=soon),
        files=["a", "d/b"],
    )

    assert {name: artifact.expires for name, artifact in seen.artifacts.items()} == {
        "public/a": datetime(2031, 1, 1, tzinfo=UTC),
        "public/d/b": soon,
        "public/none": soon,
    }


@pytest.mark.parametrize("listed", [file("gone", "public/gone"), folder("gone", "public/gone")])
async def test_what_is_missing_becomes_an_error_artifact_and_the_task_has_failed(listed):
    """Whoever looks for the artifact learns that the task did not make it; the others are kept."""
    seen = await upload(listed, file("a.txt", "public/a"), files=["a.txt"])

    gone = seen.artifacts["public/gone"]
    message = f"no {listed['type']} 'gone': nothing there"
    assert seen.resolution == Resolution("failed")
    assert (gone.storage, gone.reason, gone.message) == ("error", "file-missing-on-worker", message)
    assert seen.contents == {"public/a": b"a.txt", "public/gone": None}
    assert f"[stagecall:error] artifact public/gone: {message}" in seen.log


@pytest.mark.parametrize("listed", [file("odd", "public/odd"), folder("odd", "public/odd")])
async def test_what_cannot_be_read_becomes_an_error_artifact_and_the_task_has_failed(listed):
    """A thing that exists and cannot be read is told apart from one that is missing."""
    seen = await upload(listed, errors={"odd": PermissionError(13, "Permission denied")})

    odd = seen.artifacts["public/odd"]
    assert seen.resolution == Resolution("failed")
    assert (odd.storage, odd.reason) == ("error", "invalid-resource-on-worker")
    assert odd.message == f"the {listed['type']} 'odd' cannot be read: [Errno 13] Permission denied"


async def test_paths_that_the_engine_refuses_are_malformed():
    """Every refusal is told by its place in the payload."""
    seen = await upload(
        file("../a", "public/a"),
        folder("b", "public/b"),
        errors={"../a": MalformedPayloadError("no '..'"), "b": FeatureNotSupportedError("no folders here")},
    )

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert sorted(seen.log) == [
        "[stagecall:error] payload.artifacts[0].path: no '..'",
        "[stagecall:error] payload.artifacts[1].type: no folders here",
    ]


async def test_upload_that_fails_for_good_is_an_internal_error_and_the_others_go_on():
    """A failing upload in a folder stops none of the others, and none of several failures is lost."""
    store = CountingStore(refused={"public/d/b", "public/d/d"})

    seen = await upload(folder("d", "public/d"), files=["d/a", "d/b", "d/c", "d/d", "d/e"], store=store)

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert sorted(seen.contents) == ["public/d/a", "public/d/c", "public/d/e"]
    assert [line for line in seen.log if "is not stored: public/d/b is refused" in line]
    assert [line for line in seen.log if "is not stored: public/d/d is refused" in line]


async def test_single_failure_is_raised_as_it_is():
    """The cause of the run names what the store said."""
    seen = await upload(file("a", "public/a"), files=["a"], store=CountingStore(refused={"public/a"}))

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "NonFatalInternalError: public/a is refused" in str(seen.resolution.cause)


async def test_error_artifact_that_cannot_be_stored_is_an_internal_error():
    """What is missing is told somewhere, or the run is no result."""
    seen = await upload(file("a", "public/a"), store=CountingStore(refused={"public/a"}))

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR


async def test_defect_of_an_engine_stays_a_defect():
    """What no contract allows is not made harmless by being grouped with other errors."""
    store = CountingStore(refused={"public/b"})

    seen = await upload(
        file("a", "public/a"), file("b", "public/b"), files=["b"], errors={"a": KeyError("a")}, store=store
    )

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "2 artifacts are not stored" in str(seen.resolution.cause)


async def test_at_most_five_uploads_are_under_way():
    """Files of entries and of folders share the five places, and all of them are used."""
    store = CountingStore()
    names = [f"d/{number}" for number in range(20)] + [str(number) for number in range(20)]

    seen = await upload(
        folder("d", "public/d"),
        *(file(name, f"public/{name}") for name in names[20:]),
        files=names,
        store=store,
    )

    assert seen.resolution == Resolution("completed")
    assert (len(seen.contents), store.most) == (40, 5)


async def test_nothing_is_stored_once_the_run_is_cancelled():
    """A run that was cancelled has no result to keep."""
    seen = await upload(file("a", "public/a"), files=["a"], abort_in="stopped")

    assert seen.resolution.reason is ExceptionReason.CANCELED
    assert seen.artifacts == {}


async def test_task_that_failed_keeps_its_artifacts():
    """What a failed task leaves behind is what its author wants to see."""
    engine = StubEngine(StubResultSet({"a": b"why"}, passed=False))

    seen = await run(engine, await configured(provider), payload={"artifacts": [file("a", "public/a")]})

    assert seen.contents == {"public/a": b"why"}


@pytest.mark.parametrize("payload", [{}, {"artifacts": []}])
async def test_nothing_to_keep_is_nothing_to_do(payload):
    """Without a list the plugin has no hooks at all."""
    seen = await run(StubEngine(), await configured(provider), payload=payload)

    assert seen.resolution == Resolution("completed")
    assert seen.artifacts == {}


@pytest.mark.parametrize(
    ("listed", "problems"),
    [
        ([file("a", "../a")], ["[0].name: must not have '.' or '..' between slashes"]),
        ([file("a", "/a"), folder("b", "b/")], ["[0].name: must not begin", "[1].name: must not begin"]),
        ([file("a", "x"), folder("b", "x")], ["[1].name: is the name of another artifact too"]),
        ([file("a", "x"), file("b", "x")], ["[1].name: is the name of another artifact too"]),
        ([folder("a", "x"), folder("b", "x")], ["[1].name: is the name of another artifact too"]),
        ([folder("a", "x"), file("b", "x")], ["[1].name: is the name of a folder too"]),
        ([folder("b", "x/y/z"), file("a", "x")], ["[1].name: is the name of a folder too"]),
        ([file("a", "x"), folder("b", "x/y/z")], ["[1].name: lies below 'x', which is a file"]),
        ([file("a", "public/logs/task.log")], ["[0].name: is the name of an artifact of the worker's"]),
        ([folder("a", "public/logs/live.log")], ["[0].name: is the name of an artifact of the worker's"]),
        ([file("a", "public/logs")], ["[0].name: is the name of a folder too"]),
        ([folder("a", "public/logs/task.log/x")], ["[0].name: lies below 'public/logs/task.log', which"]),
        ([file("a\0b", "a")], ["[0].path: must not have a NUL character"]),
        (
            [file("a", "a", expires="2031-01-01T00:00:01Z")],
            ["[0].expires: must be after 2030-01-01T00:00:00.000Z and"],
        ),
        (
            [file("a", "a", expires="2030-01-01T00:00:00Z")],
            ["[0].expires: must be after 2030-01-01T00:00:00.000Z and"],
        ),
        ([file("a", "a", expires="tomorrow")], ["[0].expires: "]),
        ([{"type": "link", "path": "a", "name": "a"}], ["[0].type: "]),
        ([{"type": "file", "path": "", "name": ""}], ["[0].path: ", "[0].name: "]),
        ([{"type": "file"}], ["[0].name: ", "[0].path: "]),
        ([file("a", "a", size=1)], ["[0].size: unknown property"]),
        (["a"], ["[0]: "]),
        ({}, [": "]),
    ],
)
async def test_list_that_cannot_be_is_refused_before_there_is_a_sandbox(listed, problems):
    """Every problem is told by its place in the payload; nothing is stored."""
    seen = await run(StubEngine(), await configured(provider), payload={"artifacts": listed}, **TASK)

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    starts = [f"[stagecall:error] payload.artifacts{problem}" for problem in problems]
    assert [line[: len(start)] for line, start in zip(seen.log, starts, strict=True)] == starts
    assert seen.artifacts == {}


async def test_folders_may_lie_within_each_other():
    """Only a file's name keeps others from lying below it."""
    seen = await upload(folder("a", "x"), folder("b", "x/y"), files=["a/1", "b/2"])

    assert sorted(seen.contents) == ["x/1", "x/y/2"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("d/taken", "is the name of another artifact too"),
        ("d/taken/below", "lies below 'public/taken', which is a file"),
        ("d/logs", "is the name of a folder too"),
        ("d/logs/task.log", "is the name of an artifact of the worker's"),
        ("d/line\nbreak", "must not have control characters, nor bytes that are no UTF-8"),
        ("d/\udcff", "must not have control characters, nor bytes that are no UTF-8"),
        ("d/" + "x/" * 600 + "x", "must have at most 1024 characters, not 1208"),
    ],
)
async def test_file_in_a_folder_that_can_have_no_name_becomes_an_error_artifact(name, problem):
    """Names that a folder's content makes are judged too; the task has failed, other files are kept."""
    listed = [file("other", "public/taken"), folder("d", "public")]

    seen = await upload(*listed, files=["other", name, "d/fine"])

    error = seen.artifacts["public"]
    shown = repr(name.replace("d/", "public/", 1))
    assert seen.resolution == Resolution("failed")
    assert (error.reason, error.message) == (
        "invalid-resource-on-worker",
        f"the artifact name {shown} {problem}",
    )
    assert seen.contents == {"public/taken": b"other", "public/fine": b"d/fine", "public": None}


async def test_many_files_without_a_name_are_one_error_artifact():
    """The first few are named, the others counted."""
    seen = await upload(folder("d", "x"), files=[f"d/{number}\n" for number in range(5)])

    assert list(seen.artifacts) == ["x"]
    assert str(seen.artifacts["x"].message).count("the artifact name") == 3
    assert str(seen.artifacts["x"].message).endswith("; and 2 more files")


async def test_hostile_tree_of_a_real_task(tmp_path):
    """Links and special files are not followed, whatever they lead to, and what is sound is on disk."""
    make = "mkdir -p out/deep; echo page > out/deep/a.html; ln -s /etc out/x; mkfifo out/y; ln -s /etc link"
    listed = [folder("out", "public/out"), file("link", "public/link"), file("out", "public/file")]
    store = FolderStore(tmp_path, lambda task: Path())

    seen = await run(
        "process",
        await configured(provider),
        payload={"command": ["sh", "-c", make], "artifacts": listed},
        store=store,
    )

    assert seen.resolution == Resolution("failed")
    assert {name: artifact.storage for name, artifact in seen.artifacts.items()} == {
        "public/out/deep/a.html": "object",
        "public/link": "error",
        "public/file": "error",
    }
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["page\n"]


async def test_every_file_is_closed(monkeypatch):
    """Whether an upload succeeds or fails, the file that the engine opened is closed."""
    opened = []

    async def extract_file(self, path):
        opened.append(io.BytesIO(b"content"))
        return opened[-1]

    monkeypatch.setattr(StubResultSet, "extract_file", extract_file)

    await upload(file("a", "public/a"), file("b", "public/b"), store=CountingStore(refused={"public/b"}))

    assert [one.closed for one in opened] == [True, True]


class UnprintableError(Exception):
    """Fails when it is to be shown."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "cause"),
    [(SystemExit(3), "SystemExit: 3"), (UnprintableError(), "UnprintableError: (it cannot be shown)")],
)
async def test_engine_that_raises_what_it_must_not_ends_the_run_only(error, cause, monkeypatch):
    """Neither an exit nor an error that cannot be shown gets past the run, with several files under way."""

    async def extract_file(self, path):
        raise error

    monkeypatch.setattr(StubResultSet, "extract_file", extract_file)

    seen = await upload(file("a", "public/a"), file("b", "public/b"))

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert cause in str(seen.resolution.cause)


async def test_optional_artifact_may_be_missing():
    """A task need not make what is optional: there is no error artifact, no failure, and the log says so."""
    seen = await upload(
        file("gone", "public/gone", optional=True),
        folder("none", "public/none", optional=True),
        file("a", "public/a", optional=True),
        files=["a"],
    )

    assert seen.resolution == Resolution("completed")
    assert seen.contents == {"public/a": b"a"}
    assert sorted(seen.log) == [
        "[stagecall] artifact public/a: 1 bytes, application/octet-stream",
        "[stagecall] artifact public/gone: no file 'gone', and it is optional",
        "[stagecall] artifact public/none: no directory 'none', and it is optional",
    ]


@pytest.mark.parametrize(
    "error", [InvalidResourceError("odd is a fifo, not a file"), PermissionError(13, "no")]
)
async def test_optional_artifact_may_not_be_something_else(error):
    """What is there and cannot be kept has failed, optional or not: the task did make it."""
    seen = await upload(file("odd", "public/odd", optional=True), errors={"odd": error})

    assert seen.resolution == Resolution("failed")
    assert seen.artifacts["public/odd"].reason == "invalid-resource-on-worker"


async def test_content_type_may_be_given():
    """It is stored as the payload says it, for every file of a folder too."""
    html = 'text/html; charset="utf-8"'

    seen = await upload(
        file("a.txt", "public/a.txt", contentType=html),
        folder("d", "public/d", contentType="application/x-custom+json"),
        files=["a.txt", "d/b.txt"],
    )

    assert {name: artifact.content_type for name, artifact in seen.artifacts.items()} == {
        "public/a.txt": html,
        "public/d/b.txt": "application/x-custom+json",
    }


@pytest.mark.parametrize("encoding", ["gzip", "identity", None])
async def test_content_encoding_may_be_given(encoding):
    """With gzip the content is packed, and size and hash are those of what is stored."""
    more = {} if encoding is None else {"contentEncoding": encoding}

    seen = await upload(folder("d", "public", **more), files=["d/" + "a" * 200])

    (artifact,) = seen.artifacts.values()
    stored = seen.contents[artifact.name]
    packed = encoding == "gzip"
    assert artifact.content_encoding == ("gzip" if packed else None)
    assert (gzip.decompress(stored) if packed else stored) == b"d/" + b"a" * 200
    assert (artifact.bytes, artifact.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert (artifact.bytes < 100) == packed
    assert seen.log == [
        f"[stagecall] artifact {artifact.name}: {len(stored)} bytes, application/octet-stream"
        + (", gzip" if packed else "")
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"contentType": "text"}, "contentType"),
        ({"contentType": ""}, "contentType"),
        ({"contentType": "text/plain\r\nX-Injected: 1"}, "contentType"),
        ({"contentType": "text/plain\n"}, "contentType"),
        ({"contentType": "text/plain; charset"}, "contentType"),
        ({"contentType": "text/" + "x" * 251}, "contentType"),
        ({"contentEncoding": "br"}, "contentEncoding"),
        ({"optional": "yes"}, "optional"),
    ],
)
async def test_entry_that_cannot_be_is_refused(entry, problem):
    """A content type ends up in a header, so it can be nothing else than one."""
    seen = await upload(file("a", "public/a", **entry), files=["a"])

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert [line.partition(": ")[0] for line in seen.log] == [
        f"[stagecall:error] payload.artifacts[0].{problem}"
    ]


async def test_every_file_of_a_folder_that_cannot_be_read_becomes_an_error_artifact():
    """The others are kept, each failure has an artifact of its own that says why, and the task has failed."""
    kinds = "file:d/a locked:d/b locked:d/sub/c file:d/z fifo:d/f link:d/l"
    payload = {"function": "write-odd-files", "argument": kinds, "artifacts": [folder("d", "public/d")]}

    seen = await run("mock", await configured(provider), payload=payload)

    assert seen.resolution == Resolution("failed")
    assert {name: one.message for name, one in seen.artifacts.items()} == {
        "public/d/a": None,
        "public/d/z": None,
        "public/d/b": "d/b cannot be read: Permission denied",
        "public/d/sub/c": "d/sub/c cannot be read: Permission denied",
    }
    assert {one.reason for one in seen.artifacts.values() if one.storage == "error"} == {
        "invalid-resource-on-worker"
    }
    assert sorted(line for line in seen.log if "artifact" not in line) == [
        "[stagecall] left out, as they are neither files nor folders: d/f, d/l"
    ]
    assert sorted(line for line in seen.log if line.startswith("[stagecall:error]")) == [
        "[stagecall:error] artifact public/d/b: d/b cannot be read: Permission denied",
        "[stagecall:error] artifact public/d/sub/c: d/sub/c cannot be read: Permission denied",
    ]


async def test_what_cannot_be_read_and_cannot_have_a_name_is_told_by_the_folders():
    """Nothing is lost because there is no name for its error artifact: the folder's own name tells of it."""
    failures = {
        "deep\nline": "line cannot be read",
        "taken": "taken cannot be read",
        "fine": "fine cannot be read",
    }

    seen = await upload(
        file("other", "public/taken"),
        folder("d", "public"),
        files=["other"],
        errors={"d": PartlyExtractedError("d", failures)},
    )

    assert {name: (one.storage, one.message) for name, one in seen.artifacts.items()} == {
        "public/taken": ("object", None),
        "public/fine": ("error", "fine cannot be read"),
        "public": ("error", "line cannot be read; taken cannot be read"),
    }
    assert seen.resolution == Resolution("failed")


async def test_store_that_is_down_is_told_in_bounds():
    """Every failure is in the log, and the first hundred are the run's cause: a million would be no help."""
    names = [f"d/{number}" for number in range(120)]
    store = CountingStore(refused={f"public/{number}" for number in range(120)})

    seen = await upload(folder("d", "public"), files=names, store=store)

    assert len([line for line in seen.log if "is not stored" in line and "artifact public/" in line]) == 120
    assert "120 artifacts are not stored (100 sub-exceptions)" in str(seen.resolution.cause)


async def test_many_folders_hold_few_files_open():
    """However many folders are listed, five are worked on at once."""
    open_folders, most = 0, 0

    class Slow(StubResultSet):
        async def extract_folder(self, path, handler):
            nonlocal open_folders, most
            open_folders += 1
            most = max(most, open_folders)
            await asyncio.sleep(0)
            open_folders -= 1

    plugin = await configured(provider)
    listed = [folder(f"d{number}", f"public/{number}") for number in range(40)]

    seen = await run(StubEngine(Slow()), plugin, payload={"artifacts": listed})

    assert seen.resolution == Resolution("completed")
    assert most == 5
