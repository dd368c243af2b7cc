"""A run's log reaches the output complete and in order, with the stage lines where they belong."""

from collections.abc import AsyncIterator

import attrs
from hypothesis import given
from hypothesis import strategies as st

from stagecall.specs.trace import Event, Kind
from stagecall.worker.cli.transcript import MAX_LINE, LineSplitter, Transcript


@attrs.define
class Written:
    """An output that remembers, with notes and log in the order in which they came."""

    pieces: list[bytes] = attrs.field(factory=list)
    before: list = attrs.field(factory=list)

    async def log(self, data: bytes) -> None:
        while self.before:  # what happens in the run while the output is slow
            self.before.pop(0)()
        self.pieces.append(data)

    def note(self, text: str) -> None:
        self.pieces.append(f"<{text}>".encode())

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


async def log_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def move(stage: str) -> Event:
    return Event(0.0, Kind.MOVE, stage, detail={"source": "?"})


def stage_line(event: Event) -> str:
    return event.stage


async def test_bytes_pass_as_they_are():
    """Beside a pipe, a single task's output is not touched: no line is waited for, no byte is changed."""
    written = Written()
    transcript = Transcript(written, terminal=False)

    await transcript.follow(log_of(b"no newline \xff\x00", b"\x1b[2J\r"))

    assert written.pieces == [b"no newline \xff\x00", b"\x1b[2J\r"]


async def test_stage_lines_stand_where_the_stage_began():
    """A stage line comes after what was in the log when the run moved, however late that is shown."""
    written = Written()
    transcript = Transcript(written, terminal=False, stage_line=stage_line)
    transcript.observe(move("prepare"), 0)
    transcript.observe(move("waiting"), 4)
    transcript.observe(move("stopped"), 9)
    transcript.observe(move("finished"), 9)

    await transcript.follow(log_of(b"one\ntw", b"o\nthree"))

    assert written.text == b"<prepare>one\n<waiting>two\nt<stopped><finished>hree"


async def test_stages_entered_while_the_output_is_slow():
    """The run does not wait for the reader, so it may move while a piece is being written."""
    written = Written()
    transcript = Transcript(written, terminal=False, stage_line=stage_line)
    written.before = [lambda: transcript.observe(move("stopped"), 8)]

    await transcript.follow(log_of(b"one\n", b"two\n"))

    assert written.text == b"one\ntwo\n<stopped>"


async def test_only_moves_are_noted():
    """Of all events only the stages entered make a line."""
    written = Written()
    transcript = Transcript(written, terminal=False, stage_line=stage_line)

    transcript.observe(Event(0.0, Kind.CALL, "build", "env", "build_sandbox"), 0)

    assert written.pieces == []


async def test_lines_of_several_tasks_are_complete():
    """With a prefix only whole lines are written, the last one made complete, other bytes as they are."""
    written = Written()
    transcript = Transcript(written, terminal=False, prefix="a | ")

    await transcript.follow(log_of(b"o", b"ne\n\ntw", b"o\xff"))

    assert written.pieces == [b"a | one\na | \n", b"a | two\xff\n"]


async def test_a_terminal_gets_lines_made_fit_for_it():
    """On a terminal other control sequences than colours are dropped, even one that arrives in two pieces."""
    written = Written()
    transcript = Transcript(written, terminal=True)

    await transcript.follow(log_of(b"\x1b[3", b"1mred\x1b[0m\x1b", b"[2J\nrest"))

    assert written.text == b"\x1b[31mred\x1b[0m\x1b[0m\nrest\n"


async def test_preview_is_the_line_that_is_not_complete():
    """A prompt or progress bar without newline is shown without waiting for its end, and forgotten then."""
    written = Written()
    previews: list[object] = []
    transcript = Transcript(written, terminal=True, preview=previews.append)

    await transcript.follow(log_of(b"10 %\r\x1b[31m20", b" %\r", b"\nname:\t"))

    assert previews == ["20", "20 %", "name:   ", ""]
    assert written.text == b"\x1b[31m20 %\x1b[0m\n\x1b[31mname:\t\x1b[0m\n"


def test_a_line_without_end_is_broken():
    """What is held back for a newline is bounded."""
    lines = LineSplitter()

    shown = [lines.feed(b"x" * 40_000) for _ in range(4)]

    assert shown == [b"", b"x" * 80_000 + b"\n", b"", b"x" * 80_000 + b"\n"]
    assert len(lines.rest) <= MAX_LINE


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\r", b"d\n\ne"])),
    st.lists(st.integers(0, 40)),
    st.data(),
)
async def test_any_cutting_gives_the_same(pieces, offsets, data):
    """However the log is cut and wherever stages begin, it is shown whole, each stage line at its place."""
    log = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)))))
    cut = [log[a:b] for a, b in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    marks = sorted(offset for offset in offsets if offset <= len(log))
    written = Written()
    transcript = Transcript(written, terminal=False, stage_line=stage_line)
    for offset in marks:
        transcript.observe(move(str(offset)), offset)

    await transcript.follow(log_of(*cut))

    expected = b""
    for place in range(len(log) + 1):
        expected += b"".join(f"<{mark}>".encode() for mark in marks if mark == place) + log[place : place + 1]
    assert written.text == expected
