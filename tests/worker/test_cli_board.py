"""The lines at the bottom of the terminal say where every run is, and never more than fits."""

import re
import time

import pytest

from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.trace import Event, Kind
from stagecall.worker.cli.board import MAX_LINES, Board, Card
from stagecall.worker.run_artifacts import Progress, Upload


@pytest.fixture(autouse=True)
def colour_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands; set `clock[0]`."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def card(label: str, *path: str) -> Card:
    begun = Card.begin(label, TASK_RUN)
    for number, stage in enumerate(path):
        begun.observe(Event(float(number), Kind.MOVE, stage, detail={"source": "?"}))
    return begun


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_one_run_is_one_line(clock):
    """The line has the task's name, a dot for each stage, the stage it is in, and how long."""
    board = Board(total=1, cards=[card("hello", "prepare", "build", "start")])
    clock[0] += 12.34

    lines = [plain(line) for line in board.lines(100, 30)]

    assert lines == [" hello  ●●◉○○○○○○  start       10.3s  of 12.3s"]


def test_uploads_are_shown_at_the_end_of_the_line(clock):
    """As long as nothing was uploaded nothing is said; a large upload is shown with how much of it is done."""
    begun = Card.begin("hello", TASK_RUN, lambda: progress[0])
    board = Board(total=1, cards=[begun])
    progress = [Progress()]

    quiet = plain(board.lines(120, 30)[0])
    progress[0] = Progress(3, 2_000_000, (Upload("public/big.bin", 30_000_000, 400_000_000),))
    busy = plain(board.lines(120, 30)[0])

    assert quiet.endswith("of 0.0s")
    assert busy == f"{quiet}  3 artifacts, 32.0 MB; big.bin 30.0 MB of 400.0 MB"


def test_an_exception_is_a_mark_of_its_own(clock):
    """After an exception only the stages that still follow are to come."""
    board = Board(total=1, cards=[card("hello", "prepare", "exception")])

    assert [plain(line).rstrip() for line in board.lines(100, 30)] == [
        " hello  ●✖○○  exception   -1.0s  of 0.0s"
    ]


def test_a_terminal_without_unicode_gets_ascii(clock):
    """Where the encoding has no dots, other marks stand for them."""
    board = Board(total=1, unicode=False, cards=[card("hello", "prepare", "build")])

    (line,) = board.lines(100, 30)

    assert plain(line).startswith(" hello  #@.......  build")


def test_what_is_not_complete_yet_stands_above(clock):
    """The beginning of a log line is shown above the stage line of a single task."""
    begun = card("hello", "prepare")
    begun.show_preview("downloading 20 %")
    board = Board(total=1, cards=[begun])

    assert plain(board.lines(100, 30)[0]) == "downloading 20 %"


def test_several_runs_are_counted(clock):
    """With several tasks the last line says how many are done, running and waiting."""
    board = Board(total=5, finished=1, cards=[card("a-1"), card("long-2")])

    lines = [plain(line) for line in board.lines(100, 30)]

    assert [line.split("  ")[0].strip() for line in lines] == [
        "a-1",
        "long-2",
        "1 of 5 done, 2 running, 2 waiting",
    ]
    assert lines[0].index("○") == lines[1].index("○")


@pytest.mark.parametrize(("rows", "shown"), [(30, MAX_LINES), (8, 5), (2, 1)])
def test_many_runs_leave_room_for_the_log(clock, rows, shown):
    """Only some of many runs have a line of their own; the rest is counted."""
    board = Board(total=20, cards=[card(f"t-{number}") for number in range(20)])

    lines = [plain(line) for line in board.lines(100, rows)]

    assert len(lines) == shown + 1
    assert lines[-1] == f" 0 of 20 done, 20 running, {20 - shown} not shown"


@pytest.mark.parametrize("columns", [2, 5, 20, 40, 200])
@pytest.mark.parametrize("label", ["hello", "名前" * 20, "x" * 300])
def test_no_line_is_wider_than_the_terminal(clock, columns, label):
    """A line that reached the last column would wrap, and stay for ever; wide characters count twice."""
    begun = card(label, "prepare")
    begun.show_preview("\u540d" * 300)
    board = Board(total=1, notice="aborting; Ctrl-C again to hurry", cards=[begun])

    lines = [plain(line) for line in board.lines(columns, 30)]

    assert all(sum(2 if ord(c) > 0x3000 else 1 for c in line) < columns for line in lines)


def test_the_notice_stands_at_the_end(clock):
    """After Ctrl-C the line says that the run is being aborted, and what the next Ctrl-C does."""
    board = Board(total=1, notice="aborting; Ctrl-C again to hurry", cards=[card("hello", "prepare")])

    assert plain(board.lines(120, 30)[0]).endswith("aborting; Ctrl-C again to hurry")


def test_a_long_name_leaves_room_for_the_stage(clock):
    """A task file's name may be of any length; the stage is seen all the same."""
    board = Board(total=1, cards=[card("x" * 300, "prepare")])

    assert "  prepare" in plain(board.lines(80, 30)[0])


def test_colours_are_left_out_on_demand(clock, monkeypatch):
    """NO_COLOR is obeyed."""
    monkeypatch.setenv("NO_COLOR", "1")
    board = Board(total=1, cards=[card("hello", "prepare", "exception")])

    (line,) = board.lines(100, 30)

    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", line)
