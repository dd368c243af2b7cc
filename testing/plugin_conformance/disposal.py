"""Checks of the end: dispose comes at any time, also early and once more, and leaves nothing behind."""

from __future__ import annotations

from ...lifecycle.calls import Call
from ...lifecycle.leaks import take
from ...plugins.base import CREATION, Plugin, TaskPlugin, TaskPluginOptions
from ...plugins.manager import PluginManager
from ...specs.schemas import Schema
from .kit import PluginKit, assert_sound_plugin
from .stand import PluginFactory

SETTLE_SECONDS = 0.1
"""How long what is about to end may take."""


class DisposalChecks(PluginKit):
    """Whatever a plugin holds, it lets go of it."""

    async def test_dispose_without_stages(self, plugin_factory: PluginFactory) -> None:
        """A task plugin may be disposed as soon as it is made, none of its hooks called: so is one made too late."""
        async with self.stand(plugin_factory) as stand:
            view = await stand.run(self.payloads[0], plugin=_DisposesAtOnce(stand.plugin))

            assert_sound_plugin(view, "disposed as soon as it was made")

    async def test_dispose_twice(self, plugin_factory: PluginFactory) -> None:
        """Disposing again does nothing: whoever cleans up after an error cannot always know what was disposed."""
        async with self.stand(plugin_factory) as stand:
            view = await stand.run(self.payloads[0])
            for one in view.run.participants:
                await _dispose(one.target)

            await stand.dispose()
            await PluginManager.of([stand.plugin]).dispose()

    async def test_leaves_nothing_behind(self, plugin_factory: PluginFactory) -> None:
        """After dispose of run and plugin no task, thread, open file, path or web hook is there that was not before."""
        async with self.stand(plugin_factory) as warm_up:
            await warm_up.run(self.payloads[0])
        async with self.stand(plugin_factory) as stand:
            before = take([stand.folder])
            for payload in self.payloads:
                await stand.run(payload)
                await stand.run(payload, engine=stand.engine(function="nonfatal-internal-error"))

            await stand.dispose()

            await stand.environment.close()
            left = [str(leak) for leak in await before.settle(SETTLE_SECONDS)]
            left += [f"a web hook, {url}" for url in stand.webhooks.attached]
            assert not left, f"after dispose there is still {', '.join(left)}"


class _DisposesAtOnce(Plugin):
    """Stands for a plugin, disposes its task plugins as soon as they are made, and keeps them from the run."""

    def __init__(self, inner: Plugin) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    def payload_schema(self) -> Schema:
        return self._inner.payload_schema()

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        made = await Call(CREATION, None, self._inner.new_task_plugin, (options,)).invoke()
        if made is not None:
            await _dispose(made)


async def _dispose(task_plugin: TaskPlugin) -> None:
    if "dispose" in task_plugin.hook_names:
        await Call("dispose", None, task_plugin.dispose, reserved=True).invoke()
