"""The time line of a run: rows for the engine and each plugin, bars for calls, columns for stages.

A task may run for hours and its hooks for microseconds, so time runs evenly only within a stage: every column
is wide enough to be read, and the room that is left is shared out by how long the stages took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, tostring

import attrs

from ...specs.trace import Trace
from .card import tone, tone_word
from .graph import identifier
from .history import Call, History, Visit
from .markup import LONGEST, duration, element, fit, shortened, width
from .palette import style_sheet

LABELS = 120.0
"""The most that the names of the rows may take, in pixels."""
SPARE = 190.0
"""The width that is shared out by time."""
NARROWEST, WIDEST = 58.0, 140.0
"""What a stage's name may take of its column, in pixels."""
HEAD = 40.0
LANE = 18.0
GAP = 10.0
FOOT = 30.0
ABORT = 14.0


def timeline(trace: Trace) -> str:
    """Return the time line of the run that `trace` tells of, as an SVG file; it needs no Graphviz."""
    drawing = draw_timeline(History.of(trace))
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    drawing.insert(1, element("style", style_sheet()))
    return tostring(drawing, encoding="unicode") + "\n"


@attrs.frozen
class Column:
    """A stage's part of the time line: `end` is the time at its right edge."""

    visit: Visit
    end: float
    x: float
    width: float

    def at(self, time: float) -> float:
        """Return the place of a time, at the nearer edge if it is not of this stage."""
        whole = self.end - self.visit.start
        share = (time - self.visit.start) / whole if whole > 0 else float(time > self.end)
        return self.x + self.width * min(max(share, 0.0), 1.0)


@attrs.frozen
class Row:
    """The calls of the engine or of one plugin, in lanes so that those at the same time stand apart."""

    name: str
    lanes: tuple[tuple[Call, ...], ...]

    @property
    def height(self) -> float:
        """In pixels, with the gap below."""
        return max(len(self.lanes), 1) * LANE + GAP


def draw_timeline(history: History) -> Element:
    """Return the drawing, without a style sheet."""
    rows = list(_rows(history))
    labels = min(LABELS, max(width(row.name, 11) for row in rows) + 16)
    columns = list(_columns(history, labels))
    right = columns[-1].x + columns[-1].width if columns else labels
    bottom = HEAD + sum(row.height for row in rows)
    foot = FOOT + (ABORT if any(visit.aborts for visit in history.visits) else 0)
    return element(
        "svg",
        element(
            "title",
            f"Time line{f' of task {history.task_id}' if history.task_id else ''}",
            id="timeline-title",
        ),
        *(_stage(column, index, history, bottom) for index, column in enumerate(columns)),
        *_drawn_rows(rows, columns, history),
        *_aborts(columns, right, bottom),
        *_legend(history, labels, bottom + foot - FOOT),
        class_="stagecall run",
        role="img",
        aria_labelledby="timeline-title",
        viewBox=f"0 0 {right + 2:g} {bottom + foot:g}",
        width=right + 2,
        height=bottom + foot,
    )


def _columns(history: History, x: float) -> Iterator[Column]:
    whole = history.now or 1.0
    for visit in history.visits:
        took = history.seconds(visit)
        named = min(max(NARROWEST, width(visit.stage, 11, 600) + 18), WIDEST)
        wide = named + SPARE * took / whole
        yield Column(visit, history.end(visit), x, wide)
        x += wide


def _rows(history: History) -> Iterator[Row]:
    yield Row("engine", _lanes([call for call in history.calls if call.plugin is None]))
    for plugin in dict.fromkeys(history.plugins):
        yield Row(plugin, _lanes([call for call in history.calls if call.plugin == plugin]))


def _lanes(calls: Sequence[Call]) -> tuple[tuple[Call, ...], ...]:
    lanes: list[list[Call]] = []
    for call in sorted(calls, key=lambda call: call.start):
        free = (lane for lane in lanes if lane[-1].end is not None and lane[-1].end <= call.start)
        if (lane := next(free, None)) is None:
            lanes.append([call])
        else:
            lane.append(call)
    return tuple(tuple(lane) for lane in lanes)


def _stage(column: Column, index: int, history: History, bottom: float) -> Element:
    state = "current" if column.visit.stage == history.current else "entered"
    x, room = column.x + 5, column.width - 8
    return element(
        "g",
        element("rect", class_="column", x=column.x, y=0, width=column.width, height=bottom),
        element("line", class_="grid", x1=column.x, y1=0, x2=column.x, y2=bottom),
        element("text", fit(column.visit.stage, room, 11, 600), class_="stagename", x=x, y=14),
        element("text", duration(history.seconds(column.visit)), class_="muted", x=x, y=28),
        class_=state,
        data_stage=identifier(column.visit.stage, index),
    )


def _drawn_rows(rows: Sequence[Row], columns: Sequence[Column], history: History) -> Iterator[Element]:
    y = HEAD
    for index, row in enumerate(rows):
        name = fit(row.name, LABELS - 12, 11)
        bars = (
            _bar(call, y + place * LANE, columns, history)
            for place, lane in enumerate(row.lanes)
            for call in lane
        )
        label = element("text", element("title", row.name), name, class_="rowname", x=2, y=y + 11.5)
        yield element("g", label, *bars, data_row=identifier(row.name, index))
        y += row.height


def _bar(call: Call, y: float, columns: Sequence[Column], history: History) -> Element:
    began = next(
        column for column in columns if column.visit.stage == call.stage and call.start <= column.end
    )
    ended = next((column for column in columns if history.end(call) <= column.end), columns[-1])
    left, right = began.at(call.start), max(ended, began, key=lambda column: column.x).at(history.end(call))
    wide, word = max(right - left - 1, 3), tone(call)
    name = shortened(call.name.removeprefix("dispose:"), 60)
    title = f"{call.stage}: {call.name}, {tone_word(call)}, {duration(history.seconds(call))}"
    parts = [
        element("title", shortened(f"{title}: {call.error}" if call.error else title, LONGEST)),
        element("rect", class_=f"bar {word}", x=left, y=y, width=wide, height=LANE - 3, rx=3),
    ]
    if width(name, 10) < wide - 8:
        parts.append(element("text", name, class_="onbar", x=left + 4, y=y + 11))
    return element("g", *parts)


def _aborts(columns: Sequence[Column], right: float, bottom: float) -> Iterator[Element]:
    aborts = [(column, *abort) for column in columns for abort in column.visit.aborts]
    for column, time, reason in aborts:
        x, text = column.at(time), fit(f"abort: {reason}", 140, 11)
        begin = min(x + 5, right - width(text, 11))
        yield element("line", class_="abort", x1=x, y1=HEAD - 6, x2=x, y2=bottom + 12)
        yield element("text", text, class_="error", x=begin, y=bottom + 11)


def _legend(history: History, x: float, bottom: float) -> Iterator[Element]:
    for word, text in {tone(call): tone_word(call) for call in history.calls}.items():
        yield element("rect", class_=f"bar {word}", x=x, y=bottom + 11, width=10, height=10, rx=2)
        yield element("text", text, class_="muted", x=x + 15, y=bottom + 20)
        x += 31 + width(text, 11)
