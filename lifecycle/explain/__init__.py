"""Tells a run in sentences, from its trace alone: for a person who wants to know why it became what it did."""

from __future__ import annotations

from collections.abc import Iterable

from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Trace
from . import chapters
from .story import Story

__all__ = ["explain"]

INDENT = "  "


def explain(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> list[str]:
    r"""Return the lines of an explanation: what the run was, then under headings what there is to tell of it.

    Text that tasks, plugins or files put into the trace is shown on one line, with what is not printable escaped, and
    shortened. Any trace that can be read can be explained, whole or not.

    >>> from datetime import UTC, datetime
    >>> from stagecall.specs.trace import Event, Kind
    >>> trace = Trace(datetime(2026, 1, 1, tzinfo=UTC), [
    ...     Event(0.0, Kind.RUN, "pending", detail={"task_id": "f6hHc4uMQnKlAaMhLhuSZw", "run_id": 0}),
    ...     Event(0.5, Kind.MOVE, "prepare", detail={"source": "pending"}),
    ...     Event(2.0, Kind.CALL, "prepare", "env", "new_task_plugin")])
    >>> print("\n".join(explain(trace)[:1]))
    Run 0 of task f6hHc4uMQnKlAaMhLhuSZw: it has no resolution, after 2s; its trace stops in prepare.
    """
    story = Story.of(trace, lifecycle)
    lines = [chapters.headline(story)]
    for heading, sentences in (
        ("What happened", chapters.way(story, trace)),
        ("Why", chapters.why(story, trace)),
        ("What did not go as it should", chapters.calls(story, trace)),
        ("Where it broke off", chapters.death(story)),
        ("The end", chapters.end(story, trace)),
        ("The rules", chapters.rules(story, trace)),
    ):
        lines += _chapter(heading, sentences)
    return lines


def _chapter(heading: str, sentences: Iterable[str]) -> list[str]:
    """Return a heading and the sentences under it; nothing if there are none."""
    told = [f"{INDENT}{sentence[:1].upper()}{sentence[1:]}" for sentence in sentences]
    return ["", heading, *told] if told else []
