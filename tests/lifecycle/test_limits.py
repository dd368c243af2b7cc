"""The bounds of a run: the design's defaults, and no bound that could not be kept."""

import math

import attrs
import pytest

from stagecall.lifecycle.limits import Limits

SECONDS = [field.name for field in attrs.fields(Limits) if field.name != "max_log_bytes"]


def test_defaults_are_the_designs():
    """Seconds, as the design says, and bytes of a log."""
    assert attrs.asdict(Limits()) == {
        "cancel_grace": 5.0,
        "abandon_grace": 1.0,
        "hook_timeout": 1800.0,
        "dispose_budget": 60.0,
        "dispose_total": 120.0,
        "report_budget": 60.0,
        "journal_budget": 30.0,
        "max_log_bytes": 10 * 1024**3,
    }


@pytest.mark.parametrize("value", [-1, -0.001, math.nan])
@pytest.mark.parametrize("name", SECONDS)
def test_negative_bound_is_refused(name, value):
    """A bound is at least 0 seconds; the error names it."""
    with pytest.raises(ValueError, match=f"{name} must be 0 or more seconds, not {value}"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [-1, 1.5, True, "1 MiB"])
def test_log_limit_is_bytes_or_none(value):
    """What may be no limit at all is told from a number of bytes; a text is for configuration files."""
    assert Limits(max_log_bytes=None).max_log_bytes is None
    with pytest.raises(ValueError, match=f"max_log_bytes must be 0 or more bytes, or None .* not {value!r}"):
        Limits(max_log_bytes=value)
