"""The summary for a person: what became of the runs and why, where the time went, where everything lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from ...specs.durations import MILLISECOND, took
from .escapes import colourless, harmless

PAGE = "index.html"
"""What the page of a run is called in its folder."""

BAR = 24
"""Characters that a whole run is wide in the time line."""

INDENT = "   "

MAX_PLACES = 100
"""The most artifacts that are listed one by one."""

_STYLES = {"completed": "green", "failed": "red", "exception": "magenta"}
_UNICODE = {"completed": "✔", "failed": "✖", "exception": "⚠", "bar": "━"}
_ASCII = {"completed": "+", "failed": "x", "exception": "!", "bar": "="}


_SENTENCE = re.compile(r"; (?=decided: |overruled: |and \d+ more\Z|payload[.\[])")
"""Where a cause is broken into lines: before each link of the chain, and before each violation of the schema."""


@attrs.frozen
class Report:
    """One run as it ended: its summary, the folder of `run.json`, the plugins that said the task failed."""

    label: str
    summary: Mapping[str, Any]
    folder: Path
    refused_by: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """What became of the run; one that has no resolution counts as an exception."""
        return self.summary["resolution"] or "exception"

    @property
    def verdict(self) -> str:
        """What became of the run, with its reason."""
        return f"{self.state}: {self.summary['reason']}" if self.summary["reason"] else self.state

    @property
    def seconds(self) -> float:
        """How long the run took, its waiting in `pending` included."""
        stages = self.summary["stages"]
        return float(stages[-1]["start"] + stages[-1]["seconds"]) if stages else 0.0


def show_reports(console: Console, reports: Sequence[Report], unicode: bool) -> None:
    """Print one run in full, several as a table with what went wrong below it."""
    marks = _UNICODE if unicode else _ASCII
    console.print()
    if len(reports) == 1:
        _show_one(console, reports[0], marks)
    else:
        _show_several(console, reports, marks)
    console.print()


def _show_one(console: Console, report: Report, marks: Mapping[str, str]) -> None:
    headline = _verdict(report, marks)
    headline.append(f"  {report.label}", "bold").append(f"  {took(report.seconds)}")
    _print_lines(console, [headline, *_troubles(report)])
    console.print()
    console.print(_stages(report, marks["bar"]))
    console.print()
    _print_lines(console, _places(report))


def _print_lines(console: Console, lines: Sequence[Text] | Iterator[Text]) -> None:
    """Print lines as they are: a terminal that breaks a path itself lets it be copied in one piece."""
    for line in lines:
        console.print(line, soft_wrap=True)


def _verdict(report: Report, marks: Mapping[str, str]) -> Text:
    return Text().append(f" {marks[report.state]} {report.verdict}", f"bold {_STYLES[report.state]}")


def _troubles(report: Report) -> Iterator[Text]:
    """Yield why the run did not complete, and which hooks did not end well."""
    if report.summary["cause"]:
        yield from (_plain(f"{INDENT}{sentence}") for sentence in _SENTENCE.split(report.summary["cause"]))
    elif report.refused_by:
        yield Text(f"{INDENT}judged by {', '.join(report.refused_by)}")
    for hook in report.summary["hooks"]:
        if hook["outcome"] != "ok":
            how = f"{hook['outcome']} after {took(hook['seconds'])}"
            error = f": {hook['error']}" if hook["error"] else ""
            line = Text().append(f"{INDENT}{hook['stage']}: {hook['plugin']} {how}", "red")
            yield line.append_text(_plain(error))


def _stages(report: Report, mark: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    for stage in report.summary["stages"]:
        bar = _bar(stage["start"], stage["seconds"], report.seconds, mark)
        style = "dim" if stage["seconds"] < MILLISECOND else ""
        table.add_row(f"{INDENT}{stage['stage']}", took(stage["seconds"]), Text(bar, "cyan"), style=style)
    return table


def _bar(start: float, seconds: float, total: float, mark: str) -> str:
    """Return the part of the whole run's width that a stage took, where it took it.

    >>> _bar(1.0, 2.0, 4.0, "=")
    '      ============'
    """
    if total <= 0:
        return ""
    begin, end = round(start / total * BAR), round((start + seconds) / total * BAR)
    return " " * begin + mark * (end - begin)


def _places(report: Report) -> Iterator[Text]:
    """Yield where everything lies, each with its size; of very many artifacts some, those first that are none."""
    artifacts = report.summary["artifacts"]
    if len(artifacts) > MAX_PLACES:
        artifacts = sorted(artifacts, key=lambda artifact: artifact["storage"] != "error")
    for artifact in artifacts[:MAX_PLACES]:
        if artifact["storage"] == "object":
            place = artifact.get("path") or artifact.get("url") or artifact["name"]
            yield _place(artifact["bytes"], str(place))
        else:
            yield _absent(artifact)
    if hidden := artifacts[MAX_PLACES:]:
        size = decimal(sum(artifact["bytes"] or 0 for artifact in hidden))
        yield Text(f"{INDENT}{size:>10}  in {len(hidden)} more artifacts", "dim")
    trace, page = report.folder / "run.json", report.folder / PAGE
    yield _place(trace.stat().st_size if trace.exists() else None, str(trace))
    if page.exists():
        yield _place(page.stat().st_size, str(page))


def _place(size: int | None, path: str) -> Text:
    how_large = "" if size is None else decimal(size)
    return Text().append(f"{INDENT}{how_large:>10}  ", "dim").append_text(_plain(path))


def _absent(artifact: Mapping[str, Any]) -> Text:
    """Return the line of an artifact that is no file here."""
    if artifact["storage"] == "error":
        return _plain(f"{INDENT}{'none':>10}  {artifact['name']}: {artifact['reason']}", "red")
    leads_to = artifact.get("url") or artifact.get("target")
    return _plain(f"{INDENT}{artifact['storage']:>10}  {artifact['name']}: {leads_to}")


def _show_several(console: Console, reports: Sequence[Report], marks: Mapping[str, str]) -> None:
    verdicts = max(len(report.verdict) for report in reports)
    labels = max(len(report.label) for report in reports)
    for report in reports:
        line = _verdict(report, marks).append(" " * (verdicts - len(report.verdict)))
        line.append(f"  {report.label:{labels}}", "bold").append(f"  {took(report.seconds):>7}  ")
        _print_lines(console, [line.append_text(_plain(str(report.folder))), *_troubles(report)])


def _plain(text: str, style: str = "") -> Text:
    """Return text from elsewhere, which may hold anything, on one line and without control characters."""
    return Text(" ".join(colourless(harmless(text)).split("\n")).replace("\r", " "), style)
