"""The suite's own helpers keep their word."""

import sys

import pytest


def test_program_that_is_there_is_given_with_its_path(need):
    """The first of the named programs that is installed is returned."""
    found = need("no-such-program", sys.executable)

    assert found == sys.executable


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_missing_program_skips_here_and_fails_in_ci(need, monkeypatch, ci, outcome):
    """A test that needs a program is skipped on a machine without it, and fails where CI promised it."""
    monkeypatch.setenv("STAGECALL_CI", ci)

    with pytest.raises(outcome) as caught:
        need("no-such-program", "nor-this")

    assert str(caught.value) == "needs no-such-program or nor-this, which is not installed"
