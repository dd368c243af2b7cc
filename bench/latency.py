"""How late the lines of a task are for those who read its log over HTTP.

A task writes when it writes, in each line; readers in a process of their own look at the same clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.surroundings import definition, runtime_of
from stagecall.specs.trace import Event, Kind
from stagecall.worker.webhooks import WebHookOptions, WebHookServer

PAUSE = 0.02
"""Seconds between two lines."""
READER = Path(__file__).with_name("reader.py")
BOUND = 120.0

_WRITER = """
import sys, time
open(sys.argv[1]).readline()
for number in range(int(sys.argv[2])):
    time.sleep({pause})
    print(time.monotonic_ns(), flush=True)
"""


async def lateness(lines: int, readers: int) -> list[float]:
    """Return for each line of a task how many milliseconds after it was written the last of the readers had it."""
    options = WebHookOptions(max_connections=2 * readers)
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
        gate, payload = _gate(Path(folder)), {"command": _writer(Path(folder), lines)}
        async with (
            WebHookServer(options) as hooks,
            runtime_of(
                "process", {"livelog": {}, "success": {}}, {"containment": "none"}, webhooks=hooks
            ) as runtime,
        ):
            address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def see(event: Event) -> None:
                if event.kind is Kind.ARTIFACT and not address.done():
                    address.set_result(str(event.get("url")))

            run = runtime.new_run(definition(payload), observers=[see])
            waiter = asyncio.create_task(run.wait())
            async with asyncio.timeout(BOUND):
                found = await _read(await address, readers, gate)
                if not (await waiter).success:
                    raise RuntimeError("the benchmark's own task did not complete")
        os.close(gate)
    return found


async def lateness_of_pipe(lines: int) -> list[float]:
    """Return the same for a pipe from the task to who reads it."""
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
        gate = _gate(Path(folder))
        process = await asyncio.create_subprocess_exec(
            *_writer(Path(folder), lines), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        os.write(gate, b"\n")
        found = [(time.monotonic_ns() - int(line)) / 1e6 async for line in process.stdout]
        await process.wait()
        os.close(gate)
    return found


def _gate(folder: Path) -> int:
    """Make a named pipe at which the task waits for a line."""
    os.mkfifo(folder / "gate")
    return os.open(folder / "gate", os.O_RDWR)


def _writer(folder: Path, lines: int) -> list[str]:
    return [sys.executable, "-S", "-c", _WRITER.format(pause=PAUSE), str(folder / "gate"), str(lines)]


async def _read(url: str, readers: int, gate: int) -> list[float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(READER), url, str(readers), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise RuntimeError("the readers did not begin")
    os.write(gate, b"\n")
    told = await process.stdout.read()
    await process.wait()
    found: list[float] = json.loads(told)
    return found
