"""A task's output cannot harm the terminal."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.worker.cli.escapes import TerminalLines, colourless, harmless, last_overwrite

PIECES = [
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x9b",
    "\x9d",
    "\x07",
    "\x1b\\",
    "\n",
    "\r",
    "\t",
    ";",
    "0",
    "31",
    "m",
    "J",
    "?",
    "x",
    "é",
]
HOSTILE = st.lists(st.sampled_from(PIECES) | st.characters(max_codepoint=0xFF), max_size=40).map("".join)
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain\ttext\r\n", "plain\ttext\r\n"),
        ("\x1b[1;31mred\x1b[0m \x1b[38:5:200mpink\x1b[m", "\x1b[1;31mred\x1b[0m \x1b[38:5:200mpink\x1b[m"),
        ("\x1b[2J\x1b[H\x1b[10;20Hmoved", "moved"),
        ("\x1b[?1049h\x1b[?25lalternate screen", "alternate screen"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$tx\x1b\\after", "after"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("\x1bc\x1b7\x1b8\x1b(0reset", "reset"),
        ("\x1b[6n\x1b[c\x05answer", "answer"),
        ("\x9b31mC1\x9d0;title\x9c", "C1"),
        ("bell\x07 back\x08space del\x7f", "bell backspace del"),
        ("\x1b[>4;2m\x1b[?4m no colours", " no colours"),
        ("end\x1b", "end"),
        ("end\x1b[3", "end"),
    ],
)
def test_only_colours_are_let_through(text, left):
    """Of all control sequences a terminal is given only SGR, tab, newline and carriage return."""
    assert harmless(text) == left


@given(HOSTILE)
def test_nothing_that_controls_is_left(text):
    """Whatever a task prints, what is left beside colours controls nothing, and stays as it is."""
    left = harmless(text)

    assert [
        c for c in COLOUR.sub("", left) if (ord(c) < 32 or 127 <= ord(c) < 160) and c not in "\t\n\r"
    ] == []
    assert harmless(left) == left


@given(HOSTILE, HOSTILE)
def test_a_line_never_changes_the_next(first, second):
    """A sequence that a line leaves open swallows nothing of the line after it."""
    assert harmless(f"{first}\n{second}") == f"{harmless(first)}\n{harmless(second)}"


@given(HOSTILE)
def test_lines_end_without_colour(text):
    """After each line the terminal is back at its own colours, and every line has its prefix."""
    rendered = TerminalLines("a | ").render(f"{text}\n")

    for line in rendered.removesuffix("\n").split("\n"):
        assert line.startswith("a | ")
        assert "\x1b" not in line or line.endswith("\x1b[0m")
        assert "\r" not in line


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ("\x1b[31mred\nstill\x1b[0m\nplain\n", "\x1b[31mred\x1b[0m\n\x1b[31mstill\x1b[0m\x1b[0m\nplain\n"),
        ("\x1b[1m\x1b[31mboth\nstill\n", "\x1b[1m\x1b[31mboth\x1b[0m\n\x1b[1m\x1b[31mstill\x1b[0m\n"),
        ("\x1b[31m\x1b[0;32mgreen\nstill\n", "\x1b[31m\x1b[0;32mgreen\x1b[0m\n\x1b[0;32mstill\x1b[0m\n"),
    ],
)
def test_colours_carry_on_across_lines(lines, shown):
    """A task that colours several lines at once sees them coloured, although each ends with a reset."""
    assert TerminalLines().render(lines) == shown


def test_endless_colours_are_forgotten():
    """A task that sets colours for ever and never resets them does not make every line longer."""
    lines = TerminalLines()

    for _ in range(1000):
        rendered = lines.render("\x1b[1mx\n")

    assert len(rendered) < 400


def test_a_prefix_survives_carriage_returns():
    """A progress bar shows its last state, and does not overwrite what stands before it."""
    assert TerminalLines("a | ").render("10 %\r20 %\r\ndone\r\n") == "a | 20 %\na | done\n"


@pytest.mark.parametrize(("line", "left"), [("", ""), ("\r", ""), ("a\rb", "b"), ("a\r", "a")])
def test_last_overwrite(line, left):
    """What counts is what was written after the last carriage return that something followed."""
    assert last_overwrite(line) == left


def test_colourless_leaves_no_escape():
    """Where colours are unwanted, nothing of them is left."""
    assert colourless(harmless("\x1b[1;31mred\x1b[0m\x1b[2J")) == "red"


def test_a_long_hostile_line_takes_no_time():
    """A line made of sequences that never end is cleaned in time that grows with its length."""
    text = "".join(f"{opened}{'x;' * 5}\x1b[" for opened in ("\x1b]", "\x1bP", "\x9b", "\x1b[")) * 50_000

    begun = time.perf_counter()
    left = harmless(text)

    assert "\x1b" not in left
    assert time.perf_counter() - begun < 5.0
