"""Real processes for tests: a run of the engine in a folder of its own, and a look at what is alive of it."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import attrs

from stagecall.engines.base import EngineOptions, EngineProvider, SandboxOptions
from stagecall.engines.process import provider
from stagecall.engines.process._cgroup import CgroupContainment
from stagecall.engines.process.config import ContainmentKind
from stagecall.engines.process.containment import UnavailableError, try_out
from stagecall.engines.process.sandbox import ProcessSandbox
from stagecall.lifecycle.context import TaskContext
from stagecall.lifecycle.journal.lease import Lease
from stagecall.lifecycle.leasing import Unleased
from stagecall.lifecycle.log import TaskLog
from stagecall.lifecycle.surroundings import Artifact, Monitor
from stagecall.specs.task import TaskDefinition, TaskInfo

T = TypeVar("T")

BOUND = 30.0
"""Seconds after which a test gives up on what it waits for."""

PYTHON = sys.executable


class RecordingMonitor:
    """A monitor that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def bind(self, **tags: Any) -> Monitor:
        return self

    def log(self, message: str, **fields: Any) -> None:
        self.messages.append(message)

    def count(self, name: str, by: int = 1) -> None:
        pass

    def measure(self, name: str, value: float) -> None:
        pass

    def report_error(self, error: BaseException, **fields: Any) -> str:
        return "incident"


class Environment:
    """An environment without a store; folders are made by the run itself."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.store: Any = None
        self.webhooks: Any = None
        self.worker_group = self.worker_id = "test"

    def temporary_folder(self, prefix: str) -> Path:
        raise AssertionError("the engine takes its folders from the run")

    def reserve_folder(self, prefix: str) -> Path:
        raise AssertionError("the engine takes its folders from the run")


class Owner(Unleased):
    """What a context needs of its run; made inside the loop it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.folder = folder
        self.log = TaskLog(lambda: folder / "task.log")
        self.late: list[str] = []
        self.artifacts: dict[str, tuple[Artifact, bytes]] = {}
        self.storing: Callable[[Artifact], Coroutine[Any, Any, None]] | None = None

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        raise AssertionError("the engine owns its tasks itself")

    def late_message(self, text: str) -> None:
        self.late.append(text)

    def run_folder(self) -> Path:
        return self.folder

    def stored_artifacts(self) -> list[Artifact]:
        return [artifact for artifact, _ in self.artifacts.values()]

    async def store_artifact(self, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        if self.storing is not None:
            await self.storing(artifact)
        data = content if isinstance(content, bytes) or content is None else content.read()
        self.artifacts[artifact.name] = (artifact, data or b"")
        return artifact


@attrs.define(eq=False)
class Run:
    """One run: its builder, and its sandbox once it was started."""

    house: "House"
    owner: Owner
    builder: Any
    sandbox: ProcessSandbox = attrs.field(init=False)

    async def start(self) -> "Run":
        self.sandbox = await self.builder.start_sandbox()
        return self

    async def result(self) -> Any:
        """Return the result set, once there is one."""
        return await asyncio.wait_for(self.sandbox.wait_for_result(), BOUND)

    def log(self) -> str:
        """Return what the log holds so far."""
        path = self.owner.folder / "task.log"
        return path.read_text(errors="surrogateescape") if path.exists() else ""

    def lines(self) -> list[str]:
        """Return the lines of the log so far."""
        return self.log().splitlines()

    @property
    def folder(self) -> Path:
        """The working folder."""
        return self.owner.folder / "sandbox" / "task"

    async def logged(self, text: str) -> None:
        """Wait until the log holds a text."""
        await until(lambda: text in self.log(), f"{text!r} in the log")


@attrs.define(eq=False)
class House:
    """An engine and its runs, all below one folder."""

    folder: Path
    provider: EngineProvider
    monitor: RecordingMonitor
    engine: Any
    runs: list[Run] = attrs.field(factory=list)

    @classmethod
    async def make(
        cls, folder: Path, config: Mapping[str, Any], provider: EngineProvider = provider
    ) -> "House":
        monitor = RecordingMonitor()
        made: Any = provider.new_engine(EngineOptions(Environment(monitor), monitor, config))
        return cls(folder, provider, monitor, await made)

    async def build(self, payload: Mapping[str, Any]) -> Run:
        """Return a run whose sandbox is not started yet."""
        folder = self.folder / f"run-{len(self.runs)}"
        folder.mkdir()
        owner = Owner(folder)
        context = TaskContext(
            owner, TaskInfo.from_definition(TaskDefinition.parse({"payload": dict(payload)}))
        )
        builder = await self.engine.new_sandbox_builder(SandboxOptions(context, payload, self.monitor))
        run = Run(self, owner, builder)
        self.runs.append(run)
        return run

    async def start(self, *command: str) -> Run:
        """Return a run of a command whose sandbox was started."""
        return await (await self.build({"command": list(command)})).start()

    async def sh(self, script: str, *arguments: str) -> Run:
        """Return a started run of a shell script."""
        return await self.start("/bin/sh", "-c", script, "script", *arguments)

    async def python(self, program: str, *arguments: str) -> Run:
        """Return a started run of a Python program."""
        return await self.start(PYTHON, "-I", "-S", "-c", program, *arguments)

    async def check_dead(self, run: Run) -> None:
        """Check that nothing of a run is alive; without containment, where nobody can wait for all, soon."""
        if self.engine.setup.containment.kind is ContainmentKind.NONE:
            await until(lambda: not alive(run.owner.folder), "the end of the process group")
        assert alive(run.owner.folder) == []

    async def close(self) -> None:
        """Dispose every run, and check that this left nothing."""
        for run in self.runs:
            if hasattr(run, "sandbox"):
                await run.sandbox.dispose()
            run.owner.log.close()
            run.owner.log.dispose()
            assert not (run.owner.folder / "sandbox").exists()


async def until(condition: Callable[[], Any], what: str, seconds: float = BOUND) -> None:
    """Wait until a condition holds. Raises: AssertionError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        await asyncio.sleep(0.005)


def alive(place: Path | str) -> list[str]:
    """Return the command lines of all processes that work below a folder or are called with its path."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) != os.getpid() and _belongs(Path("/proc", entry), str(place)):
            found.append(_text(Path("/proc", entry, "cmdline")))
    return found


def _belongs(process: Path, place: str) -> bool:
    try:
        folder = os.readlink(process / "cwd")
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # gone, or a zombie, which has no folder any more
        return False
    return state not in "ZX" and (folder.startswith(place) or place in _text(process / "cmdline"))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


async def no_cgroup() -> str:
    """Return why no control group can be had here, an empty text if one can."""
    try:
        await try_out(CgroupContainment.here())
    except UnavailableError as reason:
        return f"no control group can be had: {re.sub('stagecall-[0-9a-f]+', '...', str(reason))}"
    return ""


@attrs.define
class Leases:
    """A journal in memory: `calls` tells what was asked; `before` runs before a lease is durable."""

    calls: list[str] = attrs.field(factory=list)
    open: list[Lease] = attrs.field(factory=list)
    before: Callable[[Lease], Coroutine[Any, Any, None]] | None = None

    async def lease(self, kind: str, /, **data: Any) -> Lease:
        lease = Lease(len(self.calls) + 1, kind, data)
        if self.before is not None:
            await self.before(lease)
        self.calls.append(f"lease {kind}")
        self.open.append(lease)
        return lease

    async def release(self, lease: Lease) -> None:
        self.calls.append(f"release {lease.kind}")
        self.open.remove(lease)


CONTAINED = [ContainmentKind.CGROUP, ContainmentKind.MARKER]
ALL_KINDS = [*CONTAINED, ContainmentKind.NONE]


@contextmanager
def stranger(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that works in a task's folder, and yet is none of the task's."""
    environment = {"STAGECALL_SANDBOX": "0" * 32}
    with subprocess.Popen(["/bin/sleep", "1000"], cwd=folder, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def descriptors() -> dict[str, str]:
    """Return what is open in this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the one that lists them
            pass
    return found


def zombies() -> list[int]:
    """Return the dead children of this process that nobody reaped."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            fields = _text(Path("/proc", entry, "stat")).rpartition(")")[2].split()
            if fields and fields[0] == "Z" and int(fields[1]) == os.getpid():
                found.append(int(entry))
    return found


async def extracted(result, path: str) -> dict[str, bytes]:
    """Return the content of every file that is extracted from a folder."""
    found = {}

    async def handle(name, file):
        found[name] = file.read()

    await result.extract_folder(path, handle)
    return found
