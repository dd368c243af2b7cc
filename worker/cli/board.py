"""Where every run is right now, and the lines at the bottom of the terminal that say so.

Each stage of the lifecycle is a dot: behind the run, where it is, or still to come. The state is written on
the loop by a run's observer and read by the screen's thread; both only touch single attributes, so neither
needs a lock.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Sequence

import attrs
from rich.console import Console
from rich.text import Text

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Event, Kind
from ..run_artifacts import Progress
from .uploads import describe

MAX_LINES = 8
"""The most runs that are shown one by one; the rest is counted."""

MAX_LABEL = 24
"""Characters of a task's name that are shown."""

_MARKS = {"green": "●#", "cyan": "◉@", "red": "✖x", "dim": "○."}
"""The dot of a stage by its colour: in Unicode, and where the terminal has none."""


@attrs.define(eq=False)
class Card:
    """One run as the board shows it: `since` and `begun` are seconds of the monotonic clock."""

    label: str
    lifecycle: Lifecycle
    stage: str
    begun: float
    since: float
    path: list[str] = attrs.field(factory=list)
    preview: str = ""
    uploads: Callable[[], Progress] = Progress

    @classmethod
    def begin(cls, label: str, lifecycle: Lifecycle, uploads: Callable[[], Progress] = Progress) -> Card:
        """Return the card of a run that begins now; `uploads` tells, from any thread, how far its uploads are."""
        now = time.monotonic()
        return cls(label, lifecycle, lifecycle.initial.name, now, now, uploads=uploads)

    def observe(self, event: Event) -> None:
        """Take note of one event of the run's trace."""
        if event.kind is Kind.MOVE:
            self.since = self.begun + event.time
            self.path.append(event.stage)
            self.stage = event.stage

    def show_preview(self, line: str) -> None:
        """Show a line of the log that is not complete yet."""
        self.preview = line


@attrs.define(eq=False)
class Board:
    """All runs: those under way as cards, the others as numbers; `notice` is shown at the end."""

    total: int
    unicode: bool = True
    notice: str = ""
    finished: int = 0
    cards: list[Card] = attrs.field(factory=list)

    def lines(self, columns: int, rows: int) -> list[str]:
        """Return what the terminal shows at the bottom: one line a run with its colours, none too wide."""
        cards = list(self.cards)
        shown = cards[: max(1, min(MAX_LINES, rows - 3))]
        width = min(max((len(card.label) for card in shown), default=0), MAX_LABEL)
        texts = [Text(card.preview) for card in cards[:1] if card.preview and self.total == 1]
        texts += [self._line(card, width) for card in shown]
        if self.total > 1:
            texts.append(self._count(len(cards), len(cards) - len(shown)))
        elif shown and self.notice:
            texts[-1].append(f"   {self.notice}", "yellow")
        return list(self._painted(texts, columns))

    def _line(self, card: Card, width: int) -> Text:
        text = Text(" ").append(f"{card.label[:width]:{width}}  ", "bold")
        for _, style in progress(card):
            text.append(_MARKS[style][0 if self.unicode else 1], style)
        now = time.monotonic()
        longest = max(len(stage.name) for stage in card.lifecycle.stages)
        text.append(f"  {card.stage:{longest}} ", "bold").append(f"{ticking(now - card.since):>7}")
        text.append(f"  of {ticking(now - card.begun)}", "dim")
        uploads = describe(card.uploads())
        return text.append(f"  {uploads}") if uploads else text

    def _count(self, under_way: int, hidden: int) -> Text:
        waiting = self.total - self.finished - under_way
        parts = [f"{self.finished} of {self.total} done", f"{under_way} running"]
        parts += [f"{waiting} waiting"] if waiting else []
        parts += [f"{hidden} not shown"] if hidden else []
        text = Text(" ").append(", ".join(parts), "dim")
        return text.append(f"   {self.notice}", "yellow") if self.notice else text

    def _painted(self, texts: Sequence[Text], columns: int) -> Iterable[str]:
        console = Console(file=io.StringIO(), force_terminal=True, width=columns)
        for text in texts:
            text.truncate(columns - 1, overflow="ellipsis" if self.unicode else "crop")
            with console.capture() as captured:
                console.print(text, end="", soft_wrap=True)
            yield captured.get()


def progress(card: Card) -> list[tuple[str, str]]:
    """Return the stages a run has behind it, is in, and may still reach, each with the style of its mark.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> card = Card.begin("hello", TASK_RUN)
    >>> card.path = ["prepare", "exception"]
    >>> card.stage = "exception"
    >>> progress(card)
    [('prepare', 'green'), ('exception', 'red'), ('resolved', 'dim'), ('dispose', 'dim')]
    """
    path, stage = list(card.path), card.stage
    marks = [(name, "red" if name in card.lifecycle.exception_stages else "green") for name in path]
    if marks:
        name, style = marks[-1]
        marks[-1] = (name, style if style == "red" else "cyan")
    following = card.lifecycle.by_name[stage].next
    while following is not None and len(marks) <= len(card.lifecycle.stages):
        marks.append((following, "dim"))
        following = card.lifecycle.by_name[following].next
    return marks


def ticking(seconds: float) -> str:
    """Return seconds as a clock that ticks: unlike a duration that is over, its width hardly changes.

    >>> [ticking(seconds) for seconds in (0, 12.34, 125, 3725)]
    ['0.0s', '12.3s', '2m 05s', '1h 02m']
    """
    if seconds < 60:
        return f"{int(seconds * 10) / 10:.1f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m {int(seconds % 60):02}s"
    return f"{int(seconds // 3600)}h {int(seconds % 3600 // 60):02}m"
