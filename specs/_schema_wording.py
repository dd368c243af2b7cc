"""The words that violations and exported pages have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

_TYPES = {
    "boolean": "true or false",
    "datetime": "an instant",
    "dict": "an object",
    "float": "a number",
    "integer": "an integer",
    "list": "a list",
    "number": "a number",
    "string": "a string",
}

_SIZES = {"dict": "property", "list": "item", "string": "character"}


def kind(value: object) -> str:
    """Return what a value is.

    >>> kind(None), kind(True), kind([])
    ('null', 'a boolean', 'a list')
    """
    kinds: list[tuple[str, type | tuple[type, ...]]] = [
        ("null", type(None)),
        ("a boolean", bool),
        ("a number", (int, float)),
        ("a string", str),
        ("an object", Mapping),
        ("a list", (list, tuple)),
        ("an instant", date),
    ]
    return next((words for words, types in kinds if isinstance(value, types)), f"a {type(value).__name__}")


def type_names(constraint: str | Iterable[str]) -> tuple[str, ...]:
    """Return the types that a `type` rule names."""
    return (constraint,) if isinstance(constraint, str) else tuple(constraint)


def type_words(constraint: str | Iterable[str]) -> str:
    """Return what a `type` rule allows.

    >>> type_words(["number", "string"])
    'a number or a string'
    """
    return " or ".join(dict.fromkeys(_TYPES[name] for name in type_names(constraint)))


def size_words(amount: int, type_name: str | None) -> str:
    """Return a length with its unit; None is any type that has a length.

    >>> size_words(1, "string"), size_words(2, "dict"), size_words(2, None)
    ('1 character', '2 properties', '2 items')
    """
    unit = _SIZES.get(type_name or "list", "item")
    return f"{amount} {unit if amount == 1 else unit.replace('property', 'propertie') + 's'}"


def value_words(values: Iterable[Any]) -> str:
    """Return the values of an `allowed` rule.

    >>> value_words(["file", 3])
    '"file", 3'
    """
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
