"""How fast artifacts get into object storage, and how much memory that takes, beside obstore alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.forks import in_fork
from bench.measure import Sample, Series, take_turns
from stagecall.lifecycle.surroundings import Artifact
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.worker.stores import FolderStore, ObjectStore, open_store
from stagecall.worker.stores.uploading import PART_BYTES, PARTS_AT_ONCE

MB = 1_000_000
AT_ONCE = 5
"""As many as the plugin artifacts has under way."""
SMALL = 4096


@attrs.frozen
class Target:
    """Where uploads go: a program that takes them and keeps nothing."""

    port: int

    @property
    def options(self) -> dict[str, Any]:
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "region": "none",
            "access_key_id": "bench",
            "secret_access_key": "bench",
        }

    def store(self) -> ObjectStore:
        """Return our store."""
        store = open_store("s3://bucket/bench", options={**self.options, "allow_http": True})
        assert isinstance(store, ObjectStore)
        return store

    def client(self) -> Any:
        """Return obstore's client of the same place."""
        from obstore.store import S3Store

        return S3Store("bucket", prefix="bench", client_options={"allow_http": True}, **self.options)


@contextmanager
def target() -> Iterator[Target]:
    """Start what takes the uploads."""
    program = Path(__file__).with_name("sink.py")
    with subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sink:
        assert sink.stdout is not None
        yield Target(int(sink.stdout.readline()))


@contextmanager
def content(size: int) -> Iterator[Path]:
    """Make a file of so many bytes, which is in memory then as a file that a task just wrote."""
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
        path = Path(folder, "content")
        block = os.urandom(min(size, MB))
        with path.open("wb") as file:
            for _ in range(size // len(block)):
                file.write(block)
        yield path


async def large(effort: Effort) -> Result:
    """Megabytes per second of one large file."""
    size = effort.of(512, 16) * MB
    with target() as place, content(size) as path:
        store, client = place.store(), place.client()
        folder = FolderStore(path.parent / "store")
        series = await take_turns(
            {
                "store": _speed(size, lambda: _put(store, path)),
                "obstore": _speed(size, lambda: _put_bare(client, path)),
                "folder": _speed(size, lambda: _put(folder, path)),
            },
            effort.of(5, 1),
        )
    beside = Figure("the same into a folder", series["folder"].median, "MB/s")
    return Result.of(series["store"], "obstore alone, without a digest", series["obstore"], "MB/s", (beside,))


async def small(effort: Effort) -> Result:
    """Small files per second, as many at once as the plugin artifacts stores."""
    count = effort.of(2000, 50)
    with target() as place, content(SMALL) as path:
        store, client, kept = place.store(), place.client(), FolderStore(path.parent / "store")
        series = await take_turns(
            {
                "store": _rate(count, lambda task, name: _put(store, path, task, name)),
                "obstore": _rate(count, lambda task, name: _put_bare(client, path, name)),
                "folder": _rate(count, lambda task, name: _put(kept, path, task, name)),
            },
            effort.of(5, 1),
        )
    beside = Figure("the same into a folder", series["folder"].median, "/s")
    return Result.of(series["store"], "obstore alone, without a digest", series["obstore"], "/s", (beside,))


def memory(effort: Effort) -> Result:
    """The most resident memory that uploading one large file adds."""
    if sys.platform != "linux":
        raise UnavailableError("the most resident memory is read from /proc, which only Linux has")
    size, rounds = effort.of(1024, 64) * MB, effort.of(3, 1)
    measured: dict[str, list[float]] = {"half": [], "whole": [], "obstore": []}
    with target() as place, content(size) as path, content(size // 2) as half:
        for _ in range(rounds):
            measured["half"].append(in_fork(partial(_peak, lambda: _put(place.store(), half)))["peak"])
            measured["whole"].append(in_fork(partial(_peak, lambda: _put(place.store(), path)))["peak"])
            measured["obstore"].append(
                in_fork(partial(_peak, lambda: _put_bare(place.client(), path)))["peak"]
            )
    halves, whole, bare = (Series(tuple(values)) for values in measured.values())
    beside = Figure("for a file of half the size", halves.median, "MB")
    return Result.of(whole, "obstore alone", bare, "MB", (beside,))


async def _put(
    store: ObjectStore | FolderStore, path: Path, task: TaskInfo | None = None, name: str = "large"
) -> None:
    task = task or _task()
    with path.open("rb") as file:
        await store.put(task, Artifact(name, "object", "application/octet-stream", task.expires), file)


async def _put_bare(client: Any, path: Path, name: str = "large") -> None:
    import obstore

    await obstore.put_async(client, name, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)


def _task() -> TaskInfo:
    return TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}), 0)


def _speed(size: int, upload: Callable[[], Awaitable[None]]) -> Sample:
    async def sample() -> float:
        start = time.perf_counter()
        await upload()
        return size / MB / (time.perf_counter() - start)

    return sample


def _rate(count: int, upload: Callable[[TaskInfo, str], Awaitable[object]]) -> Sample:
    async def sample() -> float:
        task, names = _task(), (str(number) for number in range(count))

        async def one_after_another() -> None:
            for name in names:
                await upload(task, name)

        start = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
        return count / (time.perf_counter() - start)

    return sample


async def _peak(upload: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """Upload, and return by how many megabytes resident memory grew at most, in this process."""
    import obstore  # before it counts

    del obstore
    before = _most(afresh=True)
    await upload()
    return {"peak": (_most() - before) / MB}


def _most(*, afresh: bool = False) -> int:
    """Return the most resident memory there was in bytes, or there is, as the most there was is forgotten first."""
    if afresh:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise UnavailableError("this kernel does not tell the most resident memory")
