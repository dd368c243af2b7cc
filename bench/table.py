"""The table for people, on stderr: with rich where it is installed, else plain; below it what each figure is
made of.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEAD = ("row", "here", "floor", "x floor", "reference", "x floor then", "target", "")
WIDTH = 132
"""Where there is no terminal to ask for its width."""


def show(told: Mapping[str, Any]) -> None:
    """Print the table of a benchmark's document."""
    lines = [_line(row) for row in told["rows"]]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _print_plain(lines)
    else:
        table = Table(*HEAD, box=None, header_style="bold", pad_edge=False)
        for number, column in enumerate(table.columns):
            column.no_wrap = True
            column.justify = "left" if number in (0, len(HEAD) - 1) else "right"
        for line in lines:
            table.add_row(*line)
        width = max(WIDTH, shutil.get_terminal_size().columns)
        Console(stderr=True, markup=False, highlight=False, width=width).print(table)
    for row in told["rows"]:
        _say("", *_notes(row))
    if told["quick"]:
        _say("", "This was a quick look: the figures mean nothing.")


def _print_plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in (HEAD, *lines)) for column in range(len(HEAD))]
    for line in (HEAD, *lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        _say("  ".join(cells).rstrip())


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    unit = row["unit"]
    judged = (
        _quantity(row["reference"], unit),
        _quantity(row["reference_ratio"], ""),
        _quantity(row["target"], unit),
    )
    if "value" not in row:
        return (row["row"], "", "", "", *judged, "failed" if "error" in row else "not here")
    return (
        row["row"],
        _quantity(row["value"], unit),
        _quantity(row["floor"]["value"], row["floor"]["unit"]),
        _quantity(row["ratio"], ""),
        *judged,
        {True: "met", False: "missed", None: ""}[row["met"]],
    )


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['row']}: {row['title']}"
    if "value" not in row:
        yield from (f"    {line}" for line in (row.get("error") or row["unavailable"]).splitlines())
        return
    lowest, highest = (_quantity(value, row["unit"]) for value in row["spread"])
    yield f"    from {lowest} to {highest}; the floor is {row['floor']['title']}"
    for figure in row["beside"]:
        yield f"    {_quantity(figure['value'], figure['unit']):>12}  {figure['title']}"


def _quantity(value: float | str | None, unit: str) -> str:
    if value is None:
        return ""
    shown = value if isinstance(value, str) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{shown} {unit}".rstrip()


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
