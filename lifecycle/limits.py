"""How long everything may take, and how long the log may grow: the bounds of one run."""

from __future__ import annotations

from typing import Any

import attrs


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be 0 or more seconds, not {value!r}")


def _a_size(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{attribute.name} must be 0 or more bytes, or None for any number, not {value!r}")


@attrs.frozen
class Limits:
    """Bounds in seconds, but for that of the log; the defaults are the design's.

    >>> Limits(hook_timeout=60).cancel_grace
    5.0
    """

    cancel_grace: float = attrs.field(default=5.0, validator=_positive)
    """After an abort, the time hooks have to return by themselves before they are cancelled."""
    abandon_grace: float = attrs.field(default=1.0, validator=_positive)
    """After being cancelled, the time a hook has to end before it is fenced and abandoned."""
    hook_timeout: float = attrs.field(default=1800.0, validator=_positive)
    """The longest that any hook or engine call may take, waiting for the sandbox's end excepted."""
    dispose_budget: float = attrs.field(default=60.0, validator=_positive)
    """The longest that one step of dispose may take."""
    dispose_total: float = attrs.field(default=120.0, validator=_positive)
    """The longest that all steps of dispose may take together."""
    report_budget: float = attrs.field(default=60.0, validator=_positive)
    """The longest that reporting the resolution may take."""
    journal_budget: float = attrs.field(default=30.0, validator=_positive)
    """The longest that the journal may take to make something durable."""
    max_log_bytes: int | None = attrs.field(default=10 * 1024**3, validator=_a_size)
    """How long a log may grow by what the task writes, in bytes, None for any length.

    By default more than anybody reads, and less than what fills a disk: a task that prints for ever writes a
    gigabyte each second, and the disk is that of all the other tasks too.
    """
