"""Values that the rules of one property let pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hypothesis import strategies as st

from ...specs._schema_lint import plain
from ...specs._schema_wording import type_names
from ...specs.durations import format_duration
from ...specs.instants import format_instant
from ...specs.schemas import MergedSchema, Rules
from ...specs.slugs import SLUG_PATTERN

Values = st.SearchStrategy[Any]

MORE = 4
"""How many items more than it must have a list, an object or a text is drawn with."""

ANY_TYPE = ("string", "integer", "number", "boolean", "list", "dict")
"""What JSON has beside null."""

TEXTS = st.text(max_size=8)
SCALARS: Values = st.booleans() | st.integers(-(2**31), 2**31) | TEXTS
JSON: Values = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
"""Any JSON but null."""


def declared_types(rules: Rules, inherited: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the types that rules name, or else those of the rules around them; none if any will do."""
    return tuple(type_names(rules["type"])) if "type" in rules else tuple(inherited)


def check_of(rules: Rules, inherited: Sequence[str] = ()) -> Callable[[Any], bool]:
    """Return whether a value passes these rules, as a function."""
    typed = {"type": list(inherited), **rules} if inherited else rules
    schema = MergedSchema.merge({"a strategy": {"value": {**plain(typed), "required": True}}})
    return lambda value: not schema.violations({"value": value})


def alternatives(rules: Rules) -> list[Rules]:
    """Return the rules with each of its alternatives put into them; the rules themselves if there are none."""
    around = {name: rule for name, rule in rules.items() if name != "anyof"}
    return [{**around, **alternative} for alternative in rules.get("anyof", [{}])]


def values(rules: Rules, inherited: Sequence[str] = ()) -> Values:
    """Return a strategy of values that pass; `inherited` are the types of the rules around an alternative."""
    types = declared_types(rules, inherited)
    drawn: list[Values] = []
    for whole in alternatives(rules):
        if "anyof" in whole:
            drawn.append(values(whole, types))
        else:
            drawn += [_of_type(name, whole) for name in declared_types(whole, types) or ANY_TYPE]
    if rules.get("nullable"):
        drawn.append(st.none())
    return st.one_of(drawn).filter(check_of(rules, inherited))


def _of_type(name: str, rules: Rules) -> Values:
    if "allowed" in rules:
        allowed = st.sampled_from(rules["allowed"])
        if name != "list":
            return allowed
        return sized(rules, lambda least, most: st.lists(allowed, min_size=least, max_size=most))
    match name:
        case "string" | "datetime":  # an instant in JSON is a string
            return _texts(rules)
        case "integer":
            return _between(st.integers, _bound(rules, "min", math.ceil), _bound(rules, "max", math.floor))
        case "float" | "number":
            return _numbers(rules)
        case "boolean":
            return st.booleans()
        case "list":
            return _lists(rules)
        case _:
            return _objects(rules)


def _bound(rules: Rules, name: str, rounded: Callable[[float], int]) -> int | None:
    return rounded(rules[name]) if name in rules else None


def _numbers(rules: Rules) -> Values:
    low, high = rules.get("min"), rules.get("max")
    if "duration" in _checks(rules):
        low = max(low or 0, 0)
    return _between(partial(st.floats, allow_nan=False, allow_infinity=False), low, high)


def _between(numbers: Callable[..., Values], low: float | None, high: float | None) -> Values:
    empty = low is not None and high is not None and low > high
    return st.nothing() if empty else numbers(low, high)


def _texts(rules: Rules) -> Values:
    checks = _checks(rules)
    if "duration" in checks:
        return st.integers(0, 10**7).map(lambda milliseconds: format_duration(milliseconds / 1000))
    if "instant" in checks:
        return st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
            format_instant
        )
    if "slug" in checks:
        return st.from_regex(SLUG_PATTERN, fullmatch=True)
    if "regex" in rules:
        return st.from_regex(rules["regex"], fullmatch=True)
    return sized(rules, lambda least, most: st.text(min_size=least, max_size=most))


def _checks(rules: Rules) -> list[Any]:
    checks = rules.get("check_with", ())
    return list(checks) if isinstance(checks, list | tuple) else [checks]


def sized(rules: Rules, of_size: Callable[[int, int], Values]) -> Values:
    """Return what `of_size` makes of the least size that the rules let pass, and the greatest or one not far above."""
    least = max(rules.get("minlength", 0), int(rules.get("empty") is False))
    return of_size(least, max(least, min(rules.get("maxlength", least + MORE), least + MORE)))


def _lists(rules: Rules) -> Values:
    if "items" in rules:
        return st.tuples(*(values(item) for item in rules["items"])).map(list)
    item = values(rules["schema"]) if "schema" in rules else JSON
    return sized(rules, lambda least, most: st.lists(item, min_size=least, max_size=most))


def _objects(rules: Rules) -> Values:
    if "schema" in rules:
        return properties(rules["schema"])
    keys = values({"type": "string", **rules.get("keysrules", {})})
    inner = values(rules["valuesrules"]) if "valuesrules" in rules else JSON
    return sized(rules, lambda least, most: st.dictionaries(keys, inner, min_size=least, max_size=most))


def properties(schema: Mapping[str, Rules], given: Mapping[str, Values] | None = None) -> Values:
    """Return a strategy of objects with these properties; `given` draws some of them from elsewhere."""
    drawn = {
        name: given[name].filter(check_of(rules)) if given and name in given else values(rules)
        for name, rules in schema.items()
    }
    required = {name for name, rules in schema.items() if rules.get("required")}
    return st.fixed_dictionaries(
        {name: one for name, one in drawn.items() if name in required},
        optional={name: one for name, one in drawn.items() if name not in required},
    )


def names_beside(known: Iterable[str]) -> Values:
    """Return a strategy of names that are none of these, misspelt ones among them."""
    taken = set(known)
    near = [near for name in sorted(taken) for near in (f"{name}s", name.upper()) if near not in taken]
    some = st.sampled_from([*near, "unknown"]) | st.text(min_size=1, max_size=8)
    return some.filter(lambda name: name not in taken)
