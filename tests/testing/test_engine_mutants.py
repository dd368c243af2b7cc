"""Each check of the engine kit rejects an engine that is broken in the way it is there for, and no other check does."""

import os

import hypothesis
import pytest

from stagecall.engines.mock import provider
from stagecall.testing.engine_conformance import EngineConformance, MockRecipes
from stagecall.testing.mutants.engines import MUTANTS, clean_up
from stagecall.testing.mutants.engines.layers import layered

CHECKS = sorted(EngineConformance.kit_checks)
RACES = "test_races_of_wait_kill_and_abort"
"""A property that covers single orders, which have checks of their own."""


@pytest.fixture(autouse=True)
def nothing_left():
    """What mutants leave behind is cleaned up here."""
    yield
    clean_up()


@pytest.fixture(autouse=True)
def first_example_will_do():
    """That a mutant is rejected is all there is to know: the example need be neither small nor remembered."""
    usual = "ci" if os.environ.get("STAGECALL_CI") else "dev"
    hypothesis.settings.register_profile(
        "mutants", hypothesis.settings.get_profile(usual), phases=[hypothesis.Phase.generate], database=None
    )
    hypothesis.settings.load_profile("mutants")
    yield
    hypothesis.settings.load_profile(usual)


def beside(check: str) -> list[str]:
    """The other checks that a mutant is put to: all in CI, those of the same group elsewhere."""
    if os.environ.get("STAGECALL_CI"):
        return [other for other in CHECKS if other not in (check, RACES)]
    group = check.split("_")[1]
    return [other for other in CHECKS if other.split("_")[1] == group and other not in (check, RACES)]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_rejected_by_its_check_alone(mutant):
    """The named check fails, and every other one passes: so it sees this defect, and takes nothing else for it."""
    rejected = mutant.put_to().failures([mutant.rejected_by, *beside(mutant.rejected_by)])

    assert list(rejected) == [mutant.rejected_by], rejected


def test_every_check_has_a_mutant():
    """A check that rejects nothing would protect nobody."""
    unproved = set(EngineConformance.kit_checks) - {mutant.rejected_by for mutant in MUTANTS}

    assert unproved == set()


class TestPlainLayers(MockRecipes, EngineConformance):
    """What mutants are made of is sound where they change nothing."""

    race_examples = 10

    def engine_factory(self, options):
        return layered(provider.new_engine(options))
