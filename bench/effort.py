"""How much is measured: for figures to go by, or only to see that every row works."""

from __future__ import annotations

from typing import TypeVar

import attrs

T = TypeVar("T")


class UnavailableError(Exception):
    """What a row measures cannot be had on this machine; the message says why."""


@attrs.frozen
class Effort:
    """`quick` is for tests: its figures mean nothing."""

    quick: bool = False

    def of(self, full: T, quick: T) -> T:
        """Return the amount for this effort."""
        return quick if self.quick else full

    @property
    def rounds(self) -> int:
        """How often the contenders take turns."""
        return self.of(9, 1)
