"""Very many and very large artifacts: all are stored, and what that takes of memory is known.

The numbers of the real thing are reached with `make soak`; the rules are the same for the small ones.
"""

import asyncio
import gc
import gzip
import hashlib
import shutil
import sys
import tracemalloc
from pathlib import Path

import attrs
import pytest

from stagecall.lifecycle.resolution import Resolution
from stagecall.specs.trace import Kind
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.run_artifacts import Progress
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore
from stagecall.worker.task_run import TaskRun

MB = 1_000_000
HELD_PER_FILE = 1_200
"""Bytes that a run holds of a stored artifact: name, hash, path, and what the trace says of it."""

FILES = """
import os, sys
for number in range(int(sys.argv[1])):
    os.makedirs(f"out/{number // 1000}", exist_ok=True)
    with open(f"out/{number // 1000}/{number:06}.txt", "w") as file:
        file.write(f"file {number}")
"""


@attrs.define
class Watched:
    """A run that is over, what it took, and what its progress was on the way."""

    run: TaskRun
    resolution: Resolution
    held: int
    peak: int
    seen: list[Progress]


async def watched(store: FolderStore, command: list[str], *artifacts: dict) -> Watched:
    """Take a task to its end; count what is allocated from the moment on in which it has ended."""
    before = 0

    def count(event):
        nonlocal before
        if (event.kind, event.stage) == (Kind.MOVE, "stopped"):
            gc.collect()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]

    payload = {"command": command, "artifacts": list(artifacts)}
    tracemalloc.start()
    try:
        async with (
            LocalEnvironment(store, root=store.root.parent) as environment,
            await Runtime.create("process", {"artifacts": {}}, environment=environment) as runtime,
        ):
            run = runtime.new_run({"payload": payload})
            run.observe(count)
            waiting, seen = asyncio.create_task(run.wait()), []
            while not waiting.done():
                seen.append(run.progress)
                await asyncio.wait([waiting], timeout=0.02)
            gc.collect()
            held, peak = (size - before for size in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    return Watched(run, waiting.result(), held, peak, seen)


def folder(path: Path) -> FolderStore:
    return FolderStore(path / "store", lambda task: Path())


@pytest.mark.parametrize(
    "count", [1_000, pytest.param(50_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_very_many_files(tmp_path, count):
    """Every file of a folder is stored; the run holds about a kilobyte of each, and nothing else grows."""
    listed = {"type": "directory", "path": "out", "name": "public/out"}

    seen = await watched(folder(tmp_path), [sys.executable, "-c", FILES, str(count)], listed)

    assert seen.resolution == Resolution("completed")
    assert len(seen.run.artifacts) == count
    assert seen.run.progress == Progress(count, sum(len(f"file {number}") for number in range(count)), ())
    last = tmp_path / f"store/public/out/{(count - 1) // 1000}/{count - 1:06}.txt"
    assert last.read_text() == f"file {count - 1}"
    assert seen.held < count * HELD_PER_FILE + MB
    assert seen.peak < seen.held + 4 * MB + count * 100  # names of the folder that is being listed
    files_done = [progress.files_done for progress in seen.seen]
    assert files_done == sorted(files_done)
    assert max(len(progress.under_way) for progress in seen.seen) <= 5
    shutil.rmtree(tmp_path / "store")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize(
    "size", [64 * MB, pytest.param(5000 * MB, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_very_large_file(tmp_path, size, encoding):
    """A file of any size is stored within a few megabytes, packed or not, and one can watch it."""
    listed = {"type": "file", "path": "big", "name": "big", "contentEncoding": encoding}

    seen = await watched(folder(tmp_path), ["truncate", "-s", str(size), "big"], listed)

    (artifact,) = seen.run.artifacts
    stored = tmp_path / "store/big"
    assert seen.resolution == Resolution("completed")
    assert artifact.bytes == stored.stat().st_size
    assert artifact.sha256 == sha256_of(stored)
    assert zeros(stored, packed=encoding == "gzip") == size
    assert seen.peak < 8 * MB
    under_way = [one for progress in seen.seen for one in progress.under_way]
    assert under_way, "nobody saw it being stored"
    assert {one.bytes_total for one in under_way} == {size if encoding == "identity" else None}
    assert [one.bytes_done for one in under_way] == sorted(one.bytes_done for one in under_way)
    stored.unlink()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def zeros(path: Path, *, packed: bool) -> int:
    """Return how many bytes there are, all of them zero."""
    count, blank = 0, bytes(MB)
    with gzip.open(path) if packed else path.open("rb") as file:
        while piece := file.read(MB):
            assert piece == blank[: len(piece)]
            count += len(piece)
    return count
