"""What the command says about itself, about lifecycles, traces and schemas, and how it says no."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import stagecall
from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.lifecycle_yaml import lifecycle_document
from stagecall.specs.rules import RULES
from stagecall.worker.cli import main
from stagecall.worker.cli.errors import guarded
from stagecall.worker.runtime import DEFAULT_PLUGINS, Runtime

MOCK = '{"payload": {"function": "true"}}'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@attrs.frozen
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys):
    """Call the command in this process."""

    def call(*arguments: str) -> Said:
        code = main(arguments)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
async def trace(here) -> Path:
    """The stored trace of a good run."""
    async with await Runtime.create("mock", {"success": {}, "env": {}}) as runtime:
        run = runtime.new_run({"payload": {"function": "true"}})
        await run.wait()
    file = here / "run.json"
    file.write_text(json.dumps(run.trace.to_document() | {"summary": {}}))
    return file


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("rn", 'unknown command "rn"; did you mean "run"? (see: stagecall --help)'),
        ("run", "run: Missing argument 'TASK...'. (see: stagecall run --help)"),
        ("run --no-such x.yml", "run: No such option '--no-such'."),
        ("run no.yml", "no.yml: No such file or directory"),
        ("run task.json --engine moc", '--engine: unknown engine "moc"; did you mean "mock"?'),
        ("run task.json --config no.yml", "no.yml: No such file or directory"),
        (
            "run task.json --config bad.yml",
            'bad.yml: plugins.succes: unknown plugin; did you mean "success"?',
        ),
        ("run task.json -j 0", "run: Invalid value for '--concurrency' / '-j': 0 is not in the range x>=1."),
        ("plugins succes", 'unknown plugin "succes"; did you mean "success"?'),
        ("engines x", 'unknown engine "x"; allowed are "mock"'),
        ("check no.yml", "no.yml: No such file or directory"),
        ("check table.yml", "table.yml: lifecycle.stages[0].nxt: unknown property; did you mean "),
        ("check task.json --lifecycle x", "task.json: not a stored trace, which --lifecycle would be for"),
        ("diagram --run task.json", "task.json: not a trace: "),
        ("explain", "explain: Missing argument 'run.json'. (see: stagecall explain --help)"),
        ("explain task.json", "task.json: not a trace: "),
        ("explain no.json", "no.json: No such file or directory"),
        ("diagram --format png", "diagram: Invalid value for '--format' / '-f': 'png' is not one of "),
        ("diagram --output no/such/folder", "--output no/such/folder: No such file or directory"),
        ("schema --what x", "schema: Invalid value for '--what': 'x' is not one of "),
    ],
)
def test_what_cannot_be_done_is_one_line(here, say, command, line):
    """Each mistake of the caller gives one line on standard error, with what and where, and exit code 2."""
    (here / "task.json").write_text(MOCK)
    (here / "bad.yml").write_text("plugins: {succes: }")
    (here / "table.yml").write_text("{name: mine, stages: [{name: a, nxt: b}]}")

    said = say(*command.split())

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"stagecall: {line}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["", "run", "diagram", "check", "explain", "schema", "export", "engines", "plugins"]
)
def test_help_teaches(say, command):
    """Every command explains itself; those with options show examples."""
    said = say(*command.split(), "--help")

    assert said.code == 0
    assert said.out.startswith(f"Usage: stagecall {command}".rstrip())
    assert f"  stagecall {command}" in said.out or command in ("engines", "plugins")


def test_version(say):
    """The version is that of the package."""
    assert say("--version") == Said(0, f"stagecall {stagecall.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "mark"),
    [
        ([], "flowchart"),
        (["mermaid"], "flowchart"),
        (["dot"], "digraph"),
        (["svg"], "<svg"),
        (["html"], "<html"),
    ],
)
def test_diagram_of_the_built_in_lifecycle(say, arguments, mark):
    """Each format is drawn, mermaid by default, and names every stage."""
    said = say("diagram", *(["--format", *arguments] if arguments else []))

    assert (said.code, said.err) == (0, "")
    assert mark in said.out
    assert all(stage.name in said.out for stage in TASK_RUN.stages)


@pytest.mark.parametrize(("name", "mark"), [("a.dot", "digraph"), ("a.svg", "<svg"), ("a.txt", "flowchart")])
def test_the_output_names_the_format(here, say, name, mark):
    """Without --format the suffix of --output decides."""
    said = say("diagram", "--output", name)

    assert said == Said(0, "", "")
    assert mark in (here / name).read_text()


async def test_diagram_of_a_run(say, trace):
    """With --run the picture shows the path taken."""
    said = say("diagram", "--run", str(trace), "--format", "mermaid")

    assert said.code == 0
    assert said.out != say("diagram").out


def own_lifecycle(here: Path, **changes) -> Path:
    document = lifecycle_document(TASK_RUN) | {"name": "mine"}
    document["stages"][2] |= changes
    file = here / "mine.json"
    file.write_text(json.dumps(document))
    return file


async def test_a_run_of_another_lifecycle_needs_its_table(here, say, trace):
    """A run is neither drawn nor judged by a table that it did not follow."""
    mine = own_lifecycle(here)

    answers = [
        say(*command, str(trace), "--lifecycle", str(mine)) for command in (["diagram", "--run"], ["check"])
    ]

    line = "a run of the lifecycle 'task-run', not of 'mine'; give its table with --lifecycle"
    assert answers == [Said(2, "", f"stagecall: {trace}: {line}\n")] * 2


def test_check_of_the_built_in_lifecycle(say):
    """Without argument the lifecycle of task runs is checked, and is sound."""
    said = say("check")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("ok      task-run: pending > prepare > build > ")


def test_check_of_a_sound_lifecycle(here, say):
    """A lifecycle of one's own is checked by the same lint."""
    said = say("check", str(own_lifecycle(here)))

    assert (said.code, said.out.split(":")[0]) == (0, "ok      mine")


def test_check_of_a_broken_lifecycle(here, say):
    """What the lint finds is told with its stage, and the exit code is 1."""
    said = say("check", str(own_lifecycle(here, next="nowhere")))

    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("BROKEN  stage 'build': leads to 'nowhere'")


async def test_check_of_a_good_run(say, trace):
    """Every rule is listed with its verdict."""
    said = say("check", str(trace))

    assert said.code == 0
    assert said.out.splitlines() == [f"ok      {rule.number} {rule.name}: {rule.sentence}" for rule in RULES]


async def test_check_of_a_bad_run(say, trace):
    """A rule that the run broke is marked, with the event that broke it."""
    document = json.loads(trace.read_text())
    document["events"] = [event for event in document["events"] if event.get("stage") != "dispose"]
    trace.write_text(json.dumps(document))

    said = say("check", str(trace))

    assert said.code == 1
    assert "BROKEN  3 dispose-last: " in said.out
    assert len(said.out.splitlines()) > len(RULES)


async def test_explanation_of_a_run(say, trace):
    """A stored run is told in sentences."""
    task_id = json.loads(trace.read_text())["events"][0]["task_id"]

    said = say("explain", str(trace))

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Run 0 of task {task_id}: it completed, after ")
    assert said.out.endswith("\nThe rules\n  It kept every rule.\n")


async def test_explanation_of_a_run_of_another_lifecycle(here, say, trace):
    """With its table such a run is judged too; a table that is not its own is refused."""
    mine = str(own_lifecycle(here))
    document = json.loads(trace.read_text())
    document["events"][0]["lifecycle"] = "mine"
    (here / "run-of-mine.json").write_text(json.dumps(document))

    alone, judged = (
        say("explain", "run-of-mine.json"),
        say("explain", "run-of-mine.json", "--lifecycle", mine),
    )
    wrong = say("explain", str(trace), "--lifecycle", mine)

    assert "It is a run of the lifecycle mine, whose table is needed" in alone.out
    assert "whose table is needed" not in judged.out
    assert (alone.code, judged.code, wrong.code) == (0, 0, 2)


@pytest.mark.parametrize("what", ["payload", "config", "task", "lifecycle"])
def test_schemas(say, what):
    """Each schema comes as JSON Schema 2020-12 and as a Markdown page of the same properties."""
    exported = json.loads(say("schema", "--engine", "mock", "--what", what, "--json").out)
    page = say("schema", "--engine", "mock", "--what", what, "--markdown").out

    assert exported["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert page.startswith("# ")
    assert all(f"`{name}`" in page for name in exported["properties"])


def test_schema_of_the_configured_plugins(here, say):
    """The payload's schema is that of the engine and the plugins that the configuration enables."""
    (here / "worker.yml").write_text("engine: mock\nplugins: {success: }")

    said = say("schema", "--config", "worker.yml", "--json")

    assert list(json.loads(said.out)["properties"]) == ["delay", "function", "argument"]


@pytest.mark.parametrize("kind", ["engines", "plugins"])
def test_everything_installed_is_listed(say, kind):
    """Each engine and plugin has a line, and a page with its documentation on demand."""
    names = {
        "engines": ["mock", "process", "script"],
        "plugins": sorted(DEFAULT_PLUGINS),
    }[kind]

    overview = say(kind)
    pages = say(kind, *names)

    assert (overview.code, pages.code) == (0, 0)
    assert all(any(line.startswith(f"{name} ") for line in overview.out.splitlines()) for name in names)
    assert [line.removeprefix("# ") for line in pages.out.splitlines() if line.startswith("# ")] == names


def test_unforeseen_errors_are_one_line(capsys):
    """A defect is told with an incident id and how to see the traceback, never with the traceback itself."""

    def fail() -> int:
        raise RuntimeError("nobody\nforesaw this")

    code = guarded(fail, lambda: False)

    error = capsys.readouterr().err
    assert code == 4
    assert error.startswith("stagecall: internal error, incident ")
    assert error.endswith(": RuntimeError: nobody foresaw this; --debug shows the traceback\n")
    assert error.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    """With --debug the traceback comes before the line."""

    def fail() -> int:
        raise RuntimeError("nobody foresaw this")

    guarded(fail, lambda: True)

    assert capsys.readouterr().err.startswith("Traceback ")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_command_says_what_to_install(missing):
    """The library may be installed without what the command line needs; the message names the extra."""
    hide = "import sys; sys.modules[sys.argv[1]] = None"
    code = f"{hide}; from stagecall.worker.cli import main; sys.exit(main([]))"

    done = subprocess.run([sys.executable, "-c", code, missing], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stagecall: the command line needs {missing}: pip install 'stagecall[worker]'\n"


def test_a_reader_that_had_enough(here):
    """`stagecall schema | head -1` ends without a word about the pipe."""
    command = f"{shlex.quote(sys.executable)} -m stagecall schema --engine mock --what config | head -c 5"

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "# Wor", "")


@pytest.mark.parametrize("command", ["check", "schema --engine mock", "--help"])
def test_a_reader_that_is_gone_before_the_first_line(command):
    """Nobody who reads is no verdict: the exit code is 0, as if all had been read."""
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "stagecall", *command.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_while_modules_are_imported(monkeypatch, capsys):
    """Before there is anything to abort, an interrupt is a line and the exit code 4, without a traceback."""

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stagecall.worker.cli.import_module", interrupted)

    code = main(["check"])

    assert (code, capsys.readouterr().err) == (4, "stagecall: interrupted\n")


def test_messages_cannot_command_the_terminal(say):
    """The name of a file may hold escape sequences; the message about it does not."""
    said = say("check", "a\x1b[2J\x1b[31mb.yml")

    assert (said.code, said.err) == (2, "stagecall: ab.yml: No such file or directory\n")


def test_options_may_stand_before_the_command(say):
    """What every command understands may be said first."""
    assert say("--verbose", "--debug", "check").code == 0
