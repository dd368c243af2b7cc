"""Instants on the wire: ISO 8601 texts with an offset outside, aware datetimes in UTC inside."""

from __future__ import annotations

from datetime import UTC, datetime

INSTANT_FORM = 'an ISO 8601 instant with a time zone, from 1970 to 9000, such as "2030-01-31T12:00:00Z"'
"""What is allowed, for error messages."""

# Far enough from the ends of what datetime can hold that adding years, or changing the zone, cannot overflow.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def parse_instant(value: str | datetime) -> datetime:
    """Return the instant that an ISO 8601 text or an aware datetime names, in UTC.

    Raises: ValueError that says what is allowed.

    >>> parse_instant("2030-01-31T12:00:00+02:00")
    datetime.datetime(2030, 1, 31, 10, 0, tzinfo=datetime.timezone.utc)
    >>> parse_instant("2030-01-31T12:00:00")
    Traceback (most recent call last):
    ValueError: an instant needs a time zone: end it in Z or an offset, such as +02:00
    """
    instant = _read(value)
    if instant.utcoffset() is None:
        raise ValueError("an instant needs a time zone: end it in Z or an offset, such as +02:00")
    if not EARLIEST <= instant <= LATEST:
        raise ValueError(f"an instant must be {INSTANT_FORM}")
    return instant.astimezone(UTC)


def format_instant(instant: datetime) -> str:
    """Return an aware datetime as the wire has it: UTC, milliseconds (or microseconds if it has any), `Z`.

    >>> format_instant(parse_instant("2030-01-31T12:00:00+02:00"))
    '2030-01-31T10:00:00.000Z'
    """
    precision = "microseconds" if instant.microsecond % 1000 else "milliseconds"
    return instant.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _read(value: str | datetime) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an instant must be {INSTANT_FORM}") from error
