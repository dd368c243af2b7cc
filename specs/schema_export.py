"""A merged schema as JSON Schema 2020-12 (and as a page), from the same rules that documents are checked by.

Documents that hold what JSON can say are judged alike by both, but for what JSON Schema leaves open or cannot
say: it takes 1.0 for an integer and need not look at `format` (of instants), and a `check_with` function says
what it means in `meta: {"json_schema": {...}}`, or cannot be exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from ._schema_page import markdown
from ._schema_wording import type_names
from .schema_checks import CHECKS
from .schemas import MergedSchema, Rules, Schema, SchemaError

__all__ = ["json_schema", "markdown"]

Keywords: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {
    "boolean": "boolean",
    "datetime": "string",
    "dict": "object",
    "float": "number",
    "integer": "integer",
    "list": "array",
    "number": "number",
    "string": "string",
}
_ANYTHING_BUT_NULL = ["array", "boolean", "number", "object", "string"]
_LENGTHS = {"array": "Items", "object": "Properties", "string": "Length"}
_ANNOTATIONS = ("title", "description", "default")

# What cerberus passes over for a value of length 0 where the rules say `empty`, whichever way.
_NOT_FOR_EMPTY = ("allowed", "items", "minlength", "maxlength", "regex", "check_with")
_EMPTY = {"enum": ["", [], {}]}


def json_schema(merged: MergedSchema, title: str) -> dict[str, Any]:
    """Return the merged schema as a JSON Schema 2020-12 document.

    Raises: SchemaError for a `check_with` function that does not say what it means.

    >>> merged = MergedSchema.merge({"plugin env": {"env": {"type": "dict", "required": True}}})
    >>> json_schema(merged, "Payload")["properties"], json_schema(merged, "Payload")["required"]
    ({'env': {'type': 'object'}}, ['env'])
    """
    return {"$schema": DIALECT, "title": title, "type": "object", **_object(merged.properties, "")}


def _object(schema: Schema, where: str) -> Keywords:
    properties = {
        name: _property(rules, f"{where}.{name}" if where else name) for name, rules in schema.items()
    }
    required = [name for name, rules in schema.items() if rules.get("required")]
    return {
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property(rules: Rules, where: str) -> Keywords:
    """Return the keywords for one property; `null` is allowed beside everything else if the rules say so."""
    types = list(dict.fromkeys(_TYPES[name] for name in type_names(rules["type"]))) if "type" in rules else []
    type_keyword = {"type": types[0] if len(types) == 1 else types or _ANYTHING_BUT_NULL}
    keywords = _together([type_keyword, *_constraints(rules, types, where)])
    if rules.get("nullable"):
        keywords = {"anyOf": [{"type": "null"}, keywords]}
    meta = rules.get("meta", {})
    return {name: meta[name] for name in _ANNOTATIONS if name in meta} | keywords


def _constraints(rules: Rules, types: list[str], where: str) -> Iterator[Keywords]:
    """Yield the keywords for each rule; all of them apply together."""
    for_all: list[Keywords] = []
    not_for_empty: list[Keywords] = []
    for rule, constraint in rules.items():
        group = not_for_empty if rule in _NOT_FOR_EMPTY else for_all
        group.extend(_keywords(rule, constraint, types, rules, where))
    yield from for_all
    if rules.get("empty") and not_for_empty:
        yield {"anyOf": [_EMPTY, _together(not_for_empty)]}
    else:
        yield from not_for_empty


def _keywords(rule: str, constraint: Any, types: list[str], rules: Rules, where: str) -> Iterator[Keywords]:
    match rule:
        case "type" | "required" | "nullable" | "meta":
            return
        case "min":
            yield {"minimum": constraint}
        case "max":
            yield {"maximum": constraint}
        case "minlength" | "maxlength":
            yield _lengths(rule.removesuffix("length"), constraint, types)
        case "empty":
            yield {} if constraint else _lengths("min", 1, types)
        case "regex":
            yield {"pattern": f"^(?:{constraint})$"}
        case "allowed":
            values = {"enum": list(constraint)}
            yield {"items": values} if types == ["array"] else values
        case "schema" if "object" in types:
            yield _object(constraint, where)
        case "schema":
            yield {"items": _property(constraint, f"{where}[]")}
        case "items":
            first = [_property(item, f"{where}[{index}]") for index, item in enumerate(constraint)]
            yield {"prefixItems": first, "items": False, "minItems": len(first)}
        case "keysrules":
            yield {"propertyNames": _property(constraint, f"{where}.*")}
        case "valuesrules":
            yield {"additionalProperties": _property(constraint, f"{where}.*")}
        case "anyof":
            yield {"anyOf": [_property(_inherit(one, rules), where) for one in constraint]}
        case "check_with":
            yield from _checks(constraint, rules, where)
        case _:
            raise SchemaError(f'{where}: the rule "{rule}" cannot be exported')


def _lengths(bound: str, amount: int, types: Iterable[str]) -> Keywords:
    return {bound + _LENGTHS[name]: amount for name in types or _LENGTHS if name in _LENGTHS}


def _inherit(alternative: Rules, rules: Rules) -> Rules:
    return {"type": rules["type"], **alternative} if "type" in rules else alternative


def _checks(constraint: Any, rules: Rules, where: str) -> Iterator[Keywords]:
    for check in constraint if isinstance(constraint, list) else [constraint]:
        if isinstance(check, str):
            yield dict(CHECKS[check].json_schema)
        elif "json_schema" in rules.get("meta", {}):
            yield {"allOf": [rules["meta"]["json_schema"]]}
        else:
            name = getattr(check, "__name__", repr(check))
            raise SchemaError(f'{where}: say in meta: {{"json_schema": ...}} what the function {name} checks')


def _together(parts: Iterable[Keywords]) -> Keywords:
    """Return keywords that apply all; a keyword that is taken goes below `allOf`."""
    whole: Keywords = {}
    for part in parts:
        if whole.keys() & part.keys():
            whole.setdefault("allOf", []).append(part)
        else:
            whole |= part
    return whole
