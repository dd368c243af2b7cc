"""The package says what is where."""

import pkgutil

import stagecall.testing


def test_every_module_is_in_the_overview():
    """Who opens the package learns of each of its public modules, and of none that is not there."""
    overview = stagecall.testing.__doc__
    rows = [line for line in overview.splitlines() if line.startswith("| ")][1:]

    named = {name for row in rows for name in row.split("|")[2].split("`")[1::2]}

    public = {one.name for one in pkgutil.iter_modules(stagecall.testing.__path__) if one.name[0] != "_"}
    assert named | {"pytest_plugin"} == public
    assert "`pytest_plugin`" in overview
