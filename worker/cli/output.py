"""Where the command's output goes: what meets on one terminal, and what that terminal can show."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import attrs
from rich.console import Console, RenderableType

from .report import Report, show_reports


@attrs.frozen
class Streams:
    """Three file descriptors, and how they may be used.

    The task log goes to `log`: standard output, or standard error where the result is JSON. `notes`, standard
    error, takes everything about the runs. `live` says that both are one terminal that can be drawn on,
    `terminal` that the log goes to some terminal.
    """

    log: int
    notes: int
    results: int
    terminal: bool
    live: bool
    unicode: bool

    @classmethod
    def of_process(cls, json: bool, environ: Mapping[str, str] = os.environ) -> Streams:
        """Return the streams of this process."""
        results, notes = _descriptor(sys.stdout), _descriptor(sys.stderr)
        log = notes if json else results
        dumb = environ.get("TERM", "dumb") in ("dumb", "unknown", "")
        return cls(
            log,
            notes,
            results,
            terminal=os.isatty(log),
            live=not dumb and _same_terminal(log, notes),
            unicode="utf" in (getattr(sys.stderr, "encoding", None) or "").lower(),
        )

    @property
    def attended(self) -> bool:
        """Whether somebody sits at the terminal who sees the notes and can answer."""
        try:
            return os.isatty(0) and os.isatty(self.notes) and os.tcgetpgrp(0) == os.getpgrp()
        except OSError:
            return False

    def reports(self, reports: Sequence[Report]) -> str:
        """Return the summary for a person, as wide as the terminal; outside one, lines are not broken."""
        console = self.console()
        with console.capture() as captured:
            show_reports(console, reports, self.unicode)
        return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    def console(self) -> Console:
        """Return a console that renders for the notes, to be captured."""
        if not os.isatty(self.notes):
            return Console(file=io.StringIO(), width=10_000, color_system=None)
        return Console(file=io.StringIO(), width=columns(self.notes), force_terminal=True)


def _descriptor(stream: TextIO | None) -> int:
    """Return the file descriptor of a standard stream; of nothing where it was closed before the start."""
    return os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()


def _same_terminal(one: int, other: int) -> bool:
    return os.isatty(one) and os.isatty(other) and os.fstat(one).st_rdev == os.fstat(other).st_rdev


def columns(fd: int) -> int:
    """Return the terminal's width in characters; 80 where it does not tell."""
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80


def printed(what: RenderableType) -> str:
    """Return something of rich's as text for standard output: as wide as its terminal, or plain."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
    console = Console(file=io.StringIO(), width=width, force_terminal=sys.stdout.isatty() or None)
    with console.capture() as captured:
        console.print(what)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
