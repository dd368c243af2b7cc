"""Durations and instants: what people write is read exactly, and what is shown can be read again."""

import re
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stagecall.specs.durations import DURATION_PATTERN, format_duration, parse_duration
from stagecall.specs.instants import EARLIEST, LATEST, format_instant, parse_instant

NAMES = [
    (604800, ["weeks", "week", "w"]),
    (86400, ["days", "day", "d"]),
    (3600, ["hours", "hour", "hrs", "hr", "h"]),
    (60, ["minutes", "minute", "mins", "min", "m"]),
    (1, ["seconds", "second", "secs", "sec", "s"]),
    (0.001, ["milliseconds", "millisecond", "ms"]),
]

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(
    datetime(1970, 1, 2), datetime(8999, 12, 30), timezones=st.one_of(st.just(UTC), ZONES)
)


@st.composite
def written_durations(draw):
    """A duration as someone may write it, and the seconds it has."""
    units = draw(st.lists(st.sampled_from(range(len(NAMES))), min_size=1, unique=True).map(sorted))
    text, seconds = "", 0.0
    for unit in units:
        size, names = NAMES[unit]
        amount = draw(st.integers(0, 10_000) | st.sampled_from([0.5, 2.25]))
        before, between = draw(st.sampled_from(["", " ", "  "])), draw(st.sampled_from(["", " "]))
        text += f"{before if text else ''}{amount}{between}{draw(st.sampled_from(names))}"
        seconds += amount * size
    return text, seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 day 2 hours 3 minutes", 93_780),
        ("90 seconds", 90),
        ("2h 5m", 7_500),
        ("2h5m", 7_500),
        ("1w", 604_800),
        ("0 s", 0),
        ("1.5 s", 1.5),
        ("250ms", 0.25),
        ("1m 1ms", 60.001),
        (90, 90),
        (1.5, 1.5),
    ],
)
def test_durations_are_read(text, seconds):
    """A text with units and a number of seconds are both durations."""
    assert parse_duration(text) == pytest.approx(seconds)


@given(written_durations())
def test_every_way_of_writing_is_read(written):
    """Any units, the largest first, in full or short, with blanks or without, add up."""
    text, seconds = written

    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "90",
        "-5 minutes",
        "5 parsecs",
        "five minutes",
        "1 minute 1 hour",
        "1 s 1 s",
        "1 s ",
        "1,5 s",
        "1e3 s",
        "9" * 400 + " s",
        "\u0663 s",
        -1,
        float("nan"),
        float("inf"),
        10**400,
        True,
        None,
        ["1 s"],
    ],
)
def test_anything_else_is_refused_in_one_short_line(value):
    """What is no duration raises a ValueError that says so, and does not repeat a page of input."""
    with pytest.raises(ValueError, match="is no duration") as refusal:
        parse_duration(value)

    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("text", "unit"),
    [("2 months", "months"), ("1 day 1 Month", "months"), ("1 year", "years"), ("3y", "years")],
)
def test_calendar_units_are_refused_by_name(text, unit):
    """A month and a year vary in length, and the message says that, not that the text is garbage."""
    with pytest.raises(ValueError, match=f"is no duration: {unit} vary in length; write weeks or days"):
        parse_duration(text)


@given(st.text(alphabet="0123456789. wdhms", max_size=12))
@example(" " * 5_000 + "x")
@example("1 " * 5_000)
def test_the_pattern_tells_durations(text):
    """Whatever the published pattern matches, but for the empty text, is read; nothing else is."""
    matches = bool(text) and re.fullmatch(DURATION_PATTERN, text) is not None

    try:
        parse_duration(text)
    except ValueError:
        assert not matches
    else:
        assert matches


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.0123, "12ms"),
        (0.9996, "1s"),
        (3.4, "3.4s"),
        (59.97, "1m"),
        (123.4, "2m 3.4s"),
        (3599.96, "1h"),
        (3723.4, "1h 2m 3s"),
        (86400, "1d"),
        (93784.2, "1d 2h 3m 4s"),
        (-0.0001, "0s"),
        (-2.5, "-2.5s"),
        (sys.float_info.max, f"{int(sys.float_info.max) // 86400}d 14h 26m 8s"),
    ],
)
def test_durations_are_shown_short(seconds, text):
    """A duration is shown in as many figures as a person has use for."""
    assert format_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_what_is_shown_can_be_read(seconds):
    """A duration that was shown, read again, is off by no more than the figures that were left out."""
    shown_to = 0.5 if seconds >= 3599.95 else 0.05 if seconds >= 0.9995 else 0.0005

    again = parse_duration(format_duration(seconds))

    assert abs(again - seconds) <= shown_to * 1.001


@given(INSTANTS)
def test_instants_survive_the_wire(instant):
    """An aware datetime, written and read, is the same instant, in UTC."""
    text = format_instant(instant)

    again = parse_instant(text)

    assert (again, again.tzinfo, parse_instant(instant)) == (instant, UTC, instant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{3}|\d{6})Z", text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "tomorrow",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-02-31T12:00:00Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        datetime(2030, 1, 31),
        1_900_000_000,
        None,
    ],
)
def test_what_is_no_instant_is_refused(value):
    """What names no instant in the range, a datetime without a zone included, raises a ValueError."""
    with pytest.raises(ValueError, match=r"^an instant (must be an ISO 8601 instant|needs a time zone)"):
        parse_instant(value)


def test_the_range_includes_its_ends():
    """The first and the last instant are allowed."""
    assert [parse_instant(EARLIEST), parse_instant(LATEST)] == [EARLIEST, LATEST]
