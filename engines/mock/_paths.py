"""Names of files inside sandboxes and volumes, brought into one form."""

from __future__ import annotations

from ...lifecycle.errors import MalformedPayloadError


def normal(path: str) -> str:
    """Return `path` without leading slash and idle parts, `""` for the root.

    Raises: MalformedPayloadError for a path with `..`.

    >>> normal("/folder/./a.txt"), normal("folder//a.txt"), normal("/")
    ('folder/a.txt', 'folder/a.txt', '')
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise MalformedPayloadError(f"the path {path!r} must not contain '..'")
    return "/".join(parts)
