"""The payload's `artifacts`: what entries look like, and what is wrong with them that a schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.errors import MalformedPayloadError
from ...specs.instants import format_instant, parse_instant
from .names import MAX_CHARACTERS, Names, name_problem

if TYPE_CHECKING:
    from ...specs.schemas import Schema
    from ...specs.task import TaskInfo

FILE, DIRECTORY = "file", "directory"
IDENTITY, GZIP = "identity", "gzip"

MAX_CONTENT_TYPE = 255
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
MEDIA_TYPE = rf'{_TOKEN}/{_TOKEN}( *; *{_TOKEN}=({_TOKEN}|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*'
"""A MIME type and its parameters: it ends up in a header, so nothing else may be in it. Source: RFC 9110, 8.3.1."""

PAYLOAD_SCHEMA: Schema = {
    "artifacts": {
        "type": "list",
        "meta": {"title": "Artifacts", "description": "Files and folders to keep when the task has ended."},
        "schema": {
            "type": "dict",
            "schema": {
                "type": {
                    "type": "string",
                    "allowed": [FILE, DIRECTORY],
                    "required": True,
                    "meta": {
                        "description": "Whether it is one file, or a folder of which every file is kept."
                    },
                },
                "path": {
                    "type": "string",
                    "required": True,
                    "empty": False,
                    "meta": {"description": "Where it is in the sandbox, as the engine writes paths."},
                },
                "name": {
                    "type": "string",
                    "required": True,
                    "empty": False,
                    "maxlength": MAX_CHARACTERS,
                    "meta": {
                        "description": "What to call it; files of a folder are called `name/path/in/it`."
                    },
                },
                "expires": {
                    "type": ["string", "datetime"],
                    "check_with": "instant",
                    "meta": {
                        "description": "Until when to keep it, never longer than the task; as long if absent."
                    },
                },
                "optional": {
                    "type": "boolean",
                    "meta": {
                        "description": "Whether the task may as well not have made it: then there is no artifact.",
                        "default": False,
                    },
                },
                "contentType": {
                    "type": "string",
                    "maxlength": MAX_CONTENT_TYPE,
                    "regex": MEDIA_TYPE,
                    "meta": {
                        "description": "Its MIME type, in a folder that of every file; by the extension if absent."
                    },
                },
                "contentEncoding": {
                    "type": "string",
                    "allowed": [IDENTITY, GZIP],
                    "meta": {
                        "description": "With `gzip` it is packed while it is uploaded; size and hash are the packed "
                        "content's.",
                        "default": IDENTITY,
                    },
                },
            },
        },
    }
}


@attrs.frozen
class Entry:
    """One thing to keep: the file at `path` as `name`, or all files of the directory below `name`.

    `content_type` is None where it follows from the name; `packed` says that it is stored gzip-encoded.
    """

    where: str
    type: str
    path: str
    name: str
    expires: datetime
    optional: bool = False
    content_type: str | None = None
    packed: bool = False


def read_entries(listed: Sequence[Mapping[str, Any]], info: TaskInfo) -> tuple[Entry, ...]:
    """Return the entries of a payload that satisfies the schema.

    Raises: MalformedPayloadError with everything else that is wrong.
    """
    entries = [_entry(f"payload.artifacts[{index}]", item, info) for index, item in enumerate(listed)]
    if problems := [*_problems(entries, info), *take_names(entries, Names())]:
        raise MalformedPayloadError(*problems)
    return tuple(entries)


def _entry(where: str, item: Mapping[str, Any], info: TaskInfo) -> Entry:
    expires = parse_instant(item["expires"]) if "expires" in item else info.expires
    return Entry(
        where,
        item["type"],
        item["path"],
        item["name"],
        expires,
        item.get("optional", False),
        item.get("contentType"),
        item.get("contentEncoding") == GZIP,
    )


def _problems(entries: Sequence[Entry], info: TaskInfo) -> Iterator[str]:
    for entry in entries:
        if problem := name_problem(entry.name):
            yield f"{entry.where}.name: {problem}"
        if "\0" in entry.path:
            yield f"{entry.where}.path: must not have a NUL character"
        if not info.created < entry.expires <= info.expires:
            between = f"after {format_instant(info.created)} and not after {format_instant(info.expires)}"
            yield f"{entry.where}.expires: must be {between}, when the task was created and expires"


def take_names(entries: Sequence[Entry], names: Names) -> list[str]:
    """Take the names of all entries, in order; return what they collide with."""
    problems = []
    for entry in entries:
        take = names.take_file if entry.type == FILE else names.take_directory
        if problem := take(entry.name):
            problems.append(f"{entry.where}.name: {problem}")
    return problems
