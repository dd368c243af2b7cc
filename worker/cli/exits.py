"""Exit codes, and problems of the caller that are told in one line."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from ...lifecycle.errors import ExceptionReason
from ...lifecycle.resolution import Resolution


class Exit(enum.IntEnum):
    """What the command's exit code means; of several the worst, which is the highest, counts."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    MALFORMED_PAYLOAD = 3
    EXCEPTION = 4


class Problem(Exception):
    """Something the caller asked for that cannot be done: exit code 2; `lines` say what and where."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))


def exit_of(resolution: Resolution | None) -> Exit:
    """Return the exit code of one run; a run without a resolution did not get to its end.

    >>> exit_of(Resolution("exception", ExceptionReason.MALFORMED_PAYLOAD)).value
    3
    """
    if resolution is None:
        return Exit.EXCEPTION
    if resolution.state == "completed":
        return Exit.COMPLETED
    if resolution.state == "failed":
        return Exit.FAILED
    if resolution.reason is ExceptionReason.MALFORMED_PAYLOAD:
        return Exit.MALFORMED_PAYLOAD
    return Exit.EXCEPTION


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the worst of several exit codes, `COMPLETED` if there are none."""
    return max(codes, default=Exit.COMPLETED)
