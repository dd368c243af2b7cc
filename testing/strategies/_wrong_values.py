"""Values that the rules of one property do not let pass, each near to one that they do."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from ...specs.schemas import Rules
from ._values import (
    ANY_TYPE,
    JSON,
    TEXTS,
    Values,
    alternatives,
    check_of,
    declared_types,
    names_beside,
    properties,
    values,
)

OF_TYPE: Mapping[str, Values] = {
    "string": TEXTS,
    "integer": st.integers(-(2**31), 2**31),
    "number": st.floats(-1e9, 1e9),
    "boolean": st.booleans(),
    "list": st.lists(JSON, max_size=3),
    "dict": st.dictionaries(TEXTS, JSON, max_size=3),
}


def wrong_values(rules: Rules, inherited: Sequence[str] = ()) -> Values:
    """Return a strategy of values that do not pass; it is empty where all do."""
    passes = check_of(rules, inherited)
    near = [
        wrong for whole in alternatives(rules) for wrong in _near(whole, declared_types(whole, inherited))
    ]
    drawn = [*near, *_of_other_types(declared_types(rules, inherited))]
    if not rules.get("nullable"):
        drawn.append(st.none())
    return st.one_of(drawn).filter(lambda value: not passes(value))


def _of_other_types(types: Collection[str]) -> Iterator[Values]:
    for name in ANY_TYPE:
        if name not in types:
            yield OF_TYPE[name]


def _near(rules: Rules, types: Sequence[str]) -> Iterator[Values]:
    """Yield values of the right type that are wrong in something else."""
    types = types or ANY_TYPE
    if {"integer", "float", "number"} & set(types):
        yield from _beyond(rules)
    if "string" in types:
        yield from _wrong_texts(rules)
    if "list" in types:
        yield from _wrong_lists(rules)
    if "dict" in types:
        yield from _wrong_objects(rules)


def _beyond(rules: Rules) -> Iterator[Values]:
    if "min" in rules:
        yield st.integers(max_value=math.ceil(rules["min"]) - 1)
    if "max" in rules:
        yield st.integers(min_value=math.floor(rules["max"]) + 1)
    if "allowed" in rules or "check_with" in rules:
        yield st.integers(-1000, 1000)


def _wrong_texts(rules: Rules) -> Iterator[Values]:
    if rules.keys() & {"allowed", "regex", "check_with"}:
        yield TEXTS
    yield from _wrong_sizes(rules, lambda least, most: st.text(min_size=least, max_size=most))


def _wrong_lists(rules: Rules) -> Iterator[Values]:
    if "schema" in rules and "dict" not in declared_types(rules):
        good, bad = values(rules["schema"]), wrong_values(rules["schema"])
        yield st.tuples(st.lists(good, max_size=2), bad, st.lists(good, max_size=2)).map(
            lambda parts: [*parts[0], parts[1], *parts[2]]
        )
    if "items" in rules:
        for place, item in enumerate(rules["items"]):
            parts = [wrong_values(one) if one is item else values(one) for one in rules["items"][: place + 1]]
            parts += [values(one) for one in rules["items"][place + 1 :]]
            yield st.tuples(*parts).map(list)
        yield st.tuples(*map(values, rules["items"][1:])).map(list)
        yield st.tuples(*map(values, rules["items"]), JSON).map(list)
    if "allowed" in rules:
        yield st.lists(st.sampled_from(rules["allowed"]) | JSON, min_size=1, max_size=3)
    yield from _wrong_sizes(rules, lambda least, most: st.lists(JSON, min_size=least, max_size=most))


def _wrong_objects(rules: Rules) -> Iterator[Values]:
    if "schema" in rules and "list" not in declared_types(rules):
        yield wrong_properties(rules["schema"])
    good_key = values({"type": "string", **rules.get("keysrules", {})})
    good = values(rules["valuesrules"]) if "valuesrules" in rules else JSON
    if "keysrules" in rules:
        yield st.dictionaries(TEXTS, good, min_size=1, max_size=2)
    if "valuesrules" in rules:
        yield st.dictionaries(good_key, wrong_values(rules["valuesrules"]), min_size=1, max_size=2)
    yield from _wrong_sizes(
        rules, lambda least, most: st.dictionaries(good_key, good, min_size=least, max_size=most)
    )


def _wrong_sizes(rules: Rules, of_size: Any) -> Iterator[Values]:
    if "maxlength" in rules:
        yield of_size(int(rules["maxlength"]) + 1, int(rules["maxlength"]) + 3)
    if rules.get("minlength", 0) > 0:
        yield of_size(0, int(rules["minlength"]) - 1)
    if rules.get("empty") is False:
        yield of_size(0, 0)


def wrong_properties(schema: Mapping[str, Rules], given: Mapping[str, Values] | None = None) -> Values:
    """Return a strategy of objects in which one property is missing, unknown or wrong."""
    drawn = [_with_unknown(schema, given)]
    for name, rules in schema.items():
        drawn.append(_with(name, wrong_values(rules), schema, given))
        if rules.get("required"):
            drawn.append(_without(name, schema, given))
    return st.one_of(drawn)


def _with_unknown(schema: Mapping[str, Rules], given: Mapping[str, Values] | None) -> Values:
    unknown = st.tuples(names_beside(schema), JSON)
    return st.tuples(properties(schema, given), unknown).map(lambda drawn: drawn[0] | dict([drawn[1]]))


def _with(
    name: str, wrong: Values, schema: Mapping[str, Rules], given: Mapping[str, Values] | None
) -> Values:
    others = {other: rules for other, rules in schema.items() if other != name}
    return st.tuples(properties(others, given), wrong).map(lambda drawn: {**drawn[0], name: drawn[1]})


def _without(name: str, schema: Mapping[str, Rules], given: Mapping[str, Values] | None) -> Values:
    return properties({other: rules for other, rules in schema.items() if other != name}, given)
