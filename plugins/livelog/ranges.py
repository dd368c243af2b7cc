"""Which part of a log a reader asks for: the `Range` header, for something that may still grow.

`bytes=N-` is what resumes. While the log grows nobody knows where that part ends, and RFC 9110 has no way to
say so; RFC 8673 has, for exactly this: a last position that is very large, and `*` for the length.
"""

from __future__ import annotations

import re

import attrs

LIVE_END = 2**53 - 1
"""The last position of a part whose end is not known yet. Source: RFC 8673, section 2.2."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)


@attrs.frozen
class Part:
    """The bytes from `first` up to `stop`, which is None while nobody knows where the log ends."""

    first: int
    stop: int | None

    def content_range(self, length: int | None) -> str:
        """Return the value of `Content-Range`; `length` is that of the whole log, None while it grows.

        >>> Part(5, None).content_range(None)
        'bytes 5-9007199254740991/*'
        >>> Part(5, 7).content_range(10)
        'bytes 5-6/10'
        """
        last = LIVE_END if self.stop is None else self.stop - 1
        return f"bytes {self.first}-{last}/{'*' if length is None else length}"


class UnsatisfiableError(Exception):
    """The log has nothing of what is asked for."""


def requested(header: str | None, size: int, ended: bool) -> Part | None:
    """Return the part that a `Range` header asks for of a log of `size` bytes; None for all of it.

    `bytes=N-` and `bytes=-N` (the last N bytes) go on as long as the log does, `bytes=N-M` ends with what is there
    now. Anything else, several parts too, means all of it, as RFC 9110 allows.

    Raises: UnsatisfiableError where the part begins behind what there is: at the end of a log that grows one may
    still wait for more, at the end of one that has ended not.

    >>> requested("bytes=3-", 10, ended=True)
    Part(first=3, stop=10)
    >>> requested("bytes=10-", 10, ended=False)
    Part(first=10, stop=None)
    >>> requested("bytes=-4", 10, ended=False)
    Part(first=6, stop=None)
    >>> requested("bytes=3-99", 10, ended=False)
    Part(first=3, stop=10)
    """
    if header is None or (match := _RANGE.fullmatch(header.strip())) is None or header.strip() == "bytes=-":
        return None
    first, last = match.groups()
    if first and last and _number(last) < _number(first):
        return None
    if not first:
        return _open(_suffix(_number(last), size), size, ended)
    if last and _number(last) < LIVE_END:
        if _number(first) >= size:
            raise UnsatisfiableError
        return Part(_number(first), min(_number(last) + 1, size))
    return _open(_number(first), size, ended)


def _open(first: int, size: int, ended: bool) -> Part:
    if first > size or (ended and first == size):
        raise UnsatisfiableError
    return Part(first, size if ended else None)


def _suffix(count: int, size: int) -> int:
    if count == 0:
        raise UnsatisfiableError
    return max(0, size - count)


def _number(digits: str) -> int:
    """Return a number that may have been written to be expensive: no log reaches the bound.

    >>> _number("9" * 8000) == LIVE_END
    True
    """
    digits = digits.lstrip("0") or "0"
    return min(int(digits), LIVE_END) if len(digits) < 20 else LIVE_END
