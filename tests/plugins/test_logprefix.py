"""The plugin `logprefix` writes who and what, before anything else is in the log."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagecall.lifecycle.errors import ConfigurationError, ExceptionReason
from stagecall.plugins.base import Plugin
from stagecall.plugins.logprefix import provider, visible

from .plugin_support import StubEngine, configured, run


class Chatty(Plugin):
    """Writes to the log as early as it can, though declared before the prefix."""

    after = frozenset({"logprefix"})

    async def new_task_plugin(self, options):
        options.context.log("chat")


async def test_prefix_is_sorted_and_comes_first():
    """The lines come in the order of their keys, and before what other plugins write."""
    plugin = await configured(provider, prefix={"Worker": "build-7", "Rack": "3"})

    seen = await run(StubEngine(), Chatty(), plugin, runId=2)

    assert seen.log == [
        "[stagecall] Rack: 3",
        "[stagecall] RunId: 2",
        f"[stagecall] TaskId: {seen.task_id}",
        "[stagecall] Worker: build-7",
        "[stagecall] chat",
    ]


async def test_prefix_is_written_for_an_invalid_payload_too():
    """The log of a malformed task says which task it is."""
    seen = await run(StubEngine(), await configured(provider), payload={"unknown": 1})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert seen.log[:2] == ["[stagecall] RunId: 0", f"[stagecall] TaskId: {seen.task_id}"]


async def test_prefix_cannot_break_its_line():
    """What a terminal would obey is shown as an escape, in keys and values."""
    plugin = await configured(provider, prefix={"A\nB": "red \x1b[31m\r\n"})

    seen = await run(StubEngine(), plugin)

    assert seen.log[0] == r"[stagecall] A\nB: red \x1b[31m\r\n"


@settings(deadline=None)
@given(st.text())
def test_anything_is_one_printable_line(text):
    """No text at all gives more than one line, or a character that cannot be seen."""
    shown = visible(text)

    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize("key", ["TaskId", "RunId"])
async def test_facts_of_the_run_are_not_for_the_operator_to_change(key):
    """A prefix that would contradict the run is refused at start."""
    with pytest.raises(ConfigurationError, match=f"plugin logprefix, prefix: {key} is written"):
        await configured(provider, prefix={key: "1"})
