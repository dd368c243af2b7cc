"""Checks of a plugin beside others: other plugins that fail, other runs at the same time, the worker around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ...plugins.base import Plugin
from ...plugins.manager import PluginManager
from ...specs.lifecycle import TASK_RUN
from ...specs.slugs import new_slug
from ..conformance import needs
from ..doubles.plugins import ScriptedPlugin
from .kit import PluginKit, assert_sound_plugin
from .stand import PluginFactory, View

NEIGHBOUR = "stagecall-neighbour"
"""The name of the plugins that the kit puts beside the one under test."""

MEETINGS = ("build_sandbox", "started", "stopped", "finished")
"""The hooks in which two runs wait for each other, so that they go through their stages in step."""


class CompanyChecks(PluginKit):
    """A plugin is not alone, and does as if it were."""

    @pytest.mark.parametrize("hook", TASK_RUN.hooks)
    async def test_survives_errors_of_other_plugins(self, plugin_factory: PluginFactory, hook: str) -> None:
        """Another plugin's error, in whatever hook, is none of this one: it gets through to dispose."""
        async with self.stand(plugin_factory) as stand:
            before = {"stopped": _fails} if hook == "exception" else {}

            view = await stand.run(self.payloads[0], _neighbour({**before, hook: _fails}))

            assert_sound_plugin(view, f"another plugin having failed in {hook}")

    @needs("reproducible")
    async def test_two_runs_at_once_share_nothing(self, plugin_factory: PluginFactory) -> None:
        """Two runs that go through their stages in step log, store and become what each does alone."""
        first, last = self.payloads[0], self.payloads[-1]
        async with self.stand(plugin_factory) as stand:
            alone = [
                await stand.run(payload, task_id=task_id)
                for payload, task_id in [(first, _FIRST), (last, _LAST)]
            ]
        async with self.stand(plugin_factory) as stand:
            runtime = stand.runtime(_meeting_point())

            together = await asyncio.gather(
                stand.drive(runtime, first, task_id=_FIRST), stand.drive(runtime, last, task_id=_LAST)
            )

        for one, other in zip(alone, together, strict=True):
            assert _shown(other) == _shown(one), (
                "a run shows something else when another goes on at the same time"
            )

    async def test_payload_is_left_as_it_is(self, plugin_factory: PluginFactory) -> None:
        """The payload is the task's, and is read again for the next attempt: a plugin changes nothing in it."""
        async with self.stand(plugin_factory) as stand:
            for payload in self.payloads:
                view = await stand.run(payload)

                left = view.run.info.task.payload
                assert left == payload, f"the payload {payload} was changed to {left}"

    async def test_hears_the_worker_without_an_error(self, plugin_factory: PluginFactory) -> None:
        """It may be told that the worker is idle, and of errors, at any time and for any number of times."""
        async with self.stand(plugin_factory) as stand:
            manager = PluginManager.of([stand.plugin])
            for seconds in (0.0, 0.5, 86_400.0):
                await manager.report_idle(seconds)
            for _ in range(2):
                await manager.report_non_fatal_error()

            view = await stand.run(self.payloads[0])

            assert_sound_plugin(view, "after reports of the worker")


_FIRST, _LAST = new_slug(), new_slug()


async def _fails(*_: Any) -> None:
    raise ValueError("another plugin's defect")


def _neighbour(hooks: Mapping[str, Any]) -> Plugin:
    return ScriptedPlugin(NEIGHBOUR, **hooks)


def _meeting_point() -> Plugin:
    """Return a plugin in whose hooks two runs wait for each other."""
    barrier = asyncio.Barrier(2)

    def meets(value: Any) -> Callable[..., Any]:
        async def meet(*_: Any) -> Any:
            async with asyncio.timeout(60):
                await barrier.wait()
            return value

        return meet

    return _neighbour({hook: meets(hook == "stopped" or None) for hook in MEETINGS})


def _shown(view: View) -> dict[str, Any]:
    return {
        "resolution": (view.state, view.reason),
        "calls": view.calls,
        "log": view.log,
        "artifacts": dict(view.artifacts),
    }
