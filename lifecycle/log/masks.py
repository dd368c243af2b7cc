"""What must not get into a log, and the filter that keeps it out, however it is split over writes.

Every byte that belongs to a secret is covered; those that overlap are one stretch, and a stretch becomes one
`[masked]`. So the result is the same wherever the output was cut into pieces, and whichever secret is looked for
first; and no part of a secret is left over from one that overlaps it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import attrs

MARK = b"[masked]"
SHORTEST = 4
"""The bytes that a secret has at least: a shorter one would be found where nobody wrote it."""
LONGEST = 65_536
"""The bytes that a secret has at most: that much may have to be held back until it is known to be none."""


@attrs.frozen
class Secret:
    """One value, prepared to be looked for in time that is linear whatever the value and the output are.

    `fallback` says for each number of bytes that matched before one did not, how many of them still may be its
    beginning, -1 if not even the one that did not (Knuth, Morris, Pratt: Fast Pattern Matching in Strings, 1977).
    `period` is the least distance at which the value overlaps itself, its length if it never does.
    """

    value: bytes
    fallback: array[int]
    period: int

    @classmethod
    def of(cls, value: bytes) -> Secret:
        """Prepare a value."""
        fallback = array("i", [-1])
        border = 0
        for index in range(1, len(value)):
            if value[index] == value[border]:
                fallback.append(fallback[border])
            else:
                fallback.append(border)
                while border >= 0 and value[index] != value[border]:
                    border = fallback[border]
            border += 1
        return cls(value, fallback, len(value) - border)

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the stretches that it covers in `data`, in order; they may overlap.

        One that overlaps itself again and again is followed at once to where that stops: a task may print nothing else.
        """
        size, period = len(self.value), self.period
        start = data.find(self.value)
        while start >= 0:
            end = start + size
            if period < size:
                repeated = _common(data, end - period, data, end)
                end += repeated // period * period
            yield start, end
            start = data.find(self.value, end - size + 1)

    def begins(self, data: bytes) -> int:
        """Return where the longest end of `data` that is a beginning of the secret stands, else the end of `data`."""
        start, matched = max(0, len(data) - len(self.value) + 1), 0
        while True:
            if matched == 0:
                start = data.find(self.value[:1], start)
                if start < 0:
                    return len(data)
            matched += _common(self.value, matched, data, start + matched)
            if start + matched == len(data):
                return start
            left = self.fallback[matched]
            start, matched = start + matched - left, max(0, left)


@attrs.frozen
class Masks:
    """A set of secrets, which does not change: adding one makes another set."""

    secrets: tuple[Secret, ...] = ()

    def adding(self, values: Iterable[bytes | str]) -> Masks:
        """Return the set with more values in it, and with the lines of those that have several.

        Raises: ValueError for one that is too short or too long.

        >>> Masks().adding(["hunter22"]).applied(b"the password is hunter22, or hunter2")
        b'the password is [masked], or hunter2'
        """
        found = {secret.value: secret for secret in self.secrets}
        for value in values:
            for part in _parts(check_secret(value)):
                found[part] = found.get(part) or Secret.of(part)
        return Masks(tuple(sorted(found.values(), key=lambda secret: -len(secret.value))))

    def applied(self, data: bytes) -> bytes:
        """Return `data`, which is complete, without the secrets."""
        return Filter().end(self, data)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return the stretches that secrets cover, in order; those that overlap are one."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted(span for secret in self.secrets for span in secret.spans(data)):
            if merged and start < merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        return merged

    def begins(self, data: bytes) -> int:
        """Return where the longest end of `data` that may become a secret begins; its length if none may."""
        return min((secret.begins(data) for secret in self.secrets), default=len(data))


@attrs.define
class Filter:
    """Takes output in pieces and gives it back without secrets, holding back what may be the beginning of one.

    Of `held` the first `given` bytes are out already: under a mark, or `bare` where the output seemed to have ended.

    >>> output, masks = Filter(), Masks().adding([b"secret"])
    >>> [output.feed(masks, b"a sec"), output.feed(masks, b"ret and a sec"), output.end(masks)]
    [b'a ', b'[masked] and a ', b'sec']
    """

    held: bytes = b""
    given: int = 0
    bare: bool = False

    def feed(self, masks: Masks, data: bytes) -> bytes:
        """Return what of the output is certain now."""
        if self.held:
            data = self.held + data
        return self._give(masks, data, masks.begins(data))

    def end(self, masks: Masks, data: bytes = b"") -> bytes:
        """Return what is left: no more is to come after `data`.

        If it does all the same, as from another pipe, what then completes a secret is masked still.
        """
        data = self.held + data
        rest = self._give(masks, data, len(data))
        self.held = data[masks.begins(data) :]
        self.given, self.bare = len(self.held), True
        return rest

    def _give(self, masks: Masks, data: bytes, upto: int) -> bytes:
        """Return what comes before `upto`, and hold the rest; a stretch is marked where it begins."""
        pieces, at, bare = [], self.given, self.bare
        for start, end in masks.spans(data):
            if start >= upto:
                break
            if start >= at or (bare and end > at):
                pieces += [data[at:start], MARK]
                bare = False
            at = max(at, end)
        pieces.append(data[at:upto])
        self.held, self.given, self.bare = data[upto:], max(0, at - upto), bare
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _common(one: bytes, at: int, other: bytes, to: int) -> int:
    """Return for how many bytes `one` from `at` on, and `other` from `to` on, are the same."""
    most = min(len(one) - at, len(other) - to)
    count, step = 0, 16
    while step and count < most:
        size = min(step, most - count)
        if one[at + count : at + count + size] == other[to + count : to + count + size]:
            count, step = count + size, step * 2
        else:
            step = size // 2
    return count


def check_secret(value: bytes | str) -> bytes:
    """Return a secret as bytes, without the white space around it, which a file ends with and a line begins with.

    Raises: ValueError, which does not tell it, for one that is too short or too long.
    """
    try:
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
    except UnicodeEncodeError:
        raise ValueError("a secret that is no text cannot be masked in the log: no output holds it") from None
    data = data.strip()
    if not SHORTEST <= len(data) <= LONGEST:
        raise ValueError(
            f"a secret of {len(data)} bytes cannot be masked in the log: it must have {SHORTEST} to {LONGEST} bytes, "
            "white space around it not counted"
        )
    return data


def _parts(value: bytes) -> Iterator[bytes]:
    """Yield a secret and, where it has several, its lines: they are printed with other things in between."""
    yield value
    for line in map(bytes.strip, value.splitlines()):
        if len(line) >= SHORTEST:
            yield line
