"""cerberus, made to judge as JSON Schema does, survive any document, and take time in proportion to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import cerberus
from cerberus import TypeDefinition, errors

from .schema_checks import CHECKS


class Validator(cerberus.Validator):  # type: ignore[misc]  # cerberus ships no types
    """A cerberus validator with these differences.

    True is no number and bytes are no list. `regex` must match the whole text, a final newline included.
    Comparisons pass over values that are not comparable. An unknown property is refused inside `anyof` at any
    depth. A null that is not allowed is one error.

    Docstrings of rule methods are read by cerberus: each is a schema of the rule's constraint.
    """

    types_mapping: ClassVar[dict[str, Any]] = {
        "boolean": TypeDefinition("boolean", (bool,), ()),
        "datetime": TypeDefinition("datetime", (datetime,), ()),
        "dict": TypeDefinition("dict", (Mapping,), ()),
        "float": TypeDefinition("float", (int, float), (bool,)),
        "integer": TypeDefinition("integer", (int,), (bool,)),
        "list": TypeDefinition("list", (Sequence,), (str, bytes, bytearray)),
        "number": TypeDefinition("number", (int, float), (bool,)),
        "string": TypeDefinition("string", (str,), ()),
    }

    _valid_schemas: ClassVar[set[Any]] = set()

    @property
    def findings(self) -> list[Any]:
        """The errors of the last document, as cerberus keeps them."""
        return list(self._errors)

    def forget(self) -> None:
        """Let go of the last document, so that an idle validator keeps none alive."""
        self.document = None
        self.recent_error: Any = None
        self._errors = errors.ErrorList()

    def _error(self, *args: Any) -> None:
        # cerberus sorts all errors after each one and files them in two trees that only rules we do not use
        # look at: with thousands of errors in one document that takes minutes.
        if len(args) == 1:
            self._errors.extend(args[0])
            return
        super()._error(*args)
        self.recent_error.level = self.schema

    def _check_with_duration(self, field: Any, value: Any) -> None:
        self._check_named("duration", field, value)

    def _check_with_instant(self, field: Any, value: Any) -> None:
        self._check_named("instant", field, value)

    def _check_with_size(self, field: Any, value: Any) -> None:
        self._check_named("size", field, value)

    def _check_with_slug(self, field: Any, value: Any) -> None:
        self._check_named("slug", field, value)

    def _check_named(self, name: str, field: Any, value: Any) -> None:
        if not CHECKS[name].accepts(value):
            self._error(field, f"must be {CHECKS[name].form}")

    def _validate_allowed(self, allowed: Sequence[Any], field: Any, value: Any) -> None:
        """{'type': 'list'}"""
        values = value if isinstance(value, list | tuple) else [value]
        if not all(_is_among(value, allowed) for value in values):
            self._error(field, errors.UNALLOWED_VALUE)

    def _validate_anyof(self, definitions: Sequence[Any], field: Any, value: Any) -> None:
        """{'type': 'list', 'logical': 'anyof'}"""
        inherited = {rule: self.schema[field][rule] for rule in ("type",) if rule in self.schema[field]}
        refusals = []
        for index, definition in enumerate(definitions):
            child = self._get_child_validator(
                schema_crumb=(field, "anyof", index), schema={field: inherited | definition}
            )
            if child.validate({field: value}, normalize=False):
                return
            refusals.append(child.findings)
        self._error(field, errors.ANYOF, [error for refusal in refusals for error in refusal], refusals)

    def _validate_items(self, items: Sequence[Any], field: Any, value: Any) -> None:
        """{'type': 'list', 'check_with': 'items'}"""
        if isinstance(value, list | tuple):
            super()._validate_items(items, field, value)

    def _validate_max(self, limit: float, field: Any, value: Any) -> None:
        """{'type': 'number'}"""
        if _is_number(value) and value > limit:
            self._error(field, errors.MAX_VALUE)

    def _validate_min(self, limit: float, field: Any, value: Any) -> None:
        """{'type': 'number'}"""
        if _is_number(value) and value < limit:
            self._error(field, errors.MIN_VALUE)

    def _validate_nullable(self, nullable: bool, field: Any, value: Any) -> None:
        """{'type': 'boolean'}"""
        if value is None:
            if not nullable:
                self._error(field, errors.NOT_NULLABLE)
            self._drop_remaining_rules()

    def _validate_regex(self, pattern: str, field: Any, value: Any) -> None:
        """{'type': 'string'}"""
        if isinstance(value, str) and re.fullmatch(pattern, value) is None:
            self._error(field, errors.REGEX_MISMATCH)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_among(value: object, allowed: Sequence[object]) -> bool:
    """Tell whether `value` is one of `allowed`, where 1 and True are not the same."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)
