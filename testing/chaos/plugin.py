"""Plugins that do at each hook what they are told, and bear witness of how they were treated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs

from ...engines.base import Schema
from ...lifecycle.context import TaskContext
from ...plugins.base import Plugin, TaskPlugin, TaskPluginOptions
from ...specs.lifecycle import TASK_RUN, Lifecycle, Stage
from ..doubles.plugins import task_plugin_class
from .behaviour import CALMLY, Behaviour
from .scene import WRONG, Scene


@attrs.define(eq=False)
class Witness:
    """How one task plugin was treated. It reads no trace, so that a trace that lies is found out too."""

    scene: Scene
    name: str
    context: TaskContext
    lifecycle: Lifecycle = TASK_RUN
    running: list[str] = attrs.field(factory=list)
    disposed: int = 0

    def method(self, hook: str, behaviour: Behaviour) -> Callable[..., Any]:
        """Return what is called for a hook, a `def` or an `async def`."""

        async def on_loop(*args: Any) -> Any:
            self._enter(hook, args)
            try:
                return await self.scene.act(behaviour, self.context)
            finally:
                self.running.remove(hook)

        def in_thread(*args: Any) -> Any:
            self._enter(hook, args)
            try:
                return self.scene.act_in_thread(behaviour, self.context)
            finally:
                self.running.remove(hook)

        return in_thread if behaviour.threaded else on_loop

    def _enter(self, hook: str, args: tuple[Any, ...]) -> None:
        run, stage = self.scene.run, self.lifecycle.hooks[hook]
        assert run is not None
        disposes = stage.name == self.lifecycle.final
        late = disposes and run.stage != stage.name  # it was made by a call that had been abandoned
        if self.disposed:
            self._complain(f"{hook} came after dispose")
        if self.running and not disposes:
            self._complain(f"{hook} came beside {', '.join(self.running)}")
        if run.stage != stage.name and not disposes:
            self._complain(f"{hook} came in {run.stage}")
        if self.context.log_closed != (stage.name in _behind_the_log(self.lifecycle)) and not late:
            self._complain(f"{hook} found the log {'closed' if self.context.log_closed else 'open'}")
        if args != tuple(getattr(run, name) for name in stage.arguments):
            self._complain(f"{hook} was given {args}, not the run's own {', '.join(stage.arguments)}")
        if stage.name in self.lifecycle.exception_stages and not self.context.cancelled:
            self._complain(f"{hook} found the context not cancelled")
        self.disposed += disposes
        self.running.append(hook)

    def _complain(self, sentence: str) -> None:
        self.scene.complaints.append(f"plugin {self.name}: {sentence}")


@lru_cache(maxsize=64)
def _behind_the_log(lifecycle: Lifecycle) -> frozenset[str]:
    """The stages whose hooks find the log closed."""
    closing = [stage.name for stage in lifecycle.stages if _closes(stage)]
    return frozenset(name for start in closing for name in lifecycle.following(start))


def _closes(stage: Stage) -> bool:
    return stage.action in ("close_log", "give_up")


@attrs.define(eq=False)
class ChaosPlugin(Plugin):
    """Makes a task plugin whose hooks behave as `hooks` says; `creation` is what happens while it is made.

    Its part of the payload is an optional integer of its own name. `told` counts the non-fatal errors it was told of.

    >>> plugin = ChaosPlugin(Scene(), "red", {"started": Behaviour("fatal")})
    >>> plugin.name, plugin.payload_schema()
    ('red', {'red': {'type': 'integer'}})
    """

    scene: Scene
    plugin_name: str
    hooks: Mapping[str, Behaviour] = attrs.field(factory=dict)
    creation: Behaviour = CALMLY
    after: frozenset[str] = frozenset()  # type: ignore[misc]
    accepts_invalid_payload: bool = False  # type: ignore[misc]
    lifecycle: Lifecycle = TASK_RUN
    told: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if self.creation.threaded:
            self.new_task_plugin = self._new_task_plugin_in_thread  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        return self.plugin_name

    def payload_schema(self) -> Schema:
        return {self.plugin_name: {"type": "integer"}}

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin | None:
        return self._made(await self.scene.act(self.creation, options.context), options)

    def _new_task_plugin_in_thread(self, options: TaskPluginOptions) -> Any:
        told = self.scene.act_in_thread(self.creation, options.context)
        return self._made(told, options) if isinstance(told, bool | str) else self._made_later(told, options)

    async def _made_later(self, told: Any, options: TaskPluginOptions) -> TaskPlugin | None:
        return self._made(await told, options)

    def _made(self, told: Any, options: TaskPluginOptions) -> TaskPlugin | None:
        if told is False:
            return None
        if told == WRONG:
            return "no task plugin"  # type: ignore[return-value]
        witness = Witness(self.scene, self.plugin_name, options.context, self.lifecycle)
        self.scene.made.append(witness)
        dispose = self.lifecycle[self.lifecycle.final].hook
        behaviours = {str(dispose): CALMLY, **self.hooks}
        methods = {hook: witness.method(hook, behaviour) for hook, behaviour in behaviours.items()}
        return task_plugin_class(self.lifecycle, **methods)()

    async def report_non_fatal_error(self) -> None:
        self.told += 1
