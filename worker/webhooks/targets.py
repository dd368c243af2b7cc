"""Where a request goes: the slug at the front of its target, and what is left for the handler."""

from __future__ import annotations

import base64
import re
import secrets
from urllib.parse import unquote, urlsplit

SLUG_LENGTH = 22

_SLUGGISH = re.compile(r"[A-Za-z0-9_-]{22,}")
_SHOWN = 200


def new_slug() -> str:
    """Return 128 random bits as 22 characters that need no escaping in a URL.

    >>> len(new_slug())
    22
    """
    return base64.urlsafe_b64encode(secrets.token_bytes(16))[:SLUG_LENGTH].decode("ascii")


def split_target(target: str, public_path: str = "") -> list[tuple[str, str]]:
    """Return what a request's target may mean: pairs of a slug and the target without it, which begins with `/`.

    A reverse proxy may strip the path of the public address or leave it, so there are at most two; none where
    the target has no slug followed by a slash at its front.

    >>> split_target("/dGhpcyBpcyBhIHRlc3Qgb2/log?from=7")
    [('dGhpcyBpcyBhIHRlc3Qgb2', '/log?from=7')]
    >>> split_target("/hooks/dGhpcyBpcyBhIHRlc3Qgb2/", "/hooks")
    [('dGhpcyBpcyBhIHRlc3Qgb2', '/')]
    >>> split_target("/dGhpcyBpcyBhIHRlc3Qgb2")
    []
    """
    if not target.startswith("/"):
        target = _origin_form(target)
    candidates = [target]
    if public_path and target.startswith(f"{public_path}/"):
        candidates.append(target[len(public_path) :])
    return [
        (one[1 : 1 + SLUG_LENGTH], one[1 + SLUG_LENGTH :])
        for one in candidates
        if one.startswith("/") and one[1 + SLUG_LENGTH : 2 + SLUG_LENGTH] == "/"
    ]


def _origin_form(target: str) -> str:
    """Return the path and query of a target in absolute form, which servers must take (RFC 9112, 3.2.2)."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https"):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def loggable(target: str) -> str:
    """Return the path of a target as it may stand in a log: printable, short, and without anything like a slug.

    >>> loggable("/runs/dGhpcyBpcyBhIHRlc3Qgb2/log?token=1"), loggable("/a%0Ab")
    ('/runs/*/log', '/a\\\\nb')
    """
    path = _SLUGGISH.sub("*", target.partition("?")[0])
    return _SLUGGISH.sub("*", ascii(unquote(path))[1:-1])[:_SHOWN]  # escapes may have hidden one
