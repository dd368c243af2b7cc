"""Mermaid and dot as text: what they say, and that no name breaks out of them."""

import re
import subprocess

import attrs
import pytest

from stagecall.lifecycle.diagram import dot, mermaid
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Stage

from .diagram_support import (
    BROKEN,
    HOSTILE,
    WITH_INVENTED_STAGES,
    aborted_run,
    broken_run,
    completed_run,
    hostile_run,
)

SMALL = Lifecycle(
    "small",
    (
        Stage("open", next="work", on_exception="rescue", does="waits"),
        Stage(
            "work",
            next="end",
            on_exception="rescue",
            hook="work",
            arguments=("tool", "time"),
            combine=Combine.ALL,
        ),
        Stage("rescue", next="end", hook="rescue"),
        Stage("end"),
    ),
)

SMALL_MERMAID = """\
%%{init: {"flowchart": {"rankSpacing": 26, "nodeSpacing": 26}}}%%
flowchart TB
    subgraph stage_before_rescue[" "]
        work["<b>work</b><br/>work(tool, time) → bool"]
        open(["<b>open</b>"])
    end
    rescue["<b>rescue</b><br/>rescue()"]
    stage_3["<b>end</b>"]
    open --> work
    work --> stage_3
    rescue --> stage_3
    stage_before_rescue -.-> rescue
    linkStyle 3 stroke:#c2525b
    classDef aside stroke:#c2525b
    classDef final stroke-width:3px
    classDef unknown stroke:#c2525b,stroke-width:2px,stroke-dasharray:3 3
    classDef frame fill:none,stroke:#8a94a6,stroke-dasharray:3 4
    classDef entered fill:#dfe9fd,stroke:#2f62d9,color:#16213a
    classDef current fill:#fdf0cd,stroke:#a8660a,stroke-width:3px,color:#3a2a08
    classDef failed fill:#fbdfe0,stroke:#c42b38,stroke-width:3px,color:#43090e
    classDef skipped opacity:0.5
    class stage_before_rescue frame
    class rescue aside
    class stage_3 final
"""


def lines(text: str, start: str) -> list[str]:
    """The lines that begin so, without their indentation."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(start)]


def arrows(text: str) -> list[str]:
    """The edges of a mermaid text."""
    return [line.strip() for line in text.splitlines() if re.search(r" (-->|-\.->) ", line)]


def test_mermaid_of_a_small_lifecycle():
    """Stages become nodes, the stages with the same exception stage share one frame and one edge to it."""
    assert mermaid(SMALL) == SMALL_MERMAID


def test_mermaid_of_the_task_run_has_every_main_edge_and_one_exception_edge():
    """Eight edges into `exception` are drawn as one, so that the main path stays the clearest line."""
    assert arrows(mermaid(TASK_RUN)) == [
        "pending --> prepare",
        "prepare --> build",
        "build --> start",
        "start --> started",
        "started --> waiting",
        "waiting --> stopped",
        "stopped --> finished",
        "finished --> resolved",
        "exception --> resolved",
        "resolved --> dispose",
        "stage_before_exception -.-> exception",
    ]


def test_mermaid_of_a_completed_run_marks_the_stages_entered():
    """Every stage that was entered is of the class `entered`, the others are skipped."""
    text = mermaid(TASK_RUN, completed_run())

    assert lines(text, "class ")[-2:] == [
        "class pending,prepare,build,start,started,waiting,stopped,finished,resolved,dispose entered",
        "class exception skipped",
    ]
    assert 'waiting["<b>waiting</b> 3.18 s"]' in text


def test_mermaid_of_a_broken_run_shows_where_it_broke():
    """The failing hook and its error stand in the stage; the edge taken is drawn beside the shared one."""
    text = mermaid(TASK_RUN, broken_run())

    assert lines(text, "started[") == [
        'started["<b>started</b> 6.00 s<br/>started(sandbox)<br/>✕ artifacts failed · 241 ms<br/>'
        "OSError: &lsqb;Errno 28&rsqb; No space left on device: "
        "'/var/lib/stagecall/store/public/logs/live.log'<br/>"
        '✕ tasklog abandoned · 6.00 s"]'
    ]
    assert lines(text, "class pending") == ["class pending,prepare,build,start,exception,resolved entered"]
    assert lines(text, "class started") == ["class started,dispose failed"]
    assert "started --> exception" in arrows(text)


def test_mermaid_of_an_abort_blames_no_stage():
    """A stage in which the run was aborted is not marked as failed; the reason stands in it."""
    text = mermaid(TASK_RUN, aborted_run())

    assert "failed" not in "".join(lines(text, "class "))
    assert "abort: canceled" in "".join(lines(text, "waiting["))


@pytest.mark.parametrize("lifecycle", [TASK_RUN, WITH_INVENTED_STAGES, BROKEN], ids=lambda given: given.name)
@pytest.mark.parametrize("make_run", [None, completed_run, broken_run, hostile_run])
def test_mermaid_names_only_what_it_declares(lifecycle, make_run):
    """Every edge and every class names nodes and frames that the text declares, by ids that mermaid takes."""
    text = mermaid(lifecycle, make_run and make_run())
    declared = {match[1] for line in text.splitlines() if (match := re.match(r" *(\w+)[\[(]", line))}
    declared |= {match[1] for match in re.finditer(r"subgraph (\w+)\[", text)}

    ends = [end for arrow in arrows(text) for end in re.split(r" -\S+ ", arrow)]
    members = [name for line in lines(text, "class ") for name in line.split()[1].split(",")]

    assert {*ends, *members} <= declared
    assert "end" not in declared


def test_mermaid_takes_nothing_from_a_name():
    """Whatever a plugin, an error or a stage is called, it ends neither its label nor its line."""
    hostile = attrs.evolve(
        TASK_RUN,
        stages=(attrs.evolve(TASK_RUN.stages[0], name=HOSTILE, next="prepare"), *TASK_RUN.stages[1:]),
    )

    text = mermaid(hostile, hostile_run())

    labels = [line for line in text.splitlines() if "<b>" in line]
    assert all(re.fullmatch(r' *\w+(\[|\(\[)"[^"`#%{}\\]*"(\]|\]\))', label) for label in labels)
    assert text.count("%%") == 2
    assert {tag for label in labels for tag in re.findall(r"<[^>]*>", label)} <= {"<b>", "</b>", "<br/>"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_dot_of_the_task_run_runs_exceptions_into_one_trunk():
    """Stages with an exception edge branch into the trunk; the last one stands beside the exception stage."""
    text = dot(TASK_RUN)

    branches = re.findall(r'"(\w+)":e -> "\w+/exception":w', text)
    assert branches == ["pending", "prepare", "build", "start", "started", "waiting", "stopped"]
    assert lines(text, '"finished":e') == ['"finished":e -> "exception":w [class="exception"]']
    assert lines(text, '"stopped/exception" ->') == [
        '"stopped/exception" -> "exception":n [class="exception trunk", weight=10]'
    ]


def test_dot_of_a_run_marks_the_path_through_the_trunk():
    """From the stage that failed on, the trunk is part of the path taken; above it, it is not."""
    text = dot(TASK_RUN, broken_run())

    taken = re.findall(r'"([\w/]+)"(?::\w)? -> "([\w/]+)"(?::\w)? \[class="[^"]*taken', text)
    assert taken == [
        ("pending", "prepare"),
        ("prepare", "build"),
        ("build", "start"),
        ("start", "started"),
        ("exception", "resolved"),
        ("resolved", "dispose"),
        ("started", "started/exception"),
        ("started/exception", "waiting/exception"),
        ("waiting/exception", "stopped/exception"),
        ("stopped/exception", "exception"),
    ]


def test_dot_escapes_what_would_end_a_label(need):
    """Graphviz reads a hostile name as one label and nothing else."""
    program = need("dot")
    lifecycle = Lifecycle(HOSTILE, (Stage(HOSTILE, next="\\", does=HOSTILE), Stage("\\", hook='"')))

    done = subprocess.run(
        [program, "-Tplain"], input=dot(lifecycle, hostile_run()), capture_output=True, text=True, timeout=30
    )

    nodes = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("node")]
    assert done.returncode == 0
    assert nodes == ["stage_0", "stage_1", "pending", "prepare", "exception"]
