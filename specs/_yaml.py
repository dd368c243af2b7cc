"""YAML as the core schema of YAML 1.2 reads it, plus merge keys (`<<`), with the place of whatever is wrong.

PyYAML's own constructors would make dates, sets, bytes and tuples, read `no` as false and `010` as 8, keep
the last of two equal keys, and share what an alias repeats. None of that survives a round trip through JSON,
so only its parser is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from .documents import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, Fault, check_text, too_deep

_STANDARD = "tag:yaml.org,2002:"
_LIST, _OBJECT, _TEXT, _MERGE = (_STANDARD + name for name in ("seq", "map", "str", "merge"))

# YAML 1.2.2, section 10.3.2; the merge key is YAML 1.1's, and in wide use.
_PLAIN = [
    (_STANDARD + "null", re.compile(r"null|Null|NULL|~|")),
    (_STANDARD + "bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    (_STANDARD + "int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (_STANDARD + "float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")),
    (_STANDARD + "float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
    (_MERGE, re.compile("<<")),
]


def load_yaml(text: str) -> Any:
    """Return the value of the one document in a YAML text.

    Raises: Fault.
    """
    try:
        return _Builder(len(text)).build(_compose(text), 1)
    except ReaderError as error:
        raise Fault(
            error.position, f"the character {chr(error.character)!a} is not allowed in YAML"
        ) from error
    except MarkedYAMLError as error:
        raise _fault(error) from error
    except RecursionError as error:
        raise too_deep(0) from error


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node that has none; a plain scalar's depends on what it looks like."""
        if kind is not ScalarNode:
            return _LIST if kind is SequenceNode else _OBJECT
        plain = implicit[0]
        return next((tag for tag, form in _PLAIN if form.fullmatch(value)), _TEXT) if plain else _TEXT


def _compose(text: str) -> Node:
    composer = _Composer(text)
    try:
        node = composer.get_single_node()
    except (ValueError, OverflowError) as error:
        # PyYAML hands the digits of escapes and directives to chr() and int() unchecked.
        raise Fault(composer.index, f"a number in an escape or directive is out of range: {error}") from error
    if node is None:
        raise Fault(0, "expected a document, found nothing")
    return node


def _fault(error: MarkedYAMLError) -> Fault:
    """Return PyYAML's problem, its context and where that began as one line."""
    mark = error.problem_mark or error.context_mark
    problem, context = error.problem or "not YAML", error.context
    parts = [context, problem] if problem.startswith("but ") else [problem, context]
    if error.context_mark and mark and error.context_mark.line != mark.line:
        parts.append(f"begun in line {error.context_mark.line + 1}")
    return Fault(mark.index if mark else 0, " ".join(", ".join(filter(None, parts)).split()))


class _Builder:
    """Builds the value of a node; an alias is built anew each time, so the counts bound its expansion."""

    def __init__(self, length: int) -> None:
        self._count = 0
        self._room = max(length, MAX_CHARACTERS)

    def build(self, node: Node, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise Fault(
                _offset(node), f"the document, its aliases expanded, has more than {MAX_VALUES} values"
            )
        if isinstance(node, ScalarNode):
            self._take(node)
            return _scalar(node)
        if depth > MAX_DEPTH:
            raise too_deep(_offset(node))
        if isinstance(node, SequenceNode) and node.tag == _LIST:
            return [self.build(item, depth + 1) for item in node.value]
        if isinstance(node, MappingNode) and node.tag == _OBJECT:
            return self._object(node, depth)
        raise _unknown_tag(node)

    def _take(self, node: ScalarNode) -> None:
        self._room -= len(node.value)
        if self._room < 0:
            raise Fault(
                _offset(node),
                f"the document, its aliases expanded, has more than {MAX_CHARACTERS} characters",
            )

    def _object(self, node: MappingNode, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = _key(key_node)
            self._take(key_node)
            if key in seen:
                raise Fault(_offset(key_node), f"the key {json.dumps(key)} occurs twice in this object")
            seen.add(key)
            if key_node.tag == _MERGE:
                merged = self._merged(value_node, depth)
            else:
                own[key] = self.build(value_node, depth + 1)
        return merged | own

    def _merged(self, node: Node, depth: int) -> dict[str, Any]:
        value = self.build(node, depth + 1)
        merged: dict[str, Any] = {}
        for source in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(source, Mapping):
                raise Fault(_offset(node), "a merge key (<<) needs an object or a list of objects")
            merged |= source
        return merged


def _key(node: Node) -> str:
    if isinstance(node, ScalarNode) and node.tag in (_TEXT, _MERGE):
        return check_text(node.value, _offset(node))
    if isinstance(node, ScalarNode) and node.tag.startswith(_STANDARD):
        raise Fault(_offset(node), f"expected a text as key: put {json.dumps(node.value)} in quotes")
    raise Fault(_offset(node), "expected a text as key, not an object, a list or a tagged value")


def _scalar(node: ScalarNode) -> str | int | float | bool | None:
    text = node.value
    match node.tag.removeprefix(_STANDARD):
        case "str" | "merge":
            return check_text(text, _offset(node))
        case "null":
            return None
        case "bool":
            return bool(text.lower() == "true")
        case "int" | "float" as name:
            return _number(node, name)
    raise _unknown_tag(node)


def _number(node: ScalarNode, name: str) -> int | float:
    text = node.value
    try:
        if name == "int":
            whole = int(text, 0 if text.startswith(("0o", "0x")) else 10)
            str(whole)  # a hexadecimal one may be longer than Python, or anyone's JSON, writes out
            return whole
        number = float(re.sub(r"\.(inf|nan)$", r"\1", text, flags=re.IGNORECASE))
    except ValueError as error:
        raise Fault(
            _offset(node), f"not {'an integer' if name == 'int' else 'a number'} that can be read"
        ) from error
    if not math.isfinite(number):
        raise Fault(_offset(node), f"{text} is not a finite number")
    return number


def _unknown_tag(node: Node) -> Fault:
    tag = node.tag.replace(_STANDARD, "!!")
    return Fault(
        _offset(node),
        f"the tag {tag} is not allowed: values are texts, numbers, true, false, null, lists, objects",
    )


def _offset(node: Node) -> int:
    return int(node.start_mark.index)
