"""A program with everything imported, which forks a child for each order it reads: a victim, or a recovery.

A child begins its life in some milliseconds, with neither loop nor thread. Orders come as lines of JSON on stdin;
the answer to each is a line with the child's exit code, negative for a signal. The children tell more in files.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from stagecall.engines.process._cgroup_tree import ControlGroup
from stagecall.engines.process.containment import UnavailableError
from stagecall.lifecycle.journal import Journal
from stagecall.lifecycle.recovery import RecoveredRun, recover
from stagecall.lifecycle.resolution import Resolution
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.monitor import LogMonitor
from stagecall.worker.runtime import DEFAULT_PLUGINS, Runtime
from stagecall.worker.stores import FolderStore
from stagecall.worker.task_run import TaskRun
from tests.crash import points

PATIENCE = 60
"""Seconds after which a child that hangs is ended by SIGALRM."""

Order = Mapping[str, Any]


async def live(order: Order) -> None:
    """Take a task through its run, with a journal and all built-in plugins."""
    folder = Path(order["folder"])

    async def report(resolution: Resolution) -> None:
        tell(folder, resolution)

    async with await Journal.open(folder / "journal.db") as journal:
        store = FolderStore(folder / "artifacts")
        async with LocalEnvironment(
            store, LogMonitor(), folder / "temporary", journal=journal
        ) as environment:
            runtime = await Runtime.create(
                "process",
                DEFAULT_PLUGINS,
                engine_config={"containment": order["containment"], "killGrace": 0},
                environment=environment,
                journal=journal,
                strict=True,
            )
            async with runtime:
                await drive(runtime.new_run(order["task"], report=report), order["abort"])


async def drive(run: TaskRun, abort: bool) -> None:
    """Wait for a run; `abort` it once its task says that it is ready."""
    aborting = asyncio.create_task(abort_when_ready(run)) if abort else None
    await run.wait()
    if aborting is not None:
        aborting.cancel()


async def abort_when_ready(run: TaskRun) -> None:
    said = b""
    async for piece in run.context.new_log_reader():
        said += piece
        if b"ready" in said:
            run.abort()
            return


async def heal(order: Order) -> None:
    """Recover, and say what was done."""
    folder = Path(order["folder"])

    async def report(run: RecoveredRun) -> None:
        tell(folder, run.resolution)

    found = await recover(folder / "journal.db", report=report)
    (folder / "recovery.json").write_text(json.dumps(found.to_document() | {"found": found.found}))


def tell(folder: Path, resolution: Resolution) -> None:
    """Tell whoever handed the task over, durably, as a queue would."""
    with open(folder / "reports", "a") as file:
        file.write(f"{resolution.state} {resolution.reason}\n")


def child(order: Order) -> int:
    """Do what an order says; return the exit code."""
    signal.alarm(PATIENCE)
    with open(Path(order["folder"], "child.log"), "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    point = order["point"] and points.Point(**order["point"])
    census = points.watch(point)
    try:
        asyncio.run({"live": live, "heal": heal}[order["what"]](order))
    except BaseException:
        traceback.print_exc()
        return 1
    Path(order["folder"], f"{order['what']}.census").write_text(json.dumps(attrs.asdict(census)))
    Path(order["folder"], "modules").write_text(json.dumps(sorted(sys.modules)))
    return 0


def learn(order: Order) -> None:
    """Import what a child had to import, so that the next ones need not."""
    for name in json.loads(Path(order["folder"], "modules").read_text()):
        importlib.import_module(name)
    gc.freeze()


def enclose(name: str) -> ControlGroup | None:
    """Move into a control group of our own, so that what the children make is seen; return it, if one can be had."""
    with contextlib.suppress(UnavailableError, OSError):
        group = ControlGroup.own().below(name)
        group.create()
        group.add(os.getpid())
        return group
    return None


def main() -> None:
    """Obey orders until there are no more."""
    group = enclose(sys.argv[1])
    print(json.dumps(group and group.folder), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(child(order))
        if (seconds := order.get("seconds")) is not None:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            learn(order)
        print(code, flush=True)
    if group is not None:  # the tests were killed, else they would see to it
        ControlGroup(os.path.dirname(group.folder), "").add(os.getpid())
        group.remove_bare()


if __name__ == "__main__":
    main()
