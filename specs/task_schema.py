"""What a task definition may hold, as a schema; how its properties must fit together is in `specs/task.py`.

Source: the queue's task definition. Here only `payload` is required, and each part of `metadata` may be left
out.
"""

from __future__ import annotations

import enum
from functools import cache
from typing import Any

from .schemas import MergedSchema, Rules, Schema

_PRINTABLE = "[ -~]*"
_IDENTIFIER = "[A-Za-z0-9_-]{1,38}"


class Priority(enum.StrEnum):
    """How urgent a task is among others in its queue; `normal` is an old name of `lowest`."""

    HIGHEST = "highest"
    VERY_HIGH = "very-high"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    VERY_LOW = "very-low"
    LOWEST = "lowest"
    NORMAL = "normal"


class Requires(enum.StrEnum):
    """What must have become of a task's dependencies before it is scheduled."""

    ALL_COMPLETED = "all-completed"
    ALL_RESOLVED = "all-resolved"


@cache
def task_schema() -> MergedSchema:
    """Return the schema of task definitions, ready to check documents and to be exported.

    >>> [str(violation) for violation in task_schema().violations({}, root="task")]
    ['task.payload: is missing; it must be an object']
    """
    return MergedSchema.merge({"task definition": TASK_SCHEMA})


def _matching(pattern: str, description: str) -> Rules:
    return {"type": "string", "regex": pattern, "meta": {"description": description}}


def _instant(description: str) -> Rules:
    return {"type": ["string", "datetime"], "check_with": "instant", "meta": {"description": description}}


def _slug(description: str) -> Rules:
    return {"type": "string", "check_with": "slug", "meta": {"description": description}}


def _list(items: Rules, description: str) -> Rules:
    return {"type": "list", "schema": items, "meta": {"description": description}}


def _one_of(names: type[enum.StrEnum], description: str) -> Rules:
    return {"type": "string", "allowed": list(map(str, names)), "meta": {"description": description}}


_PEOPLE: dict[str, Any] = {name: {"type": "string"} for name in ("name", "description", "owner", "source")}

TASK_SCHEMA: Schema = {
    "taskId": _slug("Made up if absent."),
    "runId": {"type": "integer", "min": 0, "max": 1000, "meta": {"description": "The attempt, from 0."}},
    "taskQueueId": _matching(f"{_IDENTIFIER}/{_IDENTIFIER}", "Where the task is queued."),
    "provisionerId": _matching(_IDENTIFIER, "The first half of `taskQueueId`."),
    "workerType": _matching(_IDENTIFIER, "The second half of `taskQueueId`."),
    "schedulerId": _matching(_IDENTIFIER, "Who schedules the task."),
    "projectId": _matching("[A-Za-z0-9._/-]{1,500}", "What the task belongs to."),
    "taskGroupId": _slug("The tasks it is scheduled with."),
    "dependencies": _list(_slug("A task id."), "Tasks that must be resolved first."),
    "requires": _one_of(Requires, "What must have become of the dependencies."),
    "routes": _list({"type": "string", "regex": _PRINTABLE, "maxlength": 249}, "Where messages about it go."),
    "priority": _one_of(Priority, "How urgent it is."),
    "retries": {"type": "integer", "min": 0, "max": 49, "meta": {"description": "Further attempts."}},
    "created": _instant("Now if absent."),
    "deadline": _instant("When it must be resolved; a day after `created` if absent."),
    "expires": _instant("When it may be forgotten; a year after `created` if absent."),
    "scopes": _list({"type": "string", "regex": _PRINTABLE}, "What it may do."),
    "payload": {"type": "dict", "required": True, "meta": {"description": "Read by engine and plugins."}},
    "metadata": {"type": "dict", "schema": _PEOPLE, "meta": {"description": "For people."}},
    "tags": {"type": "dict", "valuesrules": {"type": "string", "maxlength": 4096}},
    "extra": {"type": "dict", "meta": {"description": "For other programs; not read here."}},
}
"""The properties of a task definition."""
