"""Sizes: what people write is read exactly, and what is shown says how much it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.specs.sizes import MOST_BYTES, SIZE_PATTERN, format_size, parse_size

UNITS = {
    1: ["B", "byte", "bytes"],
    1000: ["kB", "KB"],
    1000**2: ["MB"],
    1000**3: ["GB"],
    1000**4: ["TB"],
    1024: ["KiB", "kiB"],
    1024**2: ["MiB"],
    1024**3: ["GiB"],
    1024**4: ["TiB"],
}
WRITTEN = st.tuples(
    st.integers(0, 1000),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from([(factor, name) for factor, names in UNITS.items() for name in names]),
)


@given(WRITTEN)
def test_every_way_of_writing_is_read(written):
    """Any unit, with blanks or without."""
    amount, blanks, (factor, name) = written

    assert parse_size(f"{amount}{blanks}{name}") == amount * factor


@pytest.mark.parametrize(
    ("text", "size"), [("1.5 KiB", 1536), ("0.1 GB", 100_000_000), ("2.4 B", 2), (12, 12)]
)
def test_fractions_are_rounded_to_bytes(text, size):
    """There are no parts of bytes; numbers are bytes already."""
    assert parse_size(text) == size


NO_SIZES = [
    *[
        "",
        "1",
        "1 M",
        "1 mb",
        "-1 B",
        "1,5 kB",
        "1e3 B",
        " 1 B",
        "1 B ",
        "\u0663 B",
        "9" * 5000 + " B",
        "9999999 TiB",
    ],
    *[-1, 1.5, True, None, 2**63, 10**400],
]


@pytest.mark.parametrize("value", NO_SIZES, ids=range(len(NO_SIZES)))
def test_what_is_no_size_is_refused(value):
    """The error says what is allowed, and shows no more than a line of what was given."""
    with pytest.raises(ValueError, match="is no size: ") as refused:
        parse_size(value)

    assert len(str(refused.value)) < 250


@given(st.integers(0, MOST_BYTES // 2))
def test_what_is_shown_can_be_read_and_is_nearly_the_same(size):
    """No more than a digit behind the point is lost."""
    shown = format_size(size)

    assert re.fullmatch(SIZE_PATTERN, shown)
    assert abs(parse_size(shown) - size) <= 0.05 * size
