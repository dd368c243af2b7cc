"""The plugin `success` hands on the sandbox's verdict."""

import pytest

from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.success import provider

from .plugin_support import StubEngine, StubResultSet, configured, run


@pytest.mark.parametrize(("passed", "state"), [(True, "completed"), (False, "failed")])
async def test_task_becomes_what_its_command_did(passed, state):
    """A task fails if its command does, and completes if it does not."""
    seen = await run(StubEngine(StubResultSet(passed=passed)), await configured(provider))

    assert seen.resolution == Resolution(state)


async def test_nobody_else_judges_the_command():
    """Without the plugin a task completes whatever its command did."""
    seen = await run(StubEngine(StubResultSet(passed=False)))

    assert seen.resolution == Resolution("completed")
