"""Strategies for payloads: what a merged schema lets pass, and what it never does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from ...specs.schemas import MergedSchema, Schema
from ._values import properties
from ._wrong_values import wrong_properties


def payloads(
    schema: MergedSchema | Schema, *, values: Mapping[str, st.SearchStrategy[Any]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of payloads that the schema lets pass; every one does.

    `schema` is what `Runtime.schema` holds, or what the `payload_schema` of one plugin or engine returns. `values`
    draws properties from elsewhere, by their names: those that a plugin judges by more than the schema says, or that a
    pattern describes so loosely that drawing takes long. What the schema refuses of them is left out.

    Raises: SchemaError for a schema that cannot be used; ValueError for a property that it does not have.

    >>> from hypothesis import find
    >>> schema = {"retries": {"type": "integer", "min": 1, "required": True}, "label": {"type": "string"}}
    >>> find(payloads(schema), lambda payload: True)
    {'retries': 1}
    """
    merged = _merged(schema, values)
    return properties(merged.properties, values).filter(lambda payload: not merged.violations(payload))


def invalid_payloads(
    schema: MergedSchema | Schema, *, values: Mapping[str, st.SearchStrategy[Any]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of payloads that the schema refuses, each for one property: never does one pass.

    The property is missing, unknown, or has a value that is wrong by itself or somewhere within: in its type, size,
    range, pattern or parts. `values` is as for `payloads`, for the other properties. Raises: as `payloads`.

    >>> from hypothesis import find
    >>> schema = {"retries": {"type": "integer", "min": 1, "required": True}}
    >>> find(invalid_payloads(schema), lambda payload: type(payload.get("retries")) is int)
    {'retries': 0}
    """
    merged = _merged(schema, values)
    wrong = wrong_properties(merged.properties, values)
    return wrong.filter(lambda payload: bool(merged.violations(payload)))


def _merged(schema: MergedSchema | Schema, values: Mapping[str, Any] | None) -> MergedSchema:
    merged = schema if isinstance(schema, MergedSchema) else MergedSchema.merge({"the schema": schema})
    if unknown := sorted((values or {}).keys() - merged.properties.keys()):
        known = ", ".join(merged.properties) or "none"
        raise ValueError(f"the schema has no property {', '.join(unknown)}; its properties: {known}")
    return merged
