"""The examples do what they say, with the exit code they say."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stagecall.specs.documents import load_document

from .cli_support import BOUND, Done, stagecall

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TASKS = sorted(
    file.name for file in EXAMPLES.glob("*.yml") if "payload" in load_document(file.read_text(), file.name)
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where a reader stands: a folder with `examples/` in it; the build that takes a minute is asked for less."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    build = tmp_path / "examples" / "build.yml"
    build.write_text(build.read_text().replace('STEP: "1"', 'STEP: "200"'))
    return tmp_path


def documented(file: Path) -> tuple[str, int]:
    """The command and the exit code that the comment at the top of a task says."""
    text = file.read_text()
    command = re.search(r"^# +(stagecall .+?)(;.*)?$", text, re.MULTILINE)
    code = re.search(r"^# Exit code (\d)\.$", text, re.MULTILINE)
    assert command is not None
    assert code is not None
    return command[1], int(code[1])


def readme() -> Iterator[tuple[str, int]]:
    """The commands of the examples' README, each with its exit code."""
    for command, code in re.findall(
        r"^\| `(.+?)` \| .+ \| (\d) \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    ):
        yield command, int(code)


def run(command: str, cwd: Path) -> Done:
    program, *arguments = command.split()
    if program == "stagecall":
        return stagecall(*arguments, cwd=cwd)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=BOUND
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_every_task_is_in_the_readme():
    """The README leaves out no example, with the command and exit code that the example itself says."""
    listed = dict(readme())

    assert {documented(EXAMPLES / task) for task in TASKS} <= set(listed.items())
    assert all(
        file.name in " ".join(listed)
        for file in EXAMPLES.iterdir()
        if file.is_file() and file.name != "README.md"  # the package has tests of its own
    )


@pytest.mark.parametrize(("command", "code"), [one for one in readme() if "hostile" not in one[0]])
def test_example_ends_as_documented(here, command, code):
    """Each command of the README has the exit code beside it, and leaves no traceback."""
    done = run(command, here)

    assert (done.code, "Traceback" in done.err) == (code, False), done.err


def test_hello_keeps_its_greeting(here):
    """The first example shows log, variable and artifact."""
    done = stagecall("run", "examples/hello.yml", "--out", "out", cwd=here)

    assert "hello, world\nhello, builder\nhello, reader\n" in done.out
    assert (
        here / "out/artifacts/public/greeting.txt"
    ).read_text() == "hello, world\nhello, builder\nhello, reader\n"


def test_build_builds_something_that_runs(here):
    """The application that the example built works, and its reports are beside it."""
    stagecall("run", "examples/build.yml", "--out", "out", cwd=here)

    public = here / "out/artifacts/public"
    done = subprocess.run(
        [sys.executable, public / "roman.pyz", "1994"], capture_output=True, text=True, timeout=BOUND
    )
    assert done.stdout == "MCMXCIV\n"
    assert "roman" in (public / "reports/trace.txt").read_text()
    assert (public / "src/roman/__init__.py").exists()


def test_malformed_says_every_mistake(here):
    """Each mistake is told with its path on standard error, and no sandbox was made."""
    done = stagecall("run", "examples/malformed.yml", "--out", "out", cwd=here)

    for path in ("payload.comand", "payload.env.ANSWER", "payload.maxRunTime", "payload.command"):
        assert (
            len(re.findall(rf"^ *(prepare: MalformedPayloadError: )?{path}: .+$", done.err, re.MULTILINE))
            == 1
        )
    events = json.loads((here / "out/run.json").read_text())["events"]
    assert [event for event in events if event.get("call") == "new_sandbox_builder"] == []


def test_hostile_leaves_nothing_behind(here, tmp_path_factory):
    """A task whose processes do not want to end leaves no process and no temporary folder."""
    scratch = tmp_path_factory.mktemp("scratch")
    (here / "worker.yml").write_text(f"worker: {{temporaryFolder: {scratch}}}\n")
    task = (EXAMPLES / "hostile.yml").read_text().replace("3600", "3600.25")
    (here / "hostile.yml").write_text(task)

    done = stagecall("run", "hostile.yml", "--config", "worker.yml", cwd=here)

    assert done.code == documented(EXAMPLES / "hostile.yml")[1]
    assert "judged by" in done.err
    assert "maxruntime" in done.err
    assert [process for process in psutil.process_iter() if "3600.25" in cmdline(process)] == []
    assert list(scratch.iterdir()) == []


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_worker_configuration_says_what_it_does(here):
    """The example configuration is read: its prefix stands in the log."""
    done = stagecall("run", "examples/hello.yml", "--config", "examples/worker.yml", cwd=here)

    assert "[stagecall] Contact: builders@example.com\n" in done.out
