"""Durations as people write them ("1 day 2 hours", "90 s") and read them ("2m 3.4s"); inside, seconds."""

from __future__ import annotations

import math
import re

_UNITS = {
    "weeks?|w": 604800.0,
    "days?|d": 86400.0,
    "hours?|hrs?|h": 3600.0,
    "minutes?|mins?|m": 60.0,
    "seconds?|secs?|s": 1.0,
    "milliseconds?|ms": 0.001,
}

DURATION_PATTERN = "".join(rf"(?: *([0-9]+(?:\.[0-9]+)?) *(?:{names}))?" for names in _UNITS)
"""The form of a duration, read alike by Python and ECMA 262; an empty text matches it and is none."""

DURATION_FORM = (
    'numbers with units from weeks to ms, largest first, such as "1 day 2 hours 3 minutes" or "90 s"'
)
"""What is allowed, for error messages."""

_CALENDAR_UNITS = re.compile(r"[0-9] *(months?|mo|years?|yrs?|y)(?![a-z])", re.IGNORECASE)
_SHOWN = 60


def parse_duration(value: str | float) -> float:
    """Return a duration in seconds.

    A text is made of numbers with units, each unit at most once and the largest first; a day has 24 hours, a
    week 7 days. A number is seconds already.

    Raises: ValueError that says what is allowed, also for months and years, whose length varies.

    >>> parse_duration("1 day 2 hours 3 minutes")
    93780.0
    >>> parse_duration("2h 5m"), parse_duration("1.5s"), parse_duration(90)
    (7500.0, 1.5, 90.0)
    >>> parse_duration("2 months")
    Traceback (most recent call last):
    ValueError: '2 months' is no duration: months vary in length; write weeks or days
    """
    seconds = _parse_text(value) if isinstance(value, str) else _parse_number(value)
    if not 0 <= seconds < math.inf:
        raise _refusal(value, "it must be finite and not negative")
    return seconds


MILLISECOND = 0.001


def took(seconds: float) -> str:
    """Return finite seconds in short form; what is too short to be told is not nothing.

    >>> took(0.0002), took(1.25)
    ('<1ms', '1.2s')
    """
    return "<1ms" if seconds < MILLISECOND else format_duration(seconds)


def format_duration(seconds: float) -> str:
    """Return finite seconds in short form: whole from one hour on, tenths from one second, else milliseconds.

    >>> [format_duration(seconds) for seconds in (0, 0.0123, 3.4, 123.4, 3600, 93784.2)]
    ['0s', '12ms', '3.4s', '2m 3.4s', '1h', '1d 2h 3m 4s']
    """
    milliseconds = round(seconds * 1000) if abs(seconds) < 3600 else round(seconds) * 1000  # never infinite
    if milliseconds < 0:
        return f"-{format_duration(-seconds)}"
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    tenths = round(seconds * 10) if seconds < 3600 else round(seconds) * 10
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{amount}{unit}" for amount, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if amount]
    return " ".join([*parts, f"{tenths / 10:g}s"] if tenths or not parts else parts)


def _parse_text(text: str) -> float:
    match = re.fullmatch(DURATION_PATTERN, text)
    if match is None and (calendar := _CALENDAR_UNITS.search(text)):
        unit = "years" if calendar[1].lower().startswith("y") else "months"
        raise _refusal(text, f"{unit} vary in length; write weeks or days")
    if match is None or not text:
        raise _refusal(text, f"write {DURATION_FORM}")
    return sum(
        float(amount) * unit for amount, unit in zip(match.groups(), _UNITS.values(), strict=True) if amount
    )


def _parse_number(number: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _refusal(number, f"write seconds, or {DURATION_FORM}")
    try:
        return float(number)
    except OverflowError as error:
        raise _refusal("a number that large", "it must be finite") from error


def _refusal(value: object, why: str) -> ValueError:
    shown = repr(value)
    return ValueError(f"{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'} is no duration: {why}")
