"""Turns the errors of cerberus, terse and nested, into sentences with full paths, in document order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from cerberus import errors

from ._schema_wording import kind, size_words, type_names, type_words, value_words
from .schemas import Violation, did_you_mean

Path: TypeAlias = tuple[Any, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]{0,79}", re.ASCII)


def explain(
    found: Iterable[Any], document: Mapping[str, Any], root: str, owners: Mapping[str, tuple[str, ...]]
) -> Iterator[Violation]:
    """Yield one violation for each error, in the order of the document."""
    order = _Order(document)
    for path, message in sorted(_leaves(found), key=lambda leaf: order.key(leaf[0])):
        of_property = owners.get(path[0], ())
        yield Violation(format_path(root, path), message, next(iter(of_property), None), of_property)


def format_path(root: str, path: Path) -> str:
    """Return a path as text.

    >>> format_path("payload", ("artifacts", 0, "path", "a b"))
    'payload.artifacts[0].path["a b"]'
    """
    return root + "".join(_crumb(part) for part in path)


def _crumb(part: Any) -> str:
    if isinstance(part, str) and _PLAIN_KEY.fullmatch(part):
        return f".{part}"
    text = json.dumps(part) if isinstance(part, str) else repr(part)
    return f"[{text if len(text) <= 80 else text[:80] + '...'}]"


class _Order:
    """Where paths are in a document; each object's keys are numbered once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._places: dict[int, dict[Any, int]] = {}

    def key(self, path: Path) -> list[tuple[int, str]]:
        """Return what to sort by: at each level the place, or after all the name of what is missing."""
        key: list[tuple[int, str]] = []
        here: Any = self._document
        for part in path:
            if isinstance(here, Mapping):
                places = self._places.setdefault(id(here), {}) or self._number(here)
                place = places.get(part)
                key.append((len(places), str(part)) if place is None else (place, ""))
                here = here.get(part)
            else:
                key.append((part, ""))
                here = here[part]
        return key

    def _number(self, mapping: Mapping[Any, Any]) -> dict[Any, int]:
        self._places[id(mapping)] = places = {name: place for place, name in enumerate(mapping)}
        return places


def _leaves(found: Iterable[Any]) -> Iterator[tuple[Path, str]]:
    """Yield path and sentence of every error that is not only made of others."""
    for error in found:
        if error.code == errors.ANYOF.code:
            yield from _alternatives(error)
        elif error.code == errors.KEYSRULES.code:
            yield from (
                (path, f"the property's name {message}") for path, message in _leaves(error.child_errors)
            )
        elif error.is_group_error:
            yield from _leaves(error.child_errors)
        else:
            yield error.document_path, _sentence(error)


def _alternatives(error: Any) -> Iterator[tuple[Path, str]]:
    """Yield the errors of the one alternative that the value's type fits, else one sentence about all."""
    refusals: Sequence[Sequence[Any]] = error.info[1]
    meant = [refusal for refusal in refusals if not _is_of_another_type(refusal, error.document_path)]
    if len(meant) == 1:
        yield from _leaves(meant[0])
    elif meant:
        yield (
            error.document_path,
            "fits none of the alternatives: "
            + ", or ".join(
                " and ".join(
                    f"{format_path('', path[len(error.document_path) :])} {message}".strip()
                    for path, message in _leaves(refusal)
                )
                for refusal in meant
            ),
        )
    else:
        types = [name for refusal in refusals for one in refusal for name in type_names(one.constraint)]
        yield error.document_path, _wrong_type(types, error.value)


def _is_of_another_type(refusal: Sequence[Any], path: Path) -> bool:
    return any(error.code == errors.BAD_TYPE.code and error.document_path == path for error in refusal)


def _sentence(error: Any) -> str:
    rules = error.level.get(error.document_path[-1]) or {}
    match error.code:
        case errors.CUSTOM.code:
            return str(error.info[0])
        case errors.UNKNOWN_FIELD.code:
            return f"unknown property; {did_you_mean(error.document_path[-1], error.level)}"
        case errors.REQUIRED_FIELD.code:
            return f"is missing; it must be {type_words(rules['type'])}" if "type" in rules else "is missing"
        case errors.NOT_NULLABLE.code:
            return f"must be {type_words(rules['type'])}, not null" if "type" in rules else "must not be null"
        case errors.BAD_TYPE.code:
            return _wrong_type(type_names(error.constraint), error.value)
        case errors.EMPTY_NOT_ALLOWED.code:
            return "must not be empty"
        case errors.UNALLOWED_VALUE.code:
            return _not_among(error.constraint, error.value)
        case errors.REGEX_MISMATCH.code:
            return f"must match the pattern {error.constraint}"
        case errors.MIN_VALUE.code:
            return f"must be at least {error.constraint}, not {error.value}"
        case errors.MAX_VALUE.code:
            return f"must be at most {error.constraint}, not {error.value}"
    return _wrong_length(error)


def _wrong_type(types: Sequence[str], value: object) -> str:
    is_scalar_text = "string" in types and kind(value) in ("a number", "a boolean", "an instant")
    return f"must be {type_words(types)}, not {kind(value)}" + (
        "; put it in quotes" if is_scalar_text else ""
    )


def _not_among(allowed: Sequence[Any], value: object) -> str:
    whole = f"must be one of {value_words(allowed)}"
    if isinstance(value, list | tuple):
        return f"every item {whole}"
    hint = did_you_mean(value, [one for one in allowed if isinstance(one, str)])
    return f"{whole}; {hint}" if hint.startswith("did") else whole


def _wrong_length(error: Any) -> str:
    size = len(error.value)
    type_name = {"a string": "string", "an object": "dict"}.get(kind(error.value))
    at = {errors.MIN_LENGTH.code: "at least ", errors.MAX_LENGTH.code: "at most "}.get(error.code, "exactly ")
    wanted = len(error.constraint) if error.code == errors.ITEMS_LENGTH.code else error.constraint
    return f"must have {at}{size_words(wanted, type_name)}, not {size}"
