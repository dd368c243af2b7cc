"""What a task asks of the mock engine: its schema, and the same as an object."""

from __future__ import annotations

import attrs

from ..base import Schema
from .functions import AT_ONCE, LASTING

MALFORMED_INITIAL = "malformed-payload-initial"
"""The one function that never gets a sandbox: there is no builder for it."""

FUNCTIONS = (*AT_ONCE, *LASTING, MALFORMED_INITIAL)
"""Everything that a task can ask for."""

LONGEST_DELAY = 300_000
"""In milliseconds."""

LONGEST_ARGUMENT = 255
"""In characters."""

PAYLOAD_SCHEMA: Schema = {
    "delay": {
        "type": "integer",
        "min": 0,
        "max": LONGEST_DELAY,
        "meta": {
            "title": "Delay",
            "description": "For how many milliseconds the task runs before its function does its work.",
            "default": 0,
        },
    },
    "function": {
        "type": "string",
        "allowed": list(FUNCTIONS),
        "meta": {"title": "Function", "description": "What the task does.", "default": "true"},
    },
    "argument": {
        "type": "string",
        "maxlength": LONGEST_ARGUMENT,
        "meta": {
            "title": "Argument",
            "description": "What the function is given; not every function looks at it.",
            "default": "",
        },
    },
}


@attrs.frozen
class Payload:
    """The engine's part of a payload, which the schema has found sound; `delay` is in milliseconds.

    >>> Payload(function="false")
    Payload(delay=0, function='false', argument='')
    """

    delay: int = 0
    function: str = "true"
    argument: str = ""
