"""How fast a log gets to those who read it over HTTP, what that costs in memory, and how late a line is."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from bench.effort import Effort, UnavailableError
from bench.figures import Figure, Result
from bench.latency import lateness, lateness_of_pipe
from bench.measure import Sample, Series, take_turns
from bench.surroundings import MEMORY
from stagecall.lifecycle.log import TaskLog
from stagecall.lifecycle.log.view import LogView
from stagecall.plugins.livelog.serving import LogHandler
from stagecall.worker.webhooks import WebHookOptions, WebHookServer

MB = 1_000_000
START_SECONDS = 10.0
"""How long nginx may take until it listens."""


async def to_one(effort: Effort) -> Result:
    """Megabytes per second of a log to one reader."""
    return await _to_readers(effort, 1, effort.of(1024, 4) * MB)


async def to_hundred(effort: Effort) -> Result:
    """Megabytes per second of a log to a hundred readers at once, together."""
    return await _to_readers(effort, effort.of(100, 5), effort.of(40, 1) * MB)


async def line(effort: Effort) -> Result:
    """Milliseconds from a task's writing of a line until the last of a hundred readers has it, at worst."""
    lines, rounds = effort.of(100, 3), effort.of(5, 1)
    measured: dict[int, list[list[float]]] = {1: [], effort.of(100, 3): [], effort.of(1000, 4): []}
    bare = []
    for _ in range(rounds):
        for readers, found in measured.items():
            found.append(await lateness(lines, readers))
        bare.append(max(await lateness_of_pipe(lines)))
    one, hundred, thousand = measured.values()
    series = [Series(tuple(map(max, found))) for found in (one, hundred, thousand)]
    return Result.of(
        series[1],
        "the worst through a bare pipe",
        Series(tuple(bare)),
        "ms",
        (
            Figure("one reader: the median", Series(tuple(map(_median, one))).median, "ms"),
            Figure("one reader: the worst", series[0].median, "ms"),
            Figure("a hundred: the median", Series(tuple(map(_median, hundred))).median, "ms"),
            Figure("a thousand: the worst", series[2].median, "ms"),
        ),
    )


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def _to_readers(effort: Effort, readers: int, size: int) -> Result:
    curl = shutil.which("curl")
    if curl is None:
        raise UnavailableError("the readers are curl, which is not installed")
    below = MEMORY if os.access(MEMORY, os.W_OK) else None
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stagecall-bench-", dir=below)))
        log = _filled(folder / "task.log", size)
        stack.callback(log.dispose)
        hooks = await stack.enter_async_context(WebHookServer(WebHookOptions(max_connections=2 * readers)))
        live = (await hooks.attach(LogHandler(lambda: _Live(log.view())))).url
        read: Callable[[str], Sample] = partial(_reading, curl, readers, size)
        samples = {"live": read(live), "file": read((folder / "task.log").as_uri())}
        if (nginx := shutil.which("nginx")) is not None:
            samples["nginx"] = read(await stack.enter_async_context(_nginx(nginx, folder)) + "task.log")
        before = _most_memory()
        series = await take_turns(samples, effort.of(5, 1))
        grown = _most_memory() - before
    beside = [Figure("memory that the worker took more while it served", grown, "KB")]
    if "nginx" in series:
        beside.append(Figure("nginx, the same file", series["nginx"].median, "MB/s"))
    return Result.of(series["live"], "`curl file://`", series["file"], "MB/s", tuple(beside))


def _filled(path: Path, size: int) -> TaskLog:
    log = TaskLog(lambda: path)
    piece = bytes(range(32, 127)) * 1000
    while log.size < size:
        log.write(piece[: size - log.size])
    return log


@attrs.define(eq=False)
class _Live:
    """A log that still grows when a reader comes, and ends while it reads: the reader gets chunks."""

    _view: LogView
    _asked: bool = False

    @property
    def ended(self) -> bool:
        asked, self._asked = self._asked, True
        return asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


def _reading(curl: str, readers: int, size: int, url: str) -> Sample:
    """Return a sample of one curl that reads a URL so many times at once."""
    command = [curl, "-sSf", "--parallel", "--parallel-immediate", "--parallel-max", str(readers)]
    command += [url, "-o", os.devnull] * readers

    async def sample() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        process = await asyncio.create_subprocess_exec(*command)
        if await process.wait() != 0:
            raise RuntimeError(f"curl could not read {url}")
        return readers * size / MB / (loop.time() - start)

    return sample


@asynccontextmanager
async def _nginx(nginx: str, folder: Path) -> AsyncIterator[str]:
    """Serve a folder with nginx; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;\n"
        "events {}\n"
        f"http {{ access_log off; sendfile on; root {folder}; client_body_temp_path {folder}/body;\n"
        f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n"
        f"scgi_temp_path {folder}/scgi; server {{ listen 127.0.0.1:{port}; }} }}\n"
    )
    process = await asyncio.create_subprocess_exec(
        nginx, "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")
    )
    try:
        await _listening(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


def _most_memory() -> float:
    """Return the most resident memory that this process has had so far, in KB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * 1.024 if sys.platform.startswith("linux") else most / 1000
