"""`stagecall diagram` and `schema`: what can be told without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ...lifecycle.diagram import dot, html, mermaid, svg
from ...lifecycle.explain import explain
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.lifecycle_yaml import LifecycleDocumentError, lifecycle_schema, read_lifecycle
from ...specs.schema_export import json_schema, markdown
from ...specs.schemas import MergedSchema
from ...specs.task_schema import task_schema
from ...specs.trace import Kind, Trace, TraceError
from ..runtime import Runtime
from .config import Available, WorkerConfig
from .exits import Problem
from .tasks import name_of, read_document

FORMATS: Mapping[str, Callable[[Lifecycle, Trace | None], str]] = {
    "mermaid": mermaid,
    "dot": dot,
    "svg": svg,
    "html": html,
}
SUFFIXES = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".html": "html",
}
"""The format that the name of an output file asks for."""

SUBJECTS = ("payload", "config", "task", "lifecycle")
"""What `stagecall schema` can tell about."""


def diagram(format: str, lifecycle_file: str | None, run_file: str | None) -> str:
    """Return the picture of a lifecycle, or of one run of it. Raises: Problem, DiagramError."""
    lifecycle = declared_lifecycle(lifecycle_file)
    trace = None if run_file is None else read_trace(run_file)
    if trace is not None and run_file is not None:
        check_same(lifecycle, trace, run_file)
    picture = FORMATS[format](lifecycle, trace)
    return picture if picture.endswith("\n") else f"{picture}\n"


def declared_lifecycle(file: str | None) -> Lifecycle:
    """Return the lifecycle that a file declares, sound or not, or that of task runs. Raises: Problem."""
    return TASK_RUN if file is None else lifecycle_of(read_document(file), file)


def lifecycle_of(document: Any, file: str) -> Lifecycle:
    """Return the lifecycle that a document declares, sound or not; `file` is where it stood. Raises: Problem."""
    try:
        return read_lifecycle(document)
    except LifecycleDocumentError as error:
        raise Problem(*(f"{name_of(file)}: {problem}" for problem in error.problems)) from error


def read_trace(file: str) -> Trace:
    """Return a stored trace. Raises: Problem."""
    return trace_of(read_document(file), file)


def trace_of(document: Any, file: str) -> Trace:
    """Return the trace that a document holds; `file` is where it stood. Raises: Problem."""
    try:
        return Trace.from_document(document)
    except TraceError as error:
        raise Problem(f"{name_of(file)}: {error}") from error


def check_same(lifecycle: Lifecycle, trace: Trace, file: str) -> None:
    """Refuse a trace of another lifecycle. Raises: Problem that names both."""
    told = [event.get("lifecycle") for event in trace.of(Kind.RUN)]
    if told and told[0] not in (None, lifecycle.name):
        raise Problem(
            f"{name_of(file)}: a run of the lifecycle {told[0]!r}, not of {lifecycle.name!r}; "
            "give its table with --lifecycle"
        )


def explanation(file: str, lifecycle_file: str | None) -> list[str]:
    """Return the lines that explain a stored run. Raises: Problem."""
    trace, lifecycle = read_trace(file), declared_lifecycle(lifecycle_file)
    if lifecycle_file is not None:
        check_same(lifecycle, trace, file)
    return explain(trace, lifecycle)


async def schema_of(subject: str, config: WorkerConfig, available: Available) -> tuple[MergedSchema, str]:
    """Return a schema and its title: of the payload for an engine and plugins, or of one of the files."""
    match subject:
        case "config":
            return available.schema(), "Worker configuration"
        case "task":
            return task_schema(), "Task definition"
        case "lifecycle":
            return lifecycle_schema(), "Lifecycle"
    runtime = await Runtime.create(config.engine, config.plugins, engine_config=config.engine_config)
    async with runtime:
        return runtime.schema, f"Payload for the engine {config.engine}"


def schema_text(schema: MergedSchema, title: str, as_json: bool) -> str:
    """Return the schema as JSON Schema 2020-12, or as a Markdown page."""
    if as_json:
        return json.dumps(json_schema(schema, title), indent=2, ensure_ascii=False) + "\n"
    return markdown(schema, title)
