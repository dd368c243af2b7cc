"""What the broken engines leave behind on purpose, for whoever runs them to clean up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LEFT: list[Callable[[], Any]] = []
"""What ends each of the things that are still there, the last first."""


def clean_up() -> None:
    """End all that mutants have left behind: processes, files, sockets, threads."""
    while LEFT:
        LEFT.pop()()
