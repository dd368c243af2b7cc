"""What stands on the card of one stage, line by line: from the table, and what happened there in one run."""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterator, Sequence

import attrs

from ...specs.lifecycle import Combine, Stage
from .graph import Node
from .history import Call, History
from .markup import LONGEST, duration, fit, shortened

CARD_WIDTH = 232.0
ASIDE_WIDTH = 176.0
BRIEF_WIDTH = 152.0
BRIEF_ASIDE_WIDTH = 144.0
PADDING = 12.0
ROWS = 6
"""At most this many calls stand on a card."""


BAD = ("failed", "timeout", "abandoned")
"""The tones of calls that ended badly."""


class Style(enum.Enum):
    """How a line is set: its CSS class, its height in pixels, the size of its letters, and their font."""

    NAME = ("name", 22.0, 14.0, 600)
    TEXT = ("text", 14.0, 11.0, 400)
    HOOK = ("hook", 16.0, 11.0, "mono")
    CALL = ("call", 16.0, 11.0, 400)
    ERROR = ("error", 14.0, 10.5, 400)

    def __init__(self, css: str, height: float, size: float, font: int | str) -> None:
        self.css, self.height, self.size, self.font = css, height, size, font


@attrs.frozen
class Line:
    """A line of a card: `text` to the left, `right` to the right; `tone` says which mark stands before it."""

    style: Style
    text: str
    right: str = ""
    tone: str = ""
    title: str = ""
    """Everything, for who points at it."""


@attrs.frozen
class Card:
    """A stage's card, in pixels; Graphviz places it."""

    node: Node
    lines: tuple[Line, ...]
    brief: bool = False
    """Whether nothing but the name is to stand on it."""

    @property
    def width(self) -> float:
        """Cards beside the main path are narrower."""
        if self.brief:
            return BRIEF_ASIDE_WIDTH if self.node.beside else BRIEF_WIDTH
        return ASIDE_WIDTH if self.node.beside else CARD_WIDTH

    @property
    def height(self) -> float:
        """What the lines and the padding need."""
        return sum(line.style.height for line in self.lines) + 2 * PADDING - 6

    @classmethod
    def of(cls, node: Node, history: History | None) -> Card:
        """Return the card of a node."""
        card = cls(node, ())
        room = card.width - 2 * PADDING
        lines = _declared(node, room) if history is None else _happened(node, history, room)
        return attrs.evolve(card, lines=tuple(lines))

    @classmethod
    def brief_of(cls, node: Node) -> Card:
        """Return a card with the name alone; everything else is its title."""
        card = cls(node, (), brief=True)
        name = fit(node.name, card.width - 2 * PADDING, Style.NAME.size, Style.NAME.font)
        return attrs.evolve(card, lines=(Line(Style.NAME, name, title=_told(node)),))


def hook_call(stage: Stage) -> str:
    """Return the hook of a stage as plugins write it.

    >>> hook_call(Stage("stopped", hook="stopped", arguments=("result_set",), combine=Combine.ALL))
    'stopped(result_set) → bool'
    """
    returns = " → bool" if stage.combine is Combine.ALL else ""
    return f"{stage.hook}({', '.join(stage.arguments)}){returns}"


def tone(call: Call) -> str:
    """Return the word for how a call went, which is its CSS class too: ok, refused, open, or the outcome.

    >>> tone(Call("started", "env", "started", 0.0))
    'open'
    """
    if call.refused:
        return "refused"
    return "open" if call.outcome is None else call.outcome.value


def tone_word(call: Call) -> str:
    """Return how a call went, for people."""
    word = tone(call)
    return {"open": "under way", "refused": "says failed"}.get(word, word)


def label(call: Call, stage: Stage | None) -> str:
    """Return a call's name on the card of its stage: the plugin if it is the stage's hook, else the call."""
    step = call.name.removeprefix("dispose:").replace("_", " ")
    if call.plugin is None:
        return step
    return call.plugin if stage and call.name == stage.hook else f"{call.plugin}: {step}"


def _declared(node: Node, room: float) -> Iterator[Line]:
    yield _name(node, "", room)
    if node.stage is None:
        yield Line(Style.ERROR, "no such stage")
        return
    does = node.stage.does or (node.stage.action or "").replace("_", " ")
    yield from (Line(Style.TEXT, text) for text in _wrap(does, room, Style.TEXT, 3))
    yield from _hook(node.stage, room)


def _told(node: Node) -> str:
    if node.stage is None:
        return f"{node.name}: no such stage"
    does = node.stage.does or (node.stage.action or "").replace("_", " ")
    hook = f"calls {hook_call(node.stage)}" if node.stage.hook else ""
    return shortened(": ".join(filter(None, (node.name, "; ".join(filter(None, (does, hook)))))), LONGEST)


def _happened(node: Node, history: History, room: float) -> Iterator[Line]:
    visit = node.visit
    yield _name(node, duration(history.seconds(visit)) if visit else "", room)
    if node.stage is None:
        yield Line(Style.ERROR, "no such stage")
    else:
        yield from _hook(node.stage, room)
    if visit is None:
        return
    shown = _worth_showing(visit.calls, history)
    for call in shown:
        yield from _call(call, node.stage, history, room)
    if hidden := len(visit.calls) - len(shown):
        yield Line(Style.CALL, f"and {hidden} more", tone="more")
    yield from (line for _, reason in visit.aborts for line in _error(f"abort: {reason}", room))
    for problem in visit.other_problems():
        yield Line(Style.CALL, fit(problem.plugin or "error", room - 18, Style.CALL.size), tone="failed")
        yield from _error(problem.message, room)


def _name(node: Node, right: str, room: float) -> Line:
    return Line(Style.NAME, fit(node.name, room - 8 * len(right), Style.NAME.size, Style.NAME.font), right)


def _hook(stage: Stage, room: float) -> Iterator[Line]:
    if stage.hook is not None:
        yield Line(Style.HOOK, fit(hook_call(stage), room, Style.HOOK.size, Style.HOOK.font))


def _worth_showing(calls: Sequence[Call], history: History) -> list[Call]:
    """Return the calls that went badly and the slowest others, as many as there is room for, in order."""
    ranked = sorted(calls, key=lambda call: (call.bad or call.refused, history.seconds(call)), reverse=True)
    kept = {id(call) for call in ranked[:ROWS]}
    return [call for call in calls if id(call) in kept]


def _call(call: Call, stage: Stage | None, history: History, room: float) -> Iterator[Line]:
    word = tone(call)
    took = duration(history.seconds(call))
    right = {"ok": took, "open": f"{took} so far"}.get(word, f"{tone_word(call)} · {took}")
    name = label(call, stage)
    title = ", ".join(filter(None, (call.plugin, call.name, right, call.error)))
    text = fit(name, room - 18 - 5.8 * len(right), Style.CALL.size)
    yield Line(Style.CALL, text, right, word, shortened(title, LONGEST))
    if call.error:
        yield from _error(call.error, room)


def _error(message: str, room: float) -> Iterator[Line]:
    for text in _wrap(message, room - 14, Style.ERROR, 3):
        yield Line(Style.ERROR, text, title=shortened(message, LONGEST))


def _wrap(text: str, room: float, style: Style, most: int) -> list[str]:
    columns = int(room / (style.size * 0.54))
    return textwrap.wrap(shortened(text, 1000), columns, max_lines=most, placeholder=" …")
