"""Refuses a schema that could not be checked or exported as meant.

cerberus would find out only when a document comes along, if at all: it remembers which schemas are sound by a
hash for which 1 is True.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._schema_wording import type_names
from .schema_checks import CHECKS
from .schemas import SchemaError, did_you_mean

TYPES = frozenset({"boolean", "datetime", "dict", "float", "integer", "list", "number", "string"})
"""The types that a schema may name: what JSON has, and `datetime` for documents made in Python."""

# Groups with a name, flags and conditions, and the ends of the text.
_PYTHON_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(\(\?(?:P|\(|[aiLmsux-])|\\[AZ])")

_NORMALIZING = frozenset({"coerce", "default", "default_setter", "purge_unknown", "rename", "rename_handler"})


def check_schema(owner: str, schema: Any) -> None:
    """Accept a schema that can be used.

    Raises: SchemaError with everything that is wrong with it.
    """
    if found := list(_schema_faults(schema, "")):
        raise SchemaError(f"the schema of {owner} cannot be used: {'; '.join(found)}")


def plain(value: Any) -> Any:
    """Return a copy made of dicts and lists.

    >>> plain({"type": ("string",)})
    {'type': ['string']}
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _schema_faults(schema: Any, where: str) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        yield f"{where or 'it'} must be a mapping from property to rules"
        return
    for name, rules in schema.items():
        if isinstance(name, str):
            yield from _rules_faults(rules, f"{where}.{name}" if where else name)
        else:
            yield f"{where or 'it'} has a property {name!r} that is no string"


def _rules_faults(rules: Any, where: str, inherited: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what is wrong with the rules of one property; `inherited` are the types around an alternative."""
    if not isinstance(rules, Mapping):
        yield f"{where}: the rules must be a mapping"
        return
    types = _declared(rules["type"]) if "type" in rules else inherited
    for rule, constraint in rules.items():
        if fault := _unknown_rule(rule) or _CONSTRAINTS[rule](constraint, types):
            yield f"{where}: {fault}"
        else:
            yield from _nested_faults(rule, constraint, types, where)


def _declared(constraint: Any) -> tuple[str, ...]:
    """Return the types that a `type` rule names, none if the rule itself is at fault."""
    return () if _type_fault(constraint, ()) else type_names(constraint)


def _nested_faults(rule: str, constraint: Any, types: tuple[str, ...], where: str) -> Iterator[str]:
    match rule:
        case "schema" if "dict" in types:
            yield from _schema_faults(constraint, where)
        case "schema":
            yield from _rules_faults(constraint, f"{where}[]")
        case "valuesrules" | "keysrules":
            yield from _rules_faults(constraint, f"{where}.*")
        case "items":
            for index, rules in enumerate(constraint):
                yield from _rules_faults(rules, f"{where}[{index}]")
        case "anyof":
            for index, rules in enumerate(constraint, 1):
                yield from _rules_faults(rules, f"{where} (alternative {index})", types)


def _unknown_rule(rule: Any) -> str | None:
    if rule in _NORMALIZING:
        return (
            f'the rule "{rule}" is not supported, since documents are checked as they are; '
            "put defaults and converters into the attrs class"
        )
    return None if rule in _CONSTRAINTS else f'unknown rule "{rule}"; {did_you_mean(rule, _CONSTRAINTS)}'


def _type_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    names = [constraint] if isinstance(constraint, str) else constraint
    if not _is_list(names) or not all(isinstance(name, str) for name in names):
        return "a type must be a string or a list of strings"
    for name in names:
        if name not in TYPES:
            return f'unknown type "{name}"; {did_you_mean(name, TYPES)}'
    if "datetime" in names and "string" not in names:
        return 'the type "datetime" needs "string" beside it: JSON has no instants'
    return None


def _limit_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    number = isinstance(constraint, int | float) and not isinstance(constraint, bool)
    return None if number and math.isfinite(constraint) else "min and max must be finite numbers"


def _length_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    length = type(constraint) is int and constraint >= 0
    return None if length else "lengths must be integers that are not negative"


def _allowed_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    if not _is_list(constraint):
        return "allowed must be a list with at least one value"
    if not all(isinstance(value, str | int | float) for value in constraint):
        return "allowed may hold strings, numbers and booleans"
    if "dict" in types or ("list" in types and len(types) > 1) or not types:
        return 'allowed needs a type: "list", whose items it names, or types that are neither list nor dict'
    return None


def _schema_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    kinds = [name for name in types if name in ("dict", "list")]
    return None if len(kinds) == 1 else 'schema needs a type that includes either "dict" or "list"'


def _alternatives_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    return None if _is_list(constraint) else "anyof and items must be lists of rules, and not empty"


def _regex_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    if not isinstance(constraint, str):
        return "a regex must be a string"
    try:
        re.compile(constraint)
    except re.error as error:
        return f"the regex cannot be compiled: {error}"
    if only := _PYTHON_ONLY.search(constraint):
        return f"the regex has {only[1]}, which other programs that read JSON Schema do not know"
    return None


def _check_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    for name in constraint if isinstance(constraint, list | tuple) else [constraint]:
        if callable(name):
            continue
        if not isinstance(name, str):
            return "check_with must be the name of a check, a function, or a list of them"
        if name not in CHECKS:
            return f'unknown check "{name}"; {did_you_mean(name, CHECKS)}'
        if not types or not CHECKS[name].types.issuperset(types):
            return f'the check "{name}" needs a type, of {", ".join(sorted(CHECKS[name].types))}'
    return None


def _flag_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    return None if isinstance(constraint, bool) else "required, nullable and empty must be true or false"


def _nested_rules_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    return None if isinstance(constraint, Mapping) else "keysrules and valuesrules must be rules"


def _meta_fault(constraint: Any, types: tuple[str, ...]) -> str | None:
    return None if isinstance(constraint, Mapping) else "meta must be a mapping"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0


_CONSTRAINTS: Mapping[str, Callable[[Any, tuple[str, ...]], str | None]] = {
    "allowed": _allowed_fault,
    "anyof": _alternatives_fault,
    "check_with": _check_fault,
    "empty": _flag_fault,
    "items": _alternatives_fault,
    "keysrules": _nested_rules_fault,
    "max": _limit_fault,
    "maxlength": _length_fault,
    "meta": _meta_fault,
    "min": _limit_fault,
    "minlength": _length_fault,
    "nullable": _flag_fault,
    "regex": _regex_fault,
    "required": _flag_fault,
    "schema": _schema_fault,
    "type": _type_fault,
    "valuesrules": _nested_rules_fault,
}

RULES = frozenset(_CONSTRAINTS)
"""The rules that a schema may use."""
