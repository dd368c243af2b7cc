"""`stagecall check`: every way through a lifecycle, the shortest counter-example, and what a program can do with it."""

import json
from pathlib import Path

import pytest
import yaml

from stagecall.lifecycle.check import explore
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from stagecall.specs.lifecycle_yaml import lifecycle_document
from stagecall.specs.rules import RULES
from stagecall.specs.trace import Trace
from stagecall.worker.cli import main

from ..support.invented import INVENTED_YAML

BROKEN = Path(__file__).parent.parent / "lifecycle" / "broken"

SMALL = Lifecycle(
    "small",
    (
        Stage("begin", next="judge", on_exception="failed"),
        Stage(
            "judge",
            next="told",
            on_exception="failed",
            action="close_log",
            hook="judged",
            combine=Combine.ALL,
        ),
        Stage("failed", next="told", action="give_up"),
        Stage("told", next="end", action="report"),
        Stage("end", action="dispose", hook="dispose", order=Order.REVERSE, action_calls_hook=True),
    ),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(capsys):
    """Call the command in this process; return its exit code and what it prints."""

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return call


def test_sound_lifecycle_is_counted_and_every_rule_told(say):
    """States, transitions and paths are counted, and each rule has its verdict."""
    code, out, err = say("check")

    assert (code, err) == (0, "")
    assert out[0].startswith("ok      task-run: pending > prepare")
    assert out[1] == "        on an error or abort: exception"
    report = explore(TASK_RUN)
    assert out[2] == (
        f"        {len(report.states):,} states; {report.transitions:,} transitions between them, each judged on "
        f"a path to the end; {report.judged:,} of {report.paths:,} paths judged"
    )
    assert out[3:] == [f"ok      {rule.number} {rule.name}: {rule.sentence}" for rule in RULES]


def test_lifecycle_with_invented_stages_is_checked(here, say):
    """A lifecycle of one's own is taken through every way as that of task runs is."""
    (here / "mine.yml").write_text(INVENTED_YAML)

    code, out, _ = say("check", "mine.yml", "--states")

    assert code == 0
    assert [line for line in out if line.startswith("BROKEN")] == []
    for stage in ("scan", "audit"):
        assert [line for line in out if line.split() == [stage, "ok", "abort:", "in", f"{stage},", "none"]]


def test_states_and_paths_are_listed_on_demand(here, say):
    """`--states` lists each combination of stage, outcome and abort, `--paths` every way, a line each."""
    (here / "small.yml").write_text(yaml.safe_dump(lifecycle_document(SMALL)))

    code, out, _ = say("check", "small.yml", "--states", "--paths")

    report = explore(SMALL, every_path=True)
    assert code == 0
    assert "begin   ok              abort: in begin, none" in out
    assert "begin > judge > told > end = completed" in out
    assert "begin (abort before) > failed > told > end = exception (canceled)" in out
    assert len([line for line in out if line.startswith("begin ") and " = " in line]) == report.paths


@pytest.mark.parametrize("file", sorted(BROKEN.iterdir()), ids=lambda file: file.stem)
def test_counterexample_is_told_and_written(here, say, file):
    """A broken lifecycle: what the lint finds, the rules, the shortest path, its story, and the trace in a file."""
    code, out, err = say("check", file, "--counterexample", "bad.json")

    assert (code, err) == (1, "")
    assert out[0].startswith("BROKEN  ")
    assert [line for line in out if line.startswith("BROKEN  ") and line[8].isdigit()]
    (shortest,) = (line for line in out if line.startswith("The shortest path that breaks a rule: pending"))
    story = out[out.index(shortest) + 1 :]
    trace = Trace.from_document(json.loads((here / "bad.json").read_text()))
    assert len([line for line in story if not line.startswith("     ^ rule")]) == len(trace)
    assert [line for line in story if line.startswith("     ^ rule")]

    judged, verdicts, _ = say("check", "bad.json", "--lifecycle", file)
    drawn, picture, _ = say("diagram", "--run", "bad.json", "--lifecycle", file)

    assert judged == 1
    assert [line for line in verdicts if line.startswith("BROKEN")]
    assert (drawn, picture[1]) == (0, "flowchart TB")


def test_sound_lifecycle_leaves_no_counterexample(here, say):
    """Where there is none, no file is written."""
    assert say("check", "--counterexample", "bad.json")[0] == 0
    assert not (here / "bad.json").exists()


def test_table_that_cannot_be_walked_is_only_linted(here, say):
    """An edge that leads nowhere leaves nothing to explore, and that is said."""
    (here / "lost.yml").write_text("{name: lost, stages: [{name: a, next: b}]}")

    assert say("check", "lost.yml") == (
        1,
        [
            "BROKEN  stage 'a': leads to 'b', which is no stage; stages are a [unknown-target]",
            "        no run can be taken through this table",
        ],
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bad.json", "--paths"], "bad.json: a stored trace, and --paths is for a lifecycle"),
        (
            ["broken.yml", "--counterexample", "no/such/folder"],
            "--counterexample no/such/folder: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_done_is_said(here, say, arguments, line):
    """Options that have no meaning, and a file that cannot be written, are usage errors in one line."""
    (here / "bad.json").write_text('{"version": 1, "started": "2026-01-01T00:00:00+00:00", "events": []}')
    (here / "broken.yml").write_text((BROKEN / "trap.yml").read_text())

    code, _, err = say("check", *arguments)

    assert (code, err) == (2, f"stagecall: {line}\n")
