"""Web hooks in the worker's configuration file: the section `worker.webhooks`, apart as it needs no server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ...specs.durations import parse_duration
from ...specs.schemas import Rules, Schema
from .options import WebHookOptions


def structure_webhooks(section: Mapping[str, Any]) -> WebHookOptions:
    """Return the options that a valid section gives. Raises: ConfigurationError where they cannot be served.

    >>> structure_webhooks({"port": 8080, "publicUrl": "https://ci.example.org/hooks", "drain": "1 minute"}).drain
    60.0
    """
    values = {field.name: section[key] for key, field in _fields().items() if key in section}
    for name in ("drain", "idle_timeout"):
        if name in values:
            values[name] = parse_duration(values[name])
    return WebHookOptions(**values)


def _fields() -> Mapping[str, Any]:
    """Return the fields of the options by their names in the file."""
    return {_camel(field.name): field for field in attrs.fields(WebHookOptions)}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def _described(rules: Rules, description: str, field: str) -> Rules:
    default = getattr(attrs.fields(WebHookOptions), field).default
    meta = {"description": description} | ({} if default is None else {"default": default})
    return {**rules, "meta": meta}


_TEXT: Rules = {"type": "string", "minlength": 1}
_DURATION: Rules = {"type": ["number", "string"], "check_with": "duration"}

WEBHOOKS: Schema = {
    "host": _described(_TEXT, "The address that is listened on.", "host"),
    "port": _described({"type": "integer", "min": 0, "max": 65535}, "The port; 0 is any free one.", "port"),
    "publicUrl": _described(
        _TEXT,
        "What addresses begin with where a reverse proxy stands before the server; else host and port.",
        "public_url",
    ),
    "tlsCertificate": _described(
        _TEXT,
        "A PEM file: the certificate and those that lead to its root. Without one: HTTP.",
        "tls_certificate",
    ),
    "tlsKey": _described(
        _TEXT, "A PEM file: the certificate's private key, unless it stands in the same file.", "tls_key"
    ),
    "maxConnections": _described(
        {"type": "integer", "min": 1},
        "How many connections may be open; for one more, the one that is idle longest is closed.",
        "max_connections",
    ),
    "idleTimeout": _described(
        _DURATION,
        "How long a client may neither send what it began nor take what it is sent.",
        "idle_timeout",
    ),
    "maxHeaderBytes": _described(
        {"type": "integer", "min": 256}, "How long the headers of a request may be.", "max_header_bytes"
    ),
    "maxBodyBytes": _described(
        {"type": "integer", "min": 0}, "How long the body of a request may be.", "max_body_bytes"
    ),
    "drain": _described(_DURATION, "How long open requests may take when the worker ends.", "drain"),
}
