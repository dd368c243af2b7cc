"""A merged schema as a page for people: one table, a line for each property and for each part with rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._schema_wording import size_words, type_names, type_words, value_words
from .schema_checks import CHECKS
from .schemas import MergedSchema, Rules

_HEAD = ("Property", "Type", "Required", "Allowed", "Description", "Owner")


def markdown(merged: MergedSchema, title: str) -> str:
    """Return a Markdown page with each property: its type, if it is required, what is allowed, whose it is.

    `a.b` is a property of an object, `a.*` any of them, `a.* (name)` its name, `a[]` an item of a list,
    `a (1)` an alternative.

    >>> merged = MergedSchema.merge({"engine mock": {"delay": {"type": "integer", "min": 0}}})
    >>> print(markdown(merged, "Payload"), end="")
    # Payload
    <BLANKLINE>
    | Property | Type | Required | Allowed | Description | Owner |
    |---|---|---|---|---|---|
    | `delay` | an integer | no | at least 0 |  | engine mock |
    """
    lines = [_line(_HEAD), "|---" * len(_HEAD) + "|"]
    for name, rules in merged.properties.items():
        owner = ", ".join(merged.owners(name))
        lines += [_line((*cells, owner)) for cells in _rows(name, rules)]
    return f"# {_escaped(title)}\n\n" + "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(where: str, rules: Rules, shows_required: bool = True) -> Iterator[tuple[str, ...]]:
    required = ("yes" if rules.get("required") else "no") if shows_required else ""
    yield _code(where), _type(rules), required, "; ".join(_allowed(rules)), _description(rules)
    for name, part in (rules.get("schema", {}) if "dict" in _types(rules) else {}).items():
        yield from _rows(f"{where}.{name}", part)
    for part_where, part in _parts(where, rules):
        yield from _rows(part_where, part, shows_required=False)


def _parts(where: str, rules: Rules) -> Iterator[tuple[str, Rules]]:
    """Yield the rules of what is no property with a name of its own."""
    if "schema" in rules and "list" in _types(rules):
        yield f"{where}[]", rules["schema"]
    for index, part in enumerate(rules.get("items", [])):
        yield f"{where}[{index}]", part
    if "keysrules" in rules:
        yield f"{where}.* (name)", rules["keysrules"]
    if "valuesrules" in rules:
        yield f"{where}.*", rules["valuesrules"]
    for index, part in enumerate(rules.get("anyof", []), 1):
        yield f"{where} ({index})", part


def _types(rules: Rules) -> tuple[str, ...]:
    return type_names(rules.get("type", ()))


def _type(rules: Rules) -> str:
    words = (
        type_words(rules["type"])
        if "type" in rules
        else "one of the alternatives"
        if "anyof" in rules
        else "anything"
    )
    return f"{words} or null" if rules.get("nullable") else words


def _allowed(rules: Rules) -> Iterator[str]:
    """Yield a phrase for each rule that narrows the type."""
    for rule, phrase in _PHRASES.items():
        if rule in rules:
            yield phrase(rules[rule], _types(rules))
    if "empty" in rules and not rules["empty"]:
        yield "not empty"
    checks = rules.get("check_with", [])
    for check in checks if isinstance(checks, list) else [checks]:
        if isinstance(check, str):
            yield _escaped(CHECKS[check].form)


_PHRASES: Mapping[str, Any] = {
    "allowed": lambda values, types: _code(value_words(values)),
    "min": lambda limit, types: f"at least {limit}",
    "max": lambda limit, types: f"at most {limit}",
    "minlength": lambda amount, types: f"at least {_size(amount, types)}",
    "maxlength": lambda amount, types: f"at most {_size(amount, types)}",
    "regex": lambda pattern, types: f"matches {_code(pattern)}",
}


def _size(amount: int, types: tuple[str, ...]) -> str:
    return size_words(amount, next((name for name in types if name in ("string", "list", "dict")), None))


def _description(rules: Rules) -> str:
    meta = rules.get("meta", {})
    sentences = [meta.get("title", ""), meta.get("description", "")]
    if "default" in meta:
        sentences.append(f"Default: {value_words([meta['default']])}.")
    return _escaped(" ".join(filter(None, sentences)))


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    """Return a code span, fenced by more backticks than the text has in a row."""
    fence = "`"
    while fence in text:
        fence += "`"
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{_escaped(text)}{pad}{fence}"
