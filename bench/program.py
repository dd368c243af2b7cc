"""The command line: measures each row in a process of its own, and prints a table (on stderr) and JSON (on stdout)."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.effort import Effort
from bench.rows import ROWS, Row
from bench.table import show

VERSION = 1
ROW_SECONDS = 900.0
"""The longest that one row may take."""


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; return 1 if a row failed."""
    options = _parser().parse_args(arguments)
    effort = Effort(options.quick)
    if options.in_this_process:
        print(json.dumps(ROWS[options.in_this_process].run(effort)))
        return 0
    rows = []
    for name in options.only or ROWS:
        if not options.json:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows.append(_in_own_process(ROWS[name], effort))
    told = {"version": VERSION, "quick": effort.quick, "machine": _machine(), "rows": rows}
    if not options.json:
        show(told)
    print(json.dumps(told, indent=2))
    return int(any("error" in row for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure stagecall, each figure beside a bare floor."
    )
    parser.add_argument("--json", action="store_true", help="print the JSON only")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument(
        "--quick", action="store_true", help="only see that the rows work; their figures mean nothing"
    )
    parser.add_argument("--in-this-process", choices=ROWS, help=argparse.SUPPRESS)
    return parser


def _in_own_process(row: Row, effort: Effort) -> dict[str, Any]:
    """Measure a row in a fresh process: what one row imports, allocates or breaks must not touch another."""
    known = row.to_document()
    program = [sys.executable, str(Path(__file__).parent), "--in-this-process", row.name]
    try:
        process = subprocess.run(
            program + ["--quick"] * effort.quick,
            capture_output=True,
            text=True,
            timeout=ROW_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return known | {"error": f"took longer than {ROW_SECONDS:g} s"}
    if process.returncode != 0:
        return known | {"error": process.stderr.strip()[-2000:]}
    return known | json.loads(process.stdout)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
