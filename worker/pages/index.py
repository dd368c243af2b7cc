"""The list of runs that have pages: bounded, and cheap to follow for however many look at it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import attrs

from .runs import Entry, Subject
from .signals import Signal

Key = tuple[str, int]


@attrs.define(eq=False)
class Index:
    """At most `keep` runs, those that changed last; the runs under way are never forgotten."""

    keep: int
    changed: Signal = attrs.field(factory=Signal)
    _subjects: dict[Key, Subject] = attrs.field(factory=dict, init=False)
    """In the order of their last change, so that who follows reads it from the end."""
    _version: int = attrs.field(default=0, init=False)

    def put(self, subject: Subject) -> None:
        """Add a run, or take note that it has changed."""
        self._version += 1
        subject.entry.version = self._version
        self._subjects.pop(subject.entry.key, None)
        self._subjects[subject.entry.key] = subject
        self.changed.set()

    def replace(self, subject: Subject) -> None:
        """Put another in the place of a run's subject, at which nothing else changes."""
        if subject.entry.key in self._subjects:
            self._subjects[subject.entry.key] = subject

    def forget(self, key: Key) -> None:
        """List a run no more."""
        self._subjects.pop(key, None)

    def surplus(self) -> list[Subject]:
        """Forget the runs that there is no room for, and return them."""
        over = [key for key, subject in self._oldest() if subject.over]
        return [self._subjects.pop(key) for key in over]

    def _oldest(self) -> Iterator[tuple[Key, Subject]]:
        for _, item in zip(range(len(self._subjects) - self.keep), self._subjects.items(), strict=False):
            yield item

    def get(self, key: Key) -> Subject | None:
        """Return a run by task id and run id."""
        return self._subjects.get(key)

    def since(self, version: int) -> list[Entry]:
        """Return the lines that changed after `version`, in the order in which they did."""
        newest = (subject.entry for subject in reversed(self._subjects.values()))
        return list(takewhile(lambda entry: entry.version > version, newest))[::-1]

    def __iter__(self) -> Iterator[Subject]:
        return iter(list(self._subjects.values()))

    def __len__(self) -> int:
        return len(self._subjects)
