"""Each check of the plugin kit rejects a plugin that is broken in the way it is there for, and no other check does."""

from stagecall.testing.mutants.plugins import MUTANTS
from stagecall.testing.plugin_conformance import PluginConformance

pytest_plugins = ["pytester"]

MODULE = """
import pytest
from stagecall.testing.mutants.plugins import MUTANTS, clean_up
from stagecall.testing.plugin_conformance import PluginConformance

for mutant in MUTANTS:
    globals()["Test" + mutant.name] = mutant.put_to(PluginConformance, "plugin_factory")

@pytest.fixture(autouse=True)
def cleaned_up():
    yield
    clean_up()
"""


def failed_checks(run):
    """Which checks each mutant failed, by its name."""
    failed: dict[str, set[str]] = {mutant.name: set() for mutant in MUTANTS}
    for report in run.getfailures():
        _, cls, check = report.nodeid.split("::")
        failed[cls.removeprefix("Test")].add(check.partition("[")[0])
    return failed


def test_every_mutant_is_rejected_by_its_check_alone(pytester):
    """The named check fails, and every other one passes: so it sees this defect, and takes nothing else for it."""
    pytester.makepyfile(MODULE)

    run = pytester.inline_run(
        "-q", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"
    )

    assert failed_checks(run) == {mutant.name: {mutant.rejected_by} for mutant in MUTANTS}


def test_every_check_has_a_mutant():
    """A check that rejects nothing would protect nobody."""
    unproved = set(PluginConformance.kit_checks) - {mutant.rejected_by for mutant in MUTANTS}

    assert unproved == set()
