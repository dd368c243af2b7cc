"""The bounds of a run: the design's defaults, and no bound that could not be kept."""

import math

import attrs
import pytest

from stagecall.lifecycle.limits import Limits


def test_defaults_are_the_designs():
    """Seconds, as the design says."""
    assert attrs.asdict(Limits()) == {
        "cancel_grace": 5.0,
        "abandon_grace": 1.0,
        "hook_timeout": 1800.0,
        "dispose_budget": 60.0,
        "dispose_total": 120.0,
        "report_budget": 60.0,
        "journal_budget": 30.0,
    }


@pytest.mark.parametrize("value", [-1, -0.001, math.nan])
@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
def test_negative_bound_is_refused(name, value):
    """A bound is at least 0 seconds; the error names it."""
    with pytest.raises(ValueError, match=f"{name} must be 0 or more seconds, not {value}"):
        Limits(**{name: value})
