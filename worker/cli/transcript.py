"""Shows one run's log as it grows, with the stage lines where they belong between its bytes.

A stage line is not simply printed when the run moves: the log's reader is always a little behind, and the
last output of a task would come after the line of the stage that followed it. So each line remembers how long
the log was, and is shown once the reader has come that far.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import attrs

from ...specs.trace import Event, Kind
from .escapes import TerminalLines, colourless, harmless, last_overwrite

MAX_LINE = 65_536
"""Bytes of a line that are held back, where only whole lines are shown; a longer one is broken."""

PREVIEW = 4096
"""Bytes at the end of the line begun that are looked at to show it before it is complete."""


class Output(Protocol):
    """Where a transcript goes; `Screen` is one."""

    async def log(self, data: bytes) -> None:
        """Write a piece of the log; returns once it is written."""

    def note(self, text: str) -> None:
        """Write text about the runs, without waiting for it."""


@attrs.define
class LineSplitter:
    r"""Holds back the line that is not complete yet.

    >>> lines = LineSplitter()
    >>> lines.feed(b"one\ntw"), lines.feed(b"o\n"), lines.rest
    (b'one\n', b'two\n', b'')
    """

    rest: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Return the lines that are complete now."""
        complete, newline, rest = (self.rest + data).rpartition(b"\n")
        self.rest = rest
        if len(rest) > MAX_LINE:
            return complete + newline + self.finish()
        return complete + newline

    def finish(self) -> bytes:
        """Return the last line, made complete."""
        rest, self.rest = self.rest, b""
        return rest + b"\n" if rest else b""


class Transcript:
    """One run's log on its way to the output.

    On a terminal, lines are made fit for it; with a `prefix`, lines are complete and marked; else the bytes
    pass as they are. `stage_line` makes the line that is noted for a stage, None where a board shows the
    stage; `preview` is told the line that is not complete yet.
    """

    def __init__(
        self,
        output: Output,
        *,
        terminal: bool,
        prefix: str = "",
        stage_line: Callable[[Event], str] | None = None,
        preview: Callable[[str], None] | None = None,
    ) -> None:
        self._output = output
        self._prefix = prefix
        self._stage_line = stage_line
        self._preview = preview
        self._lines = LineSplitter() if terminal or prefix else None
        self._painter = TerminalLines(prefix) if terminal else None
        self._shown = 0
        self._stage_lines: deque[tuple[int, str]] = deque()

    def observe(self, event: Event, log_bytes: int) -> None:
        """Note the stage that a run entered when its log had `log_bytes`."""
        if self._stage_line is not None and event.kind is Kind.MOVE:
            self._stage_lines.append((log_bytes, self._stage_line(event)))
            self._note_stages()

    async def follow(self, log: AsyncIterator[bytes]) -> None:
        """Show the log until it is closed."""
        async for data in log:
            while data:
                piece = data[: self._until_stage_line(len(data))]
                data = data[len(piece) :]
                await self._show(piece)
        if self._lines is not None and (rest := self._lines.finish()):
            await self._output.log(self._rendered(rest))
        self._show_preview()
        self._shown = sys.maxsize
        self._note_stages()

    def _until_stage_line(self, size: int) -> int:
        return self._stage_lines[0][0] - self._shown if self._stage_lines else size

    async def _show(self, piece: bytes) -> None:
        complete = piece if self._lines is None else self._lines.feed(piece)
        if complete:
            await self._output.log(self._rendered(complete))
        self._shown += len(piece)
        self._show_preview()
        self._note_stages()

    def _note_stages(self) -> None:
        while self._stage_lines and self._stage_lines[0][0] <= self._shown:
            self._output.note(self._stage_lines.popleft()[1])

    def _rendered(self, lines: bytes) -> bytes:
        if self._painter is not None:
            return self._painter.render(lines.decode("utf-8", "replace")).encode()
        if self._prefix:
            prefix = self._prefix.encode()
            return b"".join(prefix + line + b"\n" for line in lines.removesuffix(b"\n").split(b"\n"))
        return lines

    def _show_preview(self) -> None:
        if self._preview is not None and self._lines is not None:
            rest = self._lines.rest[-PREVIEW:].decode("utf-8", "replace")
            self._preview(last_overwrite(colourless(harmless(rest))).expandtabs())
