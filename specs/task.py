"""The task definition: what a task file or the queue says about a task, around the payload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import attrs

from .instants import INSTANT_FORM, LATEST, format_instant, parse_instant
from .schemas import Violation
from .slugs import is_slug, new_slug
from .task_schema import Priority, Requires, task_schema

__all__ = [
    "Metadata",
    "Priority",
    "Requires",
    "TaskDefinition",
    "TaskDefinitionError",
    "TaskInfo",
    "is_slug",
    "new_slug",
]

DEADLINE_AFTER = timedelta(days=1)
"""From `created` to `deadline`, where the definition does not say."""

EXPIRES_AFTER = timedelta(days=365)
"""From `created` to `expires`, where the definition does not say; never before `deadline`."""


class TaskDefinitionError(ValueError):
    """A document that is no task definition: `violations` are all that is wrong with it."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(str, self.violations)))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen
class Metadata:
    """What people want to know about a task."""

    name: str | None = None
    description: str | None = None
    owner: str | None = None
    source: str | None = None


@attrs.frozen
class TaskDefinition:
    """A task as its author defined it; instants are aware datetimes in UTC, created < deadline <= expires.

    `task_queue_id` is `provisionerId/workerType`, whichever way it was written. `payload`, `tags` and `extra`
    are those of the document, not copied: leave them as they are.
    """

    payload: Mapping[str, Any]
    created: datetime = attrs.field(converter=parse_instant)
    deadline: datetime = attrs.field(converter=parse_instant)
    expires: datetime = attrs.field(converter=parse_instant)
    task_id: str | None = None
    run_id: int | None = None
    task_queue_id: str | None = None
    scheduler_id: str | None = None
    project_id: str | None = None
    task_group_id: str | None = None
    dependencies: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    requires: Requires = attrs.field(default=Requires.ALL_COMPLETED, converter=Requires)
    routes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    priority: Priority = attrs.field(default=Priority.LOWEST, converter=Priority)
    retries: int = 5
    scopes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    metadata: Metadata = Metadata()
    tags: Mapping[str, str] = attrs.field(factory=dict)
    extra: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, document: Any, now: datetime | None = None) -> TaskDefinition:
        """Return the definition that a document in wire form (instants may be aware datetimes) holds.

        `now` is aware, and `created` if the document has none; by default it is the time of the call.
        Raises: TaskDefinitionError with every violation.

        >>> noon = datetime(2030, 1, 31, 12, tzinfo=UTC)
        >>> definition = TaskDefinition.parse({"payload": {"command": ["true"]}}, now=noon)
        >>> definition.deadline - definition.created
        datetime.timedelta(days=1)
        >>> TaskDefinition.parse({"payload": {}, "deadlin": "2030-02-01T00:00:00Z"})
        Traceback (most recent call last):
        stagecall.specs.task.TaskDefinitionError: task.deadlin: unknown property; did you mean "deadline"?
        """
        found = task_schema().violations(document, root="task")
        if not found:
            instants = _instants(document, now)
            found = (*_queue_faults(document), *_instant_faults(**instants))
        if found:
            raise TaskDefinitionError(found)
        given = {name: document[wire] for name, wire in _WIRE_NAMES.items() if wire in document}
        given["metadata"] = Metadata(**document.get("metadata", {}))
        given["task_queue_id"] = _task_queue_id(document)
        return cls(**given | instants)

    def to_document(self) -> dict[str, Any]:
        """Return the wire form: every property that has a value, defaults included, instants as text.

        >>> TaskDefinition.parse({"payload": {}}).to_document()["priority"]
        'lowest'
        """
        document: dict[str, Any] = {}
        for field in attrs.fields(TaskDefinition):
            value = getattr(self, field.name)
            if value is not None:
                document[_WIRE_NAMES[field.name]] = _to_wire(value)
        return document


@attrs.frozen
class TaskInfo:
    """The facts of one run: `run_id` counts the attempts from 0; instants are aware datetimes in UTC."""

    task_id: str
    run_id: int
    created: datetime
    deadline: datetime
    expires: datetime
    scopes: tuple[str, ...]
    task: TaskDefinition

    @classmethod
    def from_definition(cls, definition: TaskDefinition, run_id: int | None = None) -> TaskInfo:
        """Return the facts of a run; `run_id` is by default the definition's or 0, a missing task id made up.

        >>> info = TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}))
        >>> info.run_id, len(info.task_id)
        (0, 22)
        """
        return cls(
            task_id=definition.task_id or new_slug(),
            run_id=(definition.run_id or 0) if run_id is None else run_id,
            created=definition.created,
            deadline=definition.deadline,
            expires=definition.expires,
            scopes=definition.scopes,
            task=definition,
        )


_WIRE_NAMES = {
    "task_id": "taskId",
    "run_id": "runId",
    "task_queue_id": "taskQueueId",
    "scheduler_id": "schedulerId",
    "project_id": "projectId",
    "task_group_id": "taskGroupId",
}
_WIRE_NAMES |= {field.name: _WIRE_NAMES.get(field.name, field.name) for field in attrs.fields(TaskDefinition)}


def _instants(document: Mapping[str, Any], now: datetime | None) -> dict[str, datetime]:
    given = {
        name: parse_instant(document[name]) for name in ("created", "deadline", "expires") if name in document
    }
    created = given.get("created") or parse_instant(now or datetime.now(UTC))
    deadline = given.get("deadline", created + DEADLINE_AFTER)
    return {
        "created": created,
        "deadline": deadline,
        "expires": max(created + EXPIRES_AFTER, deadline),
    } | given


def _instant_faults(created: datetime, deadline: datetime, expires: datetime) -> Iterator[Violation]:
    if deadline <= created:
        yield Violation("task.deadline", f"must be after created, which is {format_instant(created)}")
    if expires < deadline:
        yield Violation("task.expires", f"must not be before deadline, which is {format_instant(deadline)}")
    if expires > LATEST:
        yield Violation("task.expires", f"must be {INSTANT_FORM}")


def _task_queue_id(document: Mapping[str, Any]) -> str | None:
    if "provisionerId" in document:
        return f"{document['provisionerId']}/{document['workerType']}"
    return document.get("taskQueueId")


def _queue_faults(document: Mapping[str, Any]) -> Iterator[Violation]:
    halves = {name: document[name] for name in ("provisionerId", "workerType") if name in document}
    if len(halves) == 1:
        (there,) = halves
        missing = "workerType" if there == "provisionerId" else "provisionerId"
        yield Violation(f"task.{missing}", f"is missing; it must stand beside {there}, or taskQueueId alone")
    elif halves and document.get("taskQueueId", "/".join(halves.values())) != "/".join(halves.values()):
        yield Violation("task.taskQueueId", "must be provisionerId/workerType, or the two must be left out")


def _to_wire(value: Any) -> Any:
    match value:
        case datetime():
            return format_instant(value)
        case StrEnum():
            return value.value
        case tuple():
            return list(value)
        case Metadata():
            return attrs.asdict(value, filter=lambda _, part: part is not None)
    return value
