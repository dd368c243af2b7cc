"""Reads YAML or JSON into what JSON can say, and nothing else; what is wrong is one line with its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal

MAX_DEPTH = 100
"""How many objects and lists may lie within each other."""

MAX_VALUES = 100_000
"""How many values the aliases of a YAML document may expand to, keys and the document itself included."""

MAX_CHARACTERS = 16_777_216
"""How many characters the aliases of a YAML document may expand to; more only where its text has more."""

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
_LONG_INTEGER = re.compile(r"[0-9]{4000,}")


class DocumentError(ValueError):
    """A text that is no document: `name`, `line` and `column` (both from 1) say where, `problem` what.

    >>> str(DocumentError("hello.yml", 3, 5, "expected a key"))
    'hello.yml:3:5: expected a key'
    """

    def __init__(self, name: str, line: int, column: int, problem: str) -> None:
        self.name = name
        self.line = line
        self.column = column
        self.problem = problem
        super().__init__(f"{name}:{line}:{column}: {problem}")


class Fault(Exception):
    """Something wrong at an offset of a text without a name; callers of `load_document` never see it."""

    def __init__(self, offset: int, problem: str) -> None:
        self.offset = offset
        self.problem = problem
        super().__init__(problem)


def load_document(text: str | bytes, name: str, format: Literal["yaml", "json"] | None = None) -> Any:
    """Return the one value that a text holds; it is YAML unless `format` or the end of `name` says JSON.

    YAML is read as YAML 1.2 is: timestamps, `yes` and `no` are texts. Keys must be texts, each once in its
    object. Numbers are finite. Bytes must be UTF-8. `name`, a file's or another, is otherwise for messages
    only.
    Raises: DocumentError.

    >>> load_document("payload: {command: [echo, yes]}", "hello.yml")
    {'payload': {'command': ['echo', 'yes']}}
    >>> load_document("payload:\\n  a: 1\\n  a: 2", "hello.yml")
    Traceback (most recent call last):
    stagecall.specs.documents.DocumentError: hello.yml:3:3: the key "a" occurs twice in this object
    """
    decoded = text if isinstance(text, str) else text.decode("utf-8-sig", errors="replace")
    decoded = decoded.removeprefix("\ufeff")
    try:
        if isinstance(text, bytes):
            _check_encoding(text)
        if format == "json" or (format is None and name.lower().endswith(".json")):
            return _load_json(decoded)
        from ._yaml import load_yaml

        return load_yaml(decoded)
    except Fault as fault:
        before = decoded[: fault.offset]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise DocumentError(name, line, column, fault.problem) from fault


def check_text(text: str, offset: int) -> str:
    """Return the text, with characters for surrogate pairs, which escapes can write and no encoding can hold.

    Raises: Fault for half a pair.
    """
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise Fault(offset, "half a surrogate pair is not a character") from error


def too_deep(offset: int) -> Fault:
    """Return the fault of a document whose objects and lists lie too deep within each other."""
    return Fault(offset, f"objects and lists may lie within each other at most {MAX_DEPTH} deep")


def _check_encoding(text: bytes) -> None:
    try:
        text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = len(text[: error.start].decode("utf-8-sig"))
        raise Fault(offset, f"the byte 0x{text[error.start]:02x} is not UTF-8") from error


def _load_json(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Fault(error.pos, _lower_first(error.msg)) from error
    except RecursionError as error:
        raise too_deep(0) from error
    except ValueError as error:
        long = _LONG_INTEGER.search(text)
        raise Fault(long.start() if long else 0, "an integer with thousands of digits") from error
    _check_json(text)
    return value


def _check_json(text: str) -> None:
    """Find what no document may hold although JSON, or the standard library, allows it; `text` is JSON.

    Raises: Fault.
    """
    open_objects: list[set[str]] = []
    last_text, last_offset = "", 0
    for offset, token in _tokens(text):
        if token in "{[":
            open_objects.append(set())
            if len(open_objects) > MAX_DEPTH:
                raise too_deep(offset)
        elif token in "}]":
            open_objects.pop()
        elif token == ":":
            if last_text in open_objects[-1]:
                raise Fault(last_offset, f"the key {json.dumps(last_text)} occurs twice in this object")
            open_objects[-1].add(last_text)
        elif token.startswith('"'):
            last_text, last_offset = check_text(json.loads(token), offset), offset
        elif token not in ("true", "false", "null", ",") and not math.isfinite(float(token)):
            raise Fault(offset, f"{token} is not a finite number")


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    return ((match.start(), match[0]) for match in _JSON_TOKEN.finditer(text))


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
