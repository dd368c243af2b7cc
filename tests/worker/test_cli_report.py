"""The summary for a person says what became of the runs, why, and where everything lies."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stagecall.worker.cli.report import Report, show_reports


def report(label="hello", folder=Path("out"), refused_by=(), **changes) -> Report:
    summary = {
        "taskId": "VRzKBhTiQ0-FuPzN5AAWUA",
        "runId": 0,
        "resolution": "completed",
        "reason": None,
        "cause": None,
        "stages": [
            {"stage": "prepare", "start": 0.0, "seconds": 0.0002},
            {"stage": "waiting", "start": 0.5, "seconds": 1.0},
            {"stage": "dispose", "start": 1.5, "seconds": 0.5},
        ],
        "hooks": [],
        "artifacts": [],
    }
    return Report(label, summary | changes, folder, refused_by)


def text(*reports: Report, unicode: bool = True, width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        show_reports(console, reports, unicode)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_one_run_in_full():
    """Verdict, stages with their part of the time, artifacts with sizes and paths, the trace."""
    artifacts = [
        {"name": "public/a.txt", "storage": "object", "path": "out/artifacts/public/a.txt", "bytes": 1234}
    ]

    lines = text(report(artifacts=artifacts))

    assert lines == [
        "",
        " ✔ completed  hello  2s",
        "",
        "   prepare   <1ms",
        "   waiting     1s        ━━━━━━━━━━━━",
        "   dispose  500ms                    ━━━━━━",
        "",
        "       1.2 kB  out/artifacts/public/a.txt",
        "               out/run.json",
        "",
    ]


def test_why_a_run_is_an_exception():
    """The cause is told, a line for each link of the chain and each violation, and every hook that went wrong."""
    cause = (
        "overruled: prepare: payload.a: one; two; payload.b: three; decided: started of plugin env: OSError; "
        "and 2 more"
    )
    hook = {
        "stage": "started",
        "plugin": "env",
        "hook": "started",
        "seconds": 0.25,
        "outcome": "failed",
        "error": "OSError: no",
    }
    fine = {**hook, "outcome": "ok", "error": None}
    abandoned = {**hook, "outcome": "abandoned", "error": None}

    lines = text(
        report(resolution="exception", reason="internal-error", cause=cause, hooks=[hook, fine, abandoned])
    )

    assert lines[1:9] == [
        " ⚠ exception: internal-error  hello  2s",
        "   overruled: prepare: payload.a: one; two",
        "   payload.b: three",
        "   decided: started of plugin env: OSError",
        "   and 2 more",
        "   started: env failed after 250ms: OSError: no",
        "   started: env abandoned after 250ms",
        "",
    ]


def test_who_said_that_a_task_failed():
    """A failed task has no cause; the plugins that judged it are named."""
    lines = text(report(resolution="failed", refused_by=("success", "artifacts")))

    assert lines[1:3] == [" ✖ failed  hello  2s", "   judged by success, artifacts"]


def test_very_many_artifacts_are_counted():
    """A hundred are listed, those first that there are not; the rest is one line."""
    artifacts = [
        {"name": str(number), "storage": "object", "path": f"out/{number}", "bytes": 10}
        for number in range(150)
    ]
    artifacts.append(
        {"name": "bad", "storage": "error", "reason": "invalid-resource-on-worker", "bytes": None}
    )

    lines = text(report(artifacts=artifacts))

    places = lines[lines.index("         none  bad: invalid-resource-on-worker") :]
    assert places[:2] == ["         none  bad: invalid-resource-on-worker", "     10 bytes  out/0"]
    assert places[99:101] == ["     10 bytes  out/98", "    510 bytes  in 51 more artifacts"]
    assert "run.json" in places[101]


@pytest.mark.parametrize(
    ("artifact", "line"),
    [
        (
            {"storage": "error", "reason": "file-missing-on-worker"},
            "         none  public/a: file-missing-on-worker",
        ),
        (
            {"storage": "redirect", "url": "http://example.com/"},
            "     redirect  public/a: http://example.com/",
        ),
        ({"storage": "link", "target": "public/b"}, "         link  public/a: public/b"),
    ],
)
def test_artifacts_that_are_no_files(artifact, line):
    """What is no file here says why, or where it leads."""
    assert line in text(report(artifacts=[{"name": "public/a", "bytes": None, **artifact}]))


def test_several_runs_are_a_line_each():
    """Several runs are told in short, in columns; what went wrong stands below the run it concerns."""
    lines = text(
        report("a-1", Path("out/a-1")),
        report(
            "long-2", Path("out/long-2"), resolution="exception", reason="canceled", cause="aborted: canceled"
        ),
    )

    assert lines == [
        "",
        " ✔ completed            a-1          2s  out/a-1",
        " ⚠ exception: canceled  long-2       2s  out/long-2",
        "   aborted: canceled",
        "",
    ]


def test_without_unicode_there_are_other_marks():
    """Where the encoding has no such marks, nothing is lost but beauty."""
    lines = text(report(), report(resolution="failed"), unicode=False)

    assert "\n".join(lines).isascii()


def test_a_narrow_terminal_breaks_no_path():
    """A path stays in one piece, so that it can be copied."""
    folder = Path("a" * 50, "b" * 50)

    lines = text(report(folder=folder), width=40)

    assert f"               {folder}/run.json" in lines


def test_text_from_elsewhere_is_shown_as_it_is():
    """An error message can neither colour the summary nor move its cursor."""
    lines = text(
        report(resolution="exception", reason="internal-error", cause="[red]x[/red] \x1b[2J\r\nnext")
    )

    assert lines[2] == "   [red]x[/red]   next"


def test_a_run_without_resolution_is_an_exception():
    """A run that broke off is never shown as good."""
    assert text(report(resolution=None, stages=[]))[1] == " ⚠ exception  hello  <1ms"


def test_the_trace_has_a_size(tmp_path):
    """run.json is told with its size, like any artifact."""
    (tmp_path / "run.json").write_text("x" * 2000)

    assert f"       2.0 kB  {tmp_path}/run.json" in text(report(folder=tmp_path))
