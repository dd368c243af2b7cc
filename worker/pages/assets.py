"""The files of `static/`: scripts and style sheets, which are served or put into a page, and the pages' templates."""

from __future__ import annotations

from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"

CONTENT_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
"""What is served of `static/`: templates are not."""


@cache
def asset_names() -> frozenset[str]:
    """Return what may be asked for below `static/`."""
    return frozenset(file.name for file in STATIC.iterdir() if file.suffix in CONTENT_TYPES)


@cache
def asset(name: str) -> str:
    """Return the text of a script or style sheet. Raises: KeyError if there is none of that name.

    >>> "EventSource" in asset("source.js")
    True
    """
    if name not in asset_names():
        raise KeyError(name)
    return (STATIC / name).read_text(encoding="utf-8")


@cache
def template(name: str) -> str:
    """Return the text of a template, by its name without `.html`."""
    return (STATIC / f"{name}.html").read_text(encoding="utf-8")


def content_type(name: str) -> str:
    """Return the type of a script or style sheet."""
    return CONTENT_TYPES[Path(name).suffix]
