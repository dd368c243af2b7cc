"""What an artifact may be called: a path that means the same in a URL, a store, and a folder on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

MAX_CHARACTERS = 1024
"""The longest name the queue takes."""
MAX_SEGMENT_BYTES = 255
"""The longest name that a file can have, in UTF-8."""

WORKERS_OWN = frozenset(
    {
        "public/chainOfTrust.json",
        "public/chainOfTrust.json.sig",
        "public/logs/live.log",
        "public/logs/live_backing.log",
        "public/logs/task.log",
    }
)
"""Names that the worker gives: a task that stood in their way would keep the worker from storing its own."""

# Controls C0 and C1, line and paragraph separators, what reverses the writing, half surrogate pairs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def name_problem(name: str) -> str | None:
    """Return what is wrong with an artifact's name, None if nothing is.

    >>> name_problem("public/build/app.tar.gz")
    >>> name_problem("public/../secret")
    "must not have '.' or '..' between slashes"
    """
    if not name:
        return "must not be empty"
    if len(name) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters, not {len(name)}"
    if _FORBIDDEN.search(name):
        return "must not have control characters, nor bytes that are no UTF-8"
    segments = name.split("/")
    if "" in segments:
        return "must not begin or end with a slash, nor have two in a row"
    if "." in segments or ".." in segments:
        return "must not have '.' or '..' between slashes"
    if (
        len(name) > MAX_SEGMENT_BYTES // 4
        and max(len(part.encode()) for part in segments) > MAX_SEGMENT_BYTES
    ):
        return f"must have at most {MAX_SEGMENT_BYTES} bytes between slashes"
    return None


@attrs.define
class Names:
    """The names given in one run; taking one says what it collides with, where files need folders to lie in.

    >>> names = Names()
    >>> names.take_file("public/a")
    >>> names.take_file("public/a/b")
    "lies below 'public/a', which is a file"
    """

    files: set[str] = attrs.field(factory=lambda: set(WORKERS_OWN))
    folders: set[str] = attrs.field(
        factory=lambda: {folder for name in WORKERS_OWN for folder in _above(name)}
    )
    directories: set[str] = attrs.field(factory=set)

    def take_file(self, name: str) -> str | None:
        """Take the name of one artifact; return what is wrong with that, None if nothing is."""
        if name in self.folders:
            return "is the name of a folder too"
        if problem := self._collision(name):
            return problem
        self.files.add(name)
        self.folders.update(_above(name))
        return None

    def take_directory(self, name: str) -> str | None:
        """Take the name below which the artifacts of a directory lie; return what is wrong with that."""
        if name in self.directories:
            return "is the name of another artifact too"
        if problem := self._collision(name):
            return problem
        self.directories.add(name)
        self.folders.update((name, *_above(name)))
        return None

    def _collision(self, name: str) -> str | None:
        if name in WORKERS_OWN:
            return "is the name of an artifact of the worker's"
        if name in self.files:
            return "is the name of another artifact too"
        for folder in _above(name):
            if folder in self.files:
                return f"lies below {folder!r}, which is a file"
        return None


def _above(name: str) -> Iterator[str]:
    """Yield the folders that a name lies in, the innermost first."""
    while name := name.rpartition("/")[0]:
        yield name
