"""Slugs: the 22 URL-safe characters that name a task, made from a random (version 4) UUID."""

from __future__ import annotations

import base64
import re
import uuid

SLUG_PATTERN = "[A-Za-z0-9_-]{8}[Q-T][A-Za-z0-9_-][CGKOSWaeimquy26-][A-Za-z0-9_-]{10}[AQgw]"
"""Every slug: the 9th, 11th and last character carry the UUID's version, its variant and the padding."""

_SLUG = re.compile(SLUG_PATTERN)


def new_slug() -> str:
    """Return a fresh slug that begins with a letter, so that no command line takes it for an option.

    >>> is_slug(new_slug())
    True
    """
    random = bytearray(uuid.uuid4().bytes)
    random[0] &= 0x7F
    return base64.urlsafe_b64encode(random)[:22].decode("ascii")


def is_slug(text: str) -> bool:
    """Tell whether a text is the slug of a version 4 UUID.

    >>> is_slug("VRzKBhTiQ0-FuPzN5AAWUA"), is_slug("hello")
    (True, False)
    """
    return _SLUG.fullmatch(text) is not None
