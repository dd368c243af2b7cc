"""What an artifact may be for a browser, whatever its content type says that it is."""

from __future__ import annotations

import codecs
import re

PREVIEW_BYTES = 65_536
"""The most of a text that a preview shows."""

PICTURES = frozenset(
    {
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/vnd.microsoft.icon",
        "image/webp",
        "image/x-icon",
    }
)
"""Pictures made of points: unlike drawings they can hold no script."""

_TEXT = re.compile(
    r"text/.+|.+\+(?:json|xml|yaml)|application/(?:x-)?(?:ecmascript|javascript|json5?|ndjson|sh|sql|toml|xml|yaml)"
)

_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


def bare(content_type: str) -> str:
    """Return a content type without its parameters.

    >>> bare("Text/HTML; charset=utf-8")
    'text/html'
    """
    return content_type.partition(";")[0].strip().lower()


def kind_of(content_type: str) -> str:
    """Return what an artifact is for a browser: `text`, `picture` or `other`.

    >>> [kind_of(one) for one in ("text/html; charset=utf-8", "image/svg+xml", "image/png", "application/zip")]
    ['text', 'text', 'picture', 'other']
    """
    plain = bare(content_type)
    if plain in PICTURES:
        return "picture"
    return "text" if _TEXT.fullmatch(plain) else "other"


def is_text(beginning: bytes) -> bool:
    r"""Return whether what begins like this can be read as text: UTF-8 without controls that no terminal takes.

    >>> is_text(b"caf\xc3\xa9 \x1b[1mau lait\x1b[0m\n"), is_text(b"PK\x03\x04"), is_text(b"caf\xe9 noir")
    (True, False, False)
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(beginning) is None
