"""A lifecycle from a document, and back: how an embedder declares stages of their own in YAML or JSON.

The document has a `name` and the list of `stages`; a stage has the fields of `Stage` in camelCase. It is
checked by a cerberus schema, then by the lint, so that what comes out is sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs

from .lifecycle import Combine, Lifecycle, Order, Stage
from .lifecycle_lint import lint
from .schemas import MergedSchema, structure

_NAME = {"type": "string", "regex": "[A-Za-z_][A-Za-z0-9_]*", "maxlength": 64}

STAGE_SCHEMA: Mapping[str, Mapping[str, Any]] = {
    "name": {**_NAME, "required": True, "meta": {"description": "the stage's name"}},
    "next": {**_NAME, "meta": {"description": "the stage that follows; the final stage has none"}},
    "onException": {**_NAME, "meta": {"description": "the stage that follows an error or abort in this one"}},
    "action": {
        **_NAME,
        "meta": {"description": "what the run does first: a method of the run, or an action of yours"},
    },
    "hook": {**_NAME, "meta": {"description": "the method of every task plugin that is called then"}},
    "arguments": {"type": "list", "schema": _NAME, "meta": {"description": "the values the hook is given"}},
    "combine": {
        "type": "string",
        "allowed": [combine.value for combine in Combine],
        "meta": {
            "description": "what becomes of the values that hooks return",
            "default": Combine.NOTHING.value,
        },
    },
    "order": {
        "type": "string",
        "allowed": [order.value for order in Order],
        "meta": {"description": "in which order hooks are called", "default": Order.SIDE_BY_SIDE.value},
    },
    "actionCallsHook": {
        "type": "boolean",
        "meta": {"description": "whether the action itself calls the hook", "default": False},
    },
    "does": {"type": "string", "meta": {"description": "what the run does in this stage, in words"}},
}

LIFECYCLE_SCHEMA: Mapping[str, Mapping[str, Any]] = {
    "name": {
        "type": "string",
        "required": True,
        "empty": False,
        "meta": {"description": "what the lifecycle is called"},
    },
    "stages": {
        "type": "list",
        "required": True,
        "minlength": 1,
        "maxlength": 200,
        "schema": {"type": "dict", "schema": STAGE_SCHEMA},
        "meta": {"description": "the stages; a run begins in the first"},
    },
}


class LifecycleDocumentError(ValueError):
    """A document that declares no sound lifecycle.

    `problems` lists everything that is wrong, each with its place.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def read_lifecycle(document: Any) -> Lifecycle:
    """Return the lifecycle that a document declares, checked by the schema only.

    It may be unsound, for `lint` to explain.
    Raises: LifecycleDocumentError.
    """
    violations = lifecycle_schema().violations(document, root="lifecycle")
    if violations:
        raise LifecycleDocumentError([str(violation) for violation in violations])
    return Lifecycle(document["name"], tuple(_stage(stage) for stage in document["stages"]))


def load_lifecycle(document: Any) -> Lifecycle:
    """Return the sound lifecycle that a document declares. Raises: LifecycleDocumentError.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> load_lifecycle(lifecycle_document(TASK_RUN)).stages == TASK_RUN.stages
    True
    """
    lifecycle = read_lifecycle(document)
    findings = lint(lifecycle)
    if findings:
        raise LifecycleDocumentError([str(finding) for finding in findings])
    return lifecycle


def lifecycle_document(lifecycle: Lifecycle) -> dict[str, Any]:
    """Return the document that declares a lifecycle, as it would be written in YAML, defaults left out."""
    return {"name": lifecycle.name, "stages": [_written(stage) for stage in lifecycle.stages]}


@cache
def lifecycle_schema() -> MergedSchema:
    """Return the schema of a lifecycle's document."""
    return MergedSchema.merge({"lifecycle": LIFECYCLE_SCHEMA})


def _stage(document: Mapping[str, Any]) -> Stage:
    return structure(Stage, document)


def _written(stage: Stage) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for field in attrs.fields(Stage):
        value = getattr(stage, field.name)
        if value != field.default:
            head, *rest = field.name.split("_")
            plain = value.value if isinstance(value, (Combine, Order)) else value
            written[head + "".join(map(str.title, rest))] = list(plain) if isinstance(plain, tuple) else plain
    return written
