"""`stagecall export`: a lifecycle in the languages of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...lifecycle.export import ExportError, promela, scxml
from ...specs.lifecycle import Lifecycle
from .exits import Problem
from .inspect import declared_lifecycle

FORMATS: Mapping[str, Callable[[Lifecycle], str]] = {"promela": promela, "scxml": scxml}

SUFFIXES = {".pml": "promela", ".promela": "promela", ".scxml": "scxml", ".xml": "scxml"}
"""The format that the name of an output file asks for."""


def export(format: str, lifecycle_file: str | None) -> str:
    """Return a lifecycle, sound or not, in one of `FORMATS`. Raises: Problem."""
    try:
        return FORMATS[format](declared_lifecycle(lifecycle_file))
    except ExportError as error:
        raise Problem(f"{lifecycle_file or 'the lifecycle'}: {error}") from error
