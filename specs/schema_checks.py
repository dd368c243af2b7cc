"""The checks that a schema may ask for by name (`check_with: duration`), each with its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from .durations import DURATION_FORM, DURATION_PATTERN, parse_duration
from .instants import INSTANT_FORM, parse_instant
from .sizes import MOST_BYTES, SIZE_FORM, SIZE_PATTERN, parse_size
from .slugs import SLUG_PATTERN, is_slug


@attrs.frozen
class Check:
    """A named check for values of `types`: `form` is what is allowed, `json_schema` the same as keywords.

    `parse` raises ValueError for anything else.
    """

    types: frozenset[str]
    form: str
    json_schema: Mapping[str, Any]
    parse: Callable[[Any], object]

    def accepts(self, value: object) -> bool:
        """Tell whether the value is allowed.

        >>> CHECKS["duration"].accepts("5 minutes"), CHECKS["instant"].accepts("tomorrow")
        (True, False)
        """
        try:
            self.parse(value)
        except ValueError:
            return False
        return True


def _parse_slug(value: object) -> None:
    if not isinstance(value, str) or not is_slug(value):
        raise ValueError("not a slug")


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "duration": Check(
            frozenset({"float", "integer", "number", "string"}),
            f"seconds, or {DURATION_FORM}",
            {"minimum": 0, "minLength": 1, "pattern": f"^(?:{DURATION_PATTERN})$"},
            parse_duration,
        ),
        "instant": Check(
            frozenset({"datetime", "string"}),
            INSTANT_FORM,
            {"format": "date-time"},
            parse_instant,
        ),
        "size": Check(
            frozenset({"integer", "string"}),
            f"bytes, or {SIZE_FORM}",
            {"minimum": 0, "maximum": MOST_BYTES, "pattern": f"^(?:{SIZE_PATTERN})$"},
            parse_size,
        ),
        "slug": Check(
            frozenset({"string"}),
            'a 22-character slug, such as "VRzKBhTiQ0-FuPzN5AAWUA"',
            {"pattern": f"^{SLUG_PATTERN}$"},
            _parse_slug,
        ),
    }
)
