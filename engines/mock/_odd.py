"""What a mock task can leave that is no plain file: a task of any other engine may, so plugins should meet it."""

from __future__ import annotations

import enum


class Odd(enum.StrEnum):
    """Something with a name that has no content, or none that can be read."""

    FIFO = "fifo"
    SOCKET = "socket"
    LINK = "link"
    LOCKED = "locked"

    @property
    def is_special(self) -> bool:
        """Whether it is no file at all: a folder is then complete without it."""
        return self is not Odd.LOCKED

    @property
    def why_not(self) -> str:
        """Why it cannot be extracted, to follow its path.

        >>> Odd.LINK.why_not, Odd.LOCKED.why_not
        ('is a symbolic link (not followed), not a file', 'cannot be read: Permission denied')
        """
        if self is Odd.LOCKED:
            return "cannot be read: Permission denied"
        kind = "symbolic link (not followed)" if self is Odd.LINK else self.value
        return f"is a {kind}, not a file"


Left = bytes | Odd
"""The content of a file, or what there is instead."""
