"""`stagecall run` beside pipes: streams, exit codes, the JSON object, folders, several tasks, signals."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stagecall.specs.rules import judge
from stagecall.specs.trace import Trace

from .cli_support import BOUND, COMMAND, environment, stagecall

STAGES = ["prepare", "build", "start", "started", "waiting", "stopped", "finished", "resolved", "dispose"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


def task(here: Path, name: str, script: str, **payload) -> str:
    """Write a task that runs a shell script; return its file's name."""
    (here / name).write_text(json.dumps({"payload": {"command": ["sh", "-c", script], **payload}}))
    return name


def mock(here: Path, name: str, function: str, delay: int = 0) -> str:
    (here / name).write_text(json.dumps({"payload": {"function": function, "delay": delay}}))
    return name


def read_trace(file: Path) -> Trace:
    return Trace.from_document(json.loads(file.read_text()))


def test_json_is_the_object_of_the_contract(here):
    """With --json standard output has one object in one line, and standard error the log."""
    artifacts = [{"type": "file", "path": "a.txt", "name": "public/a.txt"}]
    file = task(here, "t.json", "echo to the log; echo content > a.txt", artifacts=artifacts)

    done = stagecall("run", file, "--json", "--out", "out", cwd=here)

    summary = json.loads(done.out)
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert list(summary) == [
        "taskId",
        "runId",
        "resolution",
        "reason",
        "cause",
        "stages",
        "hooks",
        "artifacts",
    ]
    assert (summary["runId"], summary["resolution"], summary["reason"], summary["cause"]) == (
        0,
        "completed",
        None,
        None,
    )
    assert [stage["stage"] for stage in summary["stages"]] == STAGES
    assert {frozenset(stage) for stage in summary["stages"]} == {frozenset({"stage", "start", "seconds"})}
    assert {frozenset(hook) for hook in summary["hooks"]} == {
        frozenset({"stage", "plugin", "hook", "start", "seconds", "outcome", "error"})
    }
    assert {hook["outcome"] for hook in summary["hooks"]} == {"ok"}
    kept, log = summary["artifacts"]
    assert list(kept) == ["name", "storage", "contentType", "path", "bytes", "sha256"]
    assert list(kept.values())[:5] == [
        "public/a.txt",
        "object",
        "text/plain",
        "out/artifacts/public/a.txt",
        8,
    ]
    assert kept["sha256"] == hashlib.sha256(b"content\n").hexdigest()
    assert log["bytes"] == (here / log["path"]).stat().st_size
    assert "to the log\n" in done.err
    document = json.loads((here / "out/run.json").read_text())
    assert document["summary"] == summary
    assert judge(Trace.from_document(document)) == []


@pytest.mark.parametrize(
    ("function", "code", "resolution", "reason"),
    [
        ("true", 0, "completed", None),
        ("false", 1, "failed", None),
        ("malformed-payload-initial", 3, "exception", "malformed-payload"),
        ("malformed-payload-after-start", 3, "exception", "malformed-payload"),
        ("nonfatal-internal-error", 4, "exception", "internal-error"),
        ("fatal-internal-error", 4, "exception", "internal-error"),
    ],
)
def test_exit_codes(here, function, code, resolution, reason):
    """The exit code says what became of the task; run.json is written for every outcome."""
    done = stagecall(
        "run", mock(here, "t.json", function), "--engine", "mock", "--json", "--out", "out", cwd=here
    )

    summary = json.loads(done.out)
    assert (done.code, summary["resolution"], summary["reason"]) == (code, resolution, reason)
    assert "Traceback" not in done.err
    assert judge(read_trace(here / "out/run.json")) == []


def test_the_log_has_standard_output_for_itself(here):
    """Without --json the log's bytes are on standard output as they are, everything else is elsewhere."""
    file = task(here, "t.json", "printf 'a\\033[2Jb\\rc\\377'")

    done = subprocess.run(
        [*COMMAND, "run", file], cwd=here, env=environment(), capture_output=True, timeout=BOUND
    )

    lines = done.stdout.split(b"\n")
    assert [line.partition(b":")[0] for line in lines[:2]] == [b"[stagecall] RunId", b"[stagecall] TaskId"]
    assert lines[2:] == [b"a\x1b[2Jb\rc\xff"]
    notes = done.stderr.decode().splitlines()
    assert [line.split()[1] for line in notes if line.startswith("--- ")] == STAGES
    assert any(line.startswith(" ✔ completed  t  ") for line in notes)
    assert not any("\x1b" in line for line in notes)


def test_stage_lines_stand_between_the_log(here):
    """Where both streams are one file, each stage line stands where the stage began."""
    file = task(here, "t.json", "echo said by the task")

    done = subprocess.run(
        [*COMMAND, "run", file],
        cwd=here,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BOUND,
    )

    lines = [line.split(" at ")[0] for line in done.stdout.decode().splitlines()]
    said = lines.index("said by the task")
    assert lines.index("--- build") < said < lines.index("--- stopped")


def test_the_locale_may_know_no_unicode(here):
    """In the C locale the summary is ASCII."""
    env = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")

    done = stagecall("run", task(here, "t.json", "true"), cwd=here, env=env)

    assert (done.code, done.err.isascii()) == (0, True)


def test_a_task_from_standard_input(here):
    """`-` reads the definition from standard input."""
    done = stagecall("run", "-", "--out", "out", cwd=here, stdin="payload: {command: [echo, piped]}")

    assert (done.code, done.out.splitlines()[-1]) == (0, "piped")


def test_several_tasks(here):
    """Each has its prefix, its line, its folder and its JSON; the worst exit code counts."""
    files = [
        task(here, "good.json", "printf 'no newline'"),
        task(here, "bad.json", "echo one; echo two; exit 3"),
    ]

    done = stagecall("run", *files, "--out", "out", "--concurrency", "2", cwd=here)

    assert done.code == 1
    assert sorted(line for line in done.out.splitlines() if "stagecall]" not in line) == [
        "bad-2  | one", "bad-2  | two", "good-1 | no newline",
    ]  # fmt: skip
    assert [line.split()[:3] for line in done.err.splitlines() if line[:3] in (" ✔ ", " ✖ ")] == [
        ["✔", "completed", "good-1"], ["✖", "failed", "bad-2"],
    ]  # fmt: skip
    assert {path.name for path in (here / "out").iterdir()} == {"good-1", "bad-2"}
    assert all((here / "out" / name / "run.json").exists() for name in ("good-1", "bad-2"))


def test_json_of_several_tasks_is_a_line_each(here):
    """Whoever reads the objects can do so line by line."""
    files = [mock(here, f"{name}.json", name) for name in ("true", "false", "true")]

    done = stagecall("run", *files, "--engine", "mock", "--json", "-j", "3", cwd=here)

    assert sorted(json.loads(line)["resolution"] for line in done.out.splitlines()) == [
        "completed",
        "completed",
        "failed",
    ]


def test_concurrency_is_a_bound(here):
    """One at a time by default: no task is entered before the one before it was disposed."""
    files = [mock(here, f"{number}.json", "true", delay=50) for number in range(3)]

    done = stagecall("run", *files, "--engine", "mock", cwd=here)

    stages = [line.split()[1:3] for line in done.err.splitlines() if " at " in line]
    assert [label for label, stage in stages if stage in ("prepare", "dispose")] == [
        "0-1:",
        "0-1:",
        "1-2:",
        "1-2:",
        "2-3:",
        "2-3:",
    ]


def test_a_fatal_error_stops_the_worker(here):
    """After an error that stops the worker, what runs is aborted and nothing more is started."""
    files = [
        mock(here, "long.json", "true", 60_000),
        mock(here, "fatal.json", "fatal-internal-error"),
        mock(here, "never.json", "true"),
    ]

    done = stagecall(
        "run", *files, "--engine", "mock", "--json", "--out", "out", "--concurrency", "2", cwd=here
    )

    resolutions = {json.loads(line)["reason"] for line in done.out.splitlines()}
    assert (done.code, resolutions) == (4, {"worker-shutdown", "internal-error"})
    assert (
        "stagecall: fatal-2 met an internal error after which the worker must stop; not started: never-3\n"
        in done.err
    )
    assert not (here / "out/never-3/run.json").exists()


def test_running_again_replaces_the_results(here):
    """A second run into the same folder leaves only its own results."""
    artifacts = [{"type": "file", "path": "a", "name": "public/first"}]
    stagecall("run", task(here, "t.json", "echo > a", artifacts=artifacts), "--out", "out", cwd=here)

    done = stagecall("run", task(here, "t.json", "true"), "--out", "out", cwd=here)

    assert done.code == 0
    assert sorted(path.name for path in (here / "out").rglob("*") if path.is_file()) == [
        "index.html",
        "run.json",
        "task.log",
    ]


def test_nothing_runs_if_one_definition_is_bad(here):
    """All definitions are checked before the first task begins."""
    (here / "bad.yml").write_text("payload: [")

    done = stagecall("run", task(here, "t.json", "touch ran"), "bad.yml", "--out", "out", cwd=here)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("stagecall: bad.yml:1:")
    assert not (here / "out").exists()


def test_results_that_are_lost_are_told(here):
    """Where standard output cannot be written, the run goes to its end, and the exit code is 4."""
    file = mock(here, "t.json", "true")
    command = [*COMMAND, "run", file, "--engine", "mock", "--json", "--out", "out"]

    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=here, stdout=full, stderr=subprocess.PIPE, timeout=BOUND)

    assert done.returncode == 4
    assert done.stderr.endswith(b"stagecall: standard output: No space left on device\n")
    assert json.loads((here / "out/run.json").read_text())["summary"]["resolution"] == "completed"


def test_an_empty_out_is_no_folder(here):
    """A variable that is not set must not make the current folder the output folder."""
    done = stagecall("run", mock(here, "t.json", "true"), "--engine", "mock", "--out", "", cwd=here)

    assert (done.code, done.err) == (
        2,
        "stagecall: --out: is empty; name a folder, `.` for the current one\n",
    )
    assert [path.name for path in here.iterdir()] == ["t.json"]


def test_a_reader_that_had_enough_ends_nothing(here):
    """`stagecall run ... | head -1` drives the run to its end, without a word about the pipe."""
    file = task(
        here,
        "t.json",
        "seq 200000; echo done > a",
        artifacts=[{"type": "file", "path": "a", "name": "public/a"}],
    )
    command = f"{shlex.join(COMMAND)} run {file} --out out 2>err | head -1"

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=here,
        env=environment(),
        timeout=BOUND,
        capture_output=True,
    )

    assert done.returncode == 0
    assert "Traceback" not in (here / "err").read_text()
    assert (here / "out/artifacts/public/a").read_text() == "done\n"
    assert judge(read_trace(here / "out/run.json")) == []


def test_verbose_shows_what_the_worker_says(here):
    """The worker's own log is quiet by default, and complete with -v."""
    file = mock(here, "t.json", "nonfatal-internal-error")

    quiet = stagecall("run", file, "--engine", "mock", cwd=here)
    debug = stagecall("run", file, "--engine", "mock", "--debug", cwd=here)

    assert "stagecall: ERROR: NonFatalInternalError" in quiet.err
    assert "Traceback" not in quiet.err
    assert "Traceback" in debug.err


def begun(here: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    """Start the command; return once its task says that it runs."""
    process = subprocess.Popen(
        [*COMMAND, "run", *arguments],
        cwd=here,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    while "running" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    return process


def left(mark: str) -> list[psutil.Process]:
    """The processes whose command line holds the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_aborts_cleanly(here, number):
    """The run is resolved worker-shutdown, dispose runs, no process is left, and the exit code is 4."""
    mark = f"{time.time_ns() % 10**9 + 10**9}"
    process = begun(here, task(here, "t.json", f"sleep {mark} & echo running; wait"), "--out", "out")

    process.send_signal(number)
    _, err = process.communicate(timeout=BOUND)

    name = "Ctrl-C" if number is signal.SIGINT else number.name
    assert process.returncode == 4
    assert f"stagecall: {name}: aborting 1 task; Ctrl-C again to hurry\n" in err
    summary = json.loads((here / "out/run.json").read_text())["summary"]
    assert (summary["reason"], summary["stages"][-1]["stage"]) == ("worker-shutdown", "dispose")
    assert judge(read_trace(here / "out/run.json")) == []
    assert left(mark) == []


def test_a_second_signal_hurries(here):
    """Twice Ctrl-C leaves a task that ignores SIGTERM nothing of its ten minutes' grace, and nothing behind."""
    (here / "worker.yml").write_text("engine: process\nengines: {process: {killGrace: 600}}\n")
    mark = f"{time.time_ns() % 10**9 + 10**9}"
    file = task(
        here,
        "t.json",
        f"trap '' TERM; (setsid sleep {mark} &); echo running; while :; do sleep {mark}; done",
    )
    process = begun(here, file, "--out", "out", "--config", "worker.yml")

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "again to hurry" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BOUND)

    assert process.returncode == 4
    assert left(mark) == []
    assert json.loads((here / "out/run.json").read_text())["summary"]["reason"] == "worker-shutdown"


WITH_A_STUCK_PLUGIN = """
import asyncio, sys
import stagecall
from stagecall.worker.cli import main

class StuckTaskPlugin(stagecall.TaskPlugin):
    async def started(self, sandbox):
        print("running", flush=True)

    async def dispose(self):
        print("stuck", flush=True)
        await asyncio.sleep(3600)

class Stuck(stagecall.Plugin):
    def new_task_plugin(self, options):
        return StuckTaskPlugin()

class StuckProvider(stagecall.PluginProvider):
    def new_plugin(self, options):
        return Stuck()

stagecall.register("stuck", StuckProvider())
sys.exit(main(sys.argv[1:]))
"""


def test_a_third_signal_ends_at_once(here):
    """Three times Ctrl-C ends the program even while a plugin's dispose hangs."""
    (here / "worker.yml").write_text("engine: mock\nplugins: {stuck: , success: }\n")
    command = [
        sys.executable,
        "-c",
        WITH_A_STUCK_PLUGIN,
        "run",
        mock(here, "t.json", "true", 60_000),
        "--config",
        "worker.yml",
    ]
    process = subprocess.Popen(
        command, cwd=here, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None

    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stuck\n"
    process.send_signal(signal.SIGINT)
    while "leave everything as it is" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)

    process.communicate(timeout=BOUND)
    assert process.returncode == 130


def test_ignored_signals_stay_ignored(here):
    """Under nohup a closing terminal does not end the run."""
    file = task(here, "t.json", "echo running; sleep 0.5; echo survived")
    process = begun(here, file, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))

    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=BOUND)

    assert (process.returncode, "survived" in out) == (0, True)


def test_results_that_cannot_be_written_are_told(here):
    """Where run.json cannot be written the person is told, and the exit code is not 0."""
    file = task(here, "t.json", "echo running; sleep 0.3")
    process = begun(here, file, "--out", "out")
    (here / "out/run.json").mkdir()

    _, err = process.communicate(timeout=BOUND)

    assert process.returncode == 4
    assert "stagecall: out/run.json: Is a directory\n" in err
    assert [path.name for path in (here / "out").iterdir() if path.is_file()] == []


def test_standard_output_may_be_closed(here):
    """A run whose standard output was closed before it began is a run like any other."""
    command = f"exec {shlex.join(COMMAND)} run {task(here, 't.json', 'echo text')} --out out >&-"

    done = subprocess.run(
        ["sh", "-c", command], cwd=here, env=environment(), capture_output=True, timeout=BOUND
    )

    assert (done.returncode, (here / "out/run.json").exists()) == (0, True)


def test_no_temporary_folder_is_left(here):
    """Whatever the task does to its folder, it is removed."""
    scratch = here / "scratch"
    scratch.mkdir()
    env = environment(TMPDIR=str(scratch))

    done = stagecall("run", task(here, "t.json", "echo x > y; mkdir -p a/b; chmod 0 a"), cwd=here, env=env)

    assert (done.code, os.listdir(scratch)) == (0, [])
