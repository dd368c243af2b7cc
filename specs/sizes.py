"""Sizes as people write them ("100 MiB", "2 GB") and read them ("1.5 GiB"); inside, bytes."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "bytes?|B": 1,
    "[kK]B": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "[kK]iB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}

SIZE_PATTERN = rf"[0-9]{{1,19}}(?:\.[0-9]{{1,19}})? *(?:{'|'.join(_UNITS)})"
"""The form of a size, read alike by Python and ECMA 262."""

SIZE_FORM = 'a number with a unit from bytes to TB or TiB, such as "100 MiB" or "2.5 GB"'
"""What is allowed, for error messages."""

MOST_BYTES = 2**63 - 1
"""The largest size of a file."""

_SHOWN = 60


def parse_size(value: str | int) -> int:
    """Return a size in bytes, rounded to the nearest.

    A text is a number with a unit: kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024. A number is
    bytes already.

    Raises: ValueError that says what is allowed.

    >>> parse_size("100 MiB"), parse_size("1.5kB"), parse_size("7 bytes"), parse_size(90)
    (104857600, 1500, 7, 90)
    >>> parse_size("100 M")
    Traceback (most recent call last):
    ValueError: '100 M' is no size: write a number with a unit from bytes to TB or TiB, such as "100 MiB" or "2.5 GB"
    """
    size = _parse_text(value) if isinstance(value, str) else value
    if isinstance(size, bool) or not isinstance(size, int):
        raise _refusal(value, f"write whole bytes, or {SIZE_FORM}")
    if not 0 <= size <= MOST_BYTES:
        raise _refusal(value, "it must not be negative, nor more than a file can have")
    return size


def format_size(size: int) -> str:
    """Return bytes in short form, with at most one digit behind the point.

    >>> [format_size(size) for size in (0, 1, 1023, 1024, 1_500_000, 10 * 1024**3, 2**63)]
    ['0 bytes', '1 byte', '1023 bytes', '1 KiB', '1.4 MiB', '10 GiB', '8388608 TiB']
    """
    if abs(size) < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    units = ("KiB", "MiB", "GiB", "TiB")
    for power in range(1, 5):
        tenths = round(size * 10 / 1024**power)
        if abs(tenths) < 10240:
            break
    return f"{tenths / 10:.10g} {units[power - 1]}"


def _parse_text(text: str) -> int:
    if re.fullmatch(SIZE_PATTERN, text) is None:
        raise _refusal(text, f"write {SIZE_FORM}")
    amount, unit = re.split(r" *(?=[A-Za-z])", text, maxsplit=1)
    factor = next(factor for names, factor in _UNITS.items() if re.fullmatch(names, unit))
    return round(Fraction(amount) * factor)


def _refusal(value: object, why: str) -> ValueError:
    shown = repr(value) if not isinstance(value, int) or abs(value) <= MOST_BYTES else "a number that large"
    return ValueError(f"{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'} is no size: {why}")
