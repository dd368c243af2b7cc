"""Kills workers at a point, recovers in another process, and looks for what is left."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from stagecall.engines.process._cgroup_tree import ControlGroup
from stagecall.lifecycle.proc import look, numbers, read
from stagecall.specs.rules import judge
from stagecall.specs.trace import Kind, Trace

from .points import Census, Point

BOUND = 20.0
"""Seconds after which a test gives up on what it waits for."""
GATE = b"STAGECALL_GATE"
"""What stands in the command line of a process that waits at its gate, or has just been let go of there."""

KILLED = -signal.SIGKILL

SCRIPT = """\
echo one
mkdir -p out/deep && echo a >out/a && echo b >out/deep/b
{daemon} sh -c 'trap "" TERM; : >daemon; sleep 1000' &
until [ -e daemon ]; do :; done
echo two
echo three >&2
echo ready
{then}
"""
"""A task that logs, leaves files and a process in the background; `daemon` may take that to another session."""

DAEMONS = {"cgroup": "env -i setsid", "marker": "setsid", "none": ""}
"""How far the process in the background goes in each containment that is to hold it all the same."""

LINES = [b"one\n", b"two\n", b"three\n", b"ready\n"]


@attrs.frozen
class Scenario:
    """What happens in a run: `abort` ends it while its task works."""

    containment: str
    abort: bool = False

    def __str__(self) -> str:
        return f"{self.containment}, {'aborted' if self.abort else 'completed'}"

    def task(self, token: str) -> dict[str, Any]:
        """Return the task; every process of it bears `token` in its environment or its command line."""
        then = "sleep 1000" if self.abort else "exit 0"
        script = SCRIPT.format(daemon=DAEMONS[self.containment], then=then)
        return {
            "payload": {
                "command": ["/bin/sh", "-c", script.replace("'trap", f"': {token}; trap"), "task", token],
                "env": {"CRASH_TOKEN": token},
                "maxRunTime": "1 hour",
                "artifacts": [
                    {"type": "file", "path": "out/a", "name": "public/a"},
                    {"type": "directory", "path": "out", "name": "public/out"},
                ],
            }
        }


@attrs.define
class Nursery:
    """The program that forks children; `group` is the control group that all of them live in, if one can be had."""

    process: subprocess.Popen[str]
    group: str | None

    def order(self, **order: Any) -> int:
        """Have a child do something; return its exit code, negative for a signal."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._answer())

    def groups(self) -> list[str]:
        """Return the control groups that children made and that are still there."""
        if self.group is None:
            return []
        return [entry.name for entry in os.scandir(self.group) if entry.is_dir()]

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the nursery has died"
        return line


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, which has its own control group where that can be had; in the end nothing of it is left."""
    program = str(Path(__file__).with_name("nursery.py"))
    command = [sys.executable, program, f"crash-{secrets.token_hex(8)}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        group = json.loads(process.stdout.readline())
        try:
            yield Nursery(process, group)
        finally:
            process.kill()
            process.wait()
            if group is not None:
                ControlGroup(group, group).clear(BOUND)


@attrs.define
class Crash:
    """One worker in a folder of its own: its life up to its death, and what comes after."""

    nursery: Nursery
    scenario: Scenario
    folder: Path
    token: str = attrs.field(factory=lambda: secrets.token_hex(8))
    log: bytes = b""

    def __attrs_post_init__(self) -> None:
        (self.folder / "temporary").mkdir(parents=True)

    def live(self, point: Point | None = None, *, seconds: float | None = None) -> bool:
        """Let a worker live, up to a point or for some seconds; return whether it was killed then."""
        code = self.nursery.order(
            what="live",
            folder=str(self.folder),
            point=point and attrs.asdict(point),
            seconds=seconds,
            containment=self.scenario.containment,
            abort=self.scenario.abort,
            task=self.scenario.task(self.token),
        )
        assert code in (0, KILLED), self.said(f"the worker ended with {code}")
        logs = list((self.folder / "temporary").glob("*/*/task.log"))
        self.log = logs[0].read_bytes() if logs else b""
        return code == KILLED

    def heal(self, point: Point | None = None, *, seconds: float | None = None) -> bool:
        """Let another process recover, up to a point or for some seconds; return whether it was killed then."""
        told = point and attrs.asdict(point)
        code = self.nursery.order(what="heal", folder=str(self.folder), point=told, seconds=seconds)
        assert code in (0, KILLED), self.said(f"the recovery ended with {code}")
        return code == KILLED

    def said(self, what: str) -> str:
        """Return an error's text with what the children wrote."""
        return f"{what}\n{(self.folder / 'child.log').read_text()}"

    def census(self, what: str) -> Census:
        """Return what a child that was not killed has passed."""
        return Census(**json.loads((self.folder / f"{what}.census").read_text()))

    def recovery(self) -> dict[str, Any]:
        """Return what the last recovery said."""
        found: dict[str, Any] = json.loads((self.folder / "recovery.json").read_text())
        return found

    # What must hold when a recovery is over

    def check(self) -> Trace | None:
        """Check that nothing is left of a worker, and that its run ended in good order; return that one's trace."""
        self._check_processes()
        assert list((self.folder / "temporary").iterdir()) == []
        assert self.nursery.groups() == []
        assert list(self.folder.rglob("*.part")) == []
        assert list(self.folder.glob("*.lock")) == []
        told = self.recovery()
        assert (told["left"], told["damage"], [run["problems"] + run["left"] for run in told["runs"]]) in (
            ([], None, []),
            ([], None, [[]]),
        )
        traces = list(self.folder.glob("journal.db.recovered/*/*/run.json"))
        assert len(traces) <= 1
        if not traces:
            return None
        kept = {path.name for path in traces[0].parent.iterdir()}
        assert kept <= {"run.json", "task.log"}
        trace = Trace.from_document(json.loads(traces[0].read_text()))
        self._check_run(trace, traces[0].with_name("task.log"))
        return trace

    def _check_processes(self) -> None:
        """What had got through its gate is dead by now; what had not ends by itself, at once."""
        found = self.processes()
        running = [line for line in found if GATE not in line]
        assert running == [], self.said(f"recovery has left {running}")
        deadline = time.monotonic() + BOUND
        while self.processes():
            assert time.monotonic() < deadline, f"still there: {self.processes()}"
            time.sleep(0.005)

    def _check_run(self, trace: Trace, log: Path) -> None:
        assert [str(broken) for broken in judge(trace)] == []
        assert len(trace.of(Kind.RECOVERED)) >= 1
        (outcome,) = trace.of(Kind.OUTCOME)
        kept = log.read_bytes() if log.exists() else b""
        assert kept == self.log
        body = [line for line in self.log.splitlines(keepends=True) if not line.startswith(b"[stagecall")]
        assert body == LINES[: len(body)]
        for event in trace.of(Kind.ARTIFACT):
            if (path := event.get("path")) is not None:
                assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == event.get("sha256")
        reports = (self.folder / "reports").read_text().splitlines()
        assert set(reports) == {f"{outcome.get('state')} {outcome.get('reason')}"}

    def processes(self) -> list[bytes]:
        """Return the command lines of the task's processes that are alive."""
        token, found = self.token.encode(), []
        for number in numbers():
            process = look(number)
            if process is None or not process.alive:
                continue
            line = read(number, "cmdline")
            if token in line or token in read(number, "environ"):
                found.append(line)
        return found

    def clean_up(self) -> None:
        """End what a failed test has left."""
        for number in numbers():
            if self.token.encode() in read(number, "cmdline") + read(number, "environ"):
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        for name in self.nursery.groups():
            folder = f"{self.nursery.group}/{name}"
            ControlGroup(folder, folder).clear(BOUND)
