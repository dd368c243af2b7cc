"""Each check of the store kit rejects a store that is broken in the way it is there for, and no other check does."""

from stagecall.testing.mutants.stores import MUTANTS
from stagecall.testing.store_conformance import StoreConformance

pytest_plugins = ["pytester"]

MODULE = """
from stagecall.testing.mutants.stores import MUTANTS
from stagecall.testing.store_conformance import StoreConformance

for mutant in MUTANTS:
    globals()["Test" + mutant.name] = mutant.put_to(StoreConformance, "store")
"""


def test_every_mutant_is_rejected_by_its_check_alone(pytester):
    """The named check fails, and every other one passes: so it sees this defect, and takes nothing else for it."""
    pytester.makepyfile(MODULE)

    run = pytester.inline_run(
        "-q", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"
    )

    failed: dict[str, set[str]] = {mutant.name: set() for mutant in MUTANTS}
    for report in run.getfailures():
        _, cls, check = report.nodeid.split("::")
        failed[cls.removeprefix("Test")].add(check)
    assert failed == {mutant.name: {mutant.rejected_by} for mutant in MUTANTS}


def test_every_check_has_a_mutant():
    """A check that rejects nothing would protect nobody."""
    unproved = set(StoreConformance.kit_checks) - {mutant.rejected_by for mutant in MUTANTS}

    assert unproved == set()
