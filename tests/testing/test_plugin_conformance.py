"""The kit for plugins refuses what would make its checks say nothing, and takes plugins of every sort."""

import asyncio

import pytest

from stagecall.plugins.base import Plugin, PluginProvider, TaskPlugin
from stagecall.testing.plugin_conformance import PluginConformance


class Timer(TaskPlugin):
    """Waits a moment in a thread, and a moment on the loop."""

    def __init__(self, context):
        self.context = context

    def build_sandbox(self, builder):
        self.context.cancelled.wait(0.001)

    async def started(self, sandbox):
        await asyncio.sleep(0.001)

    def stopped(self, result_set):
        self.context.log("stopped")
        return True

    async def exception(self, reason):
        await asyncio.sleep(0.001)


class TimerPlugin(Plugin):
    """Has hooks of both sorts."""

    def new_task_plugin(self, options):
        return Timer(options.context)


class AsyncProvider(PluginProvider):
    """Makes its plugin in a coroutine, of a configuration that it requires."""

    def config_schema(self):
        return {"size": {"type": "integer", "required": True}}

    async def new_plugin(self, options):
        await asyncio.sleep(0)
        assert options.config == {"size": 1}
        return TimerPlugin()


class TestInRealTime(PluginConformance):
    """A plugin that waits for what no virtual clock knows of is tested in real time."""

    capabilities = PluginConformance.capabilities - {"virtual-time"}

    @pytest.fixture
    def plugin_factory(self):
        return TimerPlugin


class TestOfAnAsyncProvider(PluginConformance):
    """A provider may be asynchronous."""

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (AsyncProvider(), {"size": 1})


class Levelled(Plugin):
    def payload_schema(self):
        return {"level": {"type": "integer"}}


class Kit(PluginConformance):
    payloads = ({"level": "high"},)


@pytest.mark.parametrize(
    ("kit", "factory", "complaint"),
    [
        (
            Kit,
            Levelled,
            "payloads must satisfy the schema of the plugin: "
            "['payload.level: must be an integer, not a string']",
        ),
        (
            PluginConformance,
            lambda: (AsyncProvider(), {}),
            "plugin_factory gives a configuration that is refused: ['config.size: is missing; it must be an integer']",
        ),
        (PluginConformance, lambda: None, "plugin_factory must give a Plugin, not None"),
    ],
)
def test_what_would_make_checks_say_nothing_is_refused(kit, factory, complaint):
    """A payload or configuration that is invalid, or what is no plugin, fails a check instead of passing it."""
    with pytest.raises(AssertionError) as caught:
        kit().test_plain_success_is_unaffected(factory)

    assert str(caught.value).splitlines()[0] == complaint
