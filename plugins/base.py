"""The interface of plugins: a Plugin lives as long as the worker, its TaskPlugin as long as one run.

A hook that a class does not override is never called. A method that looks like a hook but is not one, or
takes other arguments, fails when the class is made, also where a mixin brings it: a misspelt hook that is
silently never called is the mistake this design rules out.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from ..specs.lifecycle import TASK_RUN, Lifecycle
from ._method_checks import check_methods

if TYPE_CHECKING:
    from ..engines.base import Engine, ResultSet, Sandbox, SandboxBuilder, Schema
    from ..lifecycle.context import TaskContext
    from ..lifecycle.errors import ExceptionReason
    from ..lifecycle.surroundings import Environment, Monitor
    from ..specs.task import TaskInfo


@attrs.frozen
class PluginOptions:
    """What a plugin is created with; wrapped, so that more can be added without breaking plugins."""

    environment: Environment
    engine: Engine
    monitor: Monitor
    config: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class TaskPluginOptions:
    """What a task plugin is created with.

    `payload` holds the plugin's own properties only, None if they are invalid.
    """

    task_info: TaskInfo
    context: TaskContext
    payload: Mapping[str, Any] | None
    monitor: Monitor


class TaskPlugin:
    """What a plugin does for one run: override the hooks you need.

    A hook is a `def`, run in a thread, or better an `async def`.

    The hooks below stand in call order; `exception` may come after any of them, and `dispose` always comes
    last. No two hooks of one task plugin run at the same time, except `dispose` beside a hook that was
    abandoned. Hooks of different plugins run side by side, except where `Plugin.after` orders them. When the
    run is aborted a hook has `cancel_grace` seconds to return by itself, is cancelled, and has
    `abandon_grace` seconds more. Each may raise MalformedPayloadError, TaskExceptionError,
    NonFatalInternalError and FatalInternalError; anything else counts as fatal.

    For a lifecycle of your own, say which: its hooks are then checked in the same way.

    >>> class Typo(TaskPlugin):
    ...     async def stoped(self, result_set): ...
    Traceback (most recent call last):
        ...
    TypeError: Typo.stoped looks like the hook 'stopped' but is not one; hooks are build_sandbox, ...
    """

    hook_names: ClassVar[frozenset[str]] = frozenset()
    """The hooks this class overrides, of the lifecycle it was made for."""

    def __init_subclass__(cls, lifecycle: Lifecycle | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if lifecycle is not None:
            cls._lifecycle = lifecycle
        hooks = {name: stage.arguments for name, stage in cls._lifecycle.hooks.items() if name != CREATION}
        check_methods(cls, TaskPlugin, hooks)
        cls.hook_names = cls.hooks_in(cls._lifecycle)

    @classmethod
    def hooks_in(cls, lifecycle: Lifecycle) -> frozenset[str]:
        """Return those hooks of a lifecycle that this class overrides."""
        return frozenset(name for name in lifecycle.hooks if name != CREATION and _overrides(cls, name))

    _lifecycle: ClassVar[Lifecycle] = TASK_RUN

    def build_sandbox(self, builder: SandboxBuilder) -> Awaitable[None] | None:
        """Called once, in `build`, when the sandbox builder exists.

        Wait for downloads here, then set variables, volumes and proxies.
        """

    def started(self, sandbox: Sandbox) -> Awaitable[None] | None:
        """Called once, in `started`, when the task runs.

        The place for interactive things and timers (`context.spawn`).
        """

    def stopped(self, result_set: ResultSet) -> Awaitable[bool] | bool:
        """Called once, in `stopped`, when the task has ended: upload artifacts, judge the result.

        Return False if the task failed.
        """
        return True

    def finished(self, success: bool) -> Awaitable[None] | None:
        """Called once, in `finished`, when the log is closed: upload it.

        An error here still turns the run into an exception.
        """

    def exception(self, reason: ExceptionReason) -> Awaitable[None] | None:
        """Called at most once, in `exception`, after an error or abort: save what can be saved.

        Expect reasons you do not know. What it raises changes the resolution no more: it goes to the trace
        and the worker.
        """

    def dispose(self) -> Awaitable[None] | None:
        """Called exactly once, last, whatever happened: release everything.

        Has `dispose_budget` seconds, and is not cancelled before.
        """


EVERY_OTHER: frozenset[str] = frozenset({"*"})
"""As `Plugin.after`: this plugin's hook of a stage comes last, once those of all others have returned."""


class Plugin:
    """What a feature does for all runs: override what you need.

    Methods may be `def` or `async def`, unless noted.

    >>> class Greeter(Plugin):
    ...     after = frozenset({"logprefix"})
    >>> Greeter().name
    'greeter'
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_methods(cls, Plugin, _METHODS, "method")

    after: ClassVar[frozenset[str]] = frozenset()
    """The names of plugins whose hook of a stage must have returned before this plugin's is called.

    Absent ones are ignored. EVERY_OTHER means all but those that name this plugin in theirs.
    """

    accepts_invalid_payload: ClassVar[bool] = False
    """Whether a task plugin is made although the plugin's part of the payload is invalid.

    It gets `payload=None`. For logging plugins.
    """

    @property
    def name(self) -> str:
        """What the plugin is called in traces and errors, unless configuration gives it another name."""
        return type(self).__name__.removesuffix("Plugin").lower() or "plugin"

    def payload_schema(self) -> Schema:
        """Return the cerberus schema of the payload properties that belong to this plugin.

        A plain `def`, called once at start.
        """
        return {}

    def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin | Awaitable[TaskPlugin | None] | None:
        """Return the task plugin for one run, or None if it needs no hooks.

        Called once for each run, in `prepare`, beside the engine's `new_sandbox_builder`: start long
        downloads here with `context.spawn` and wait for them in `build_sandbox`. A plugin whose task plugin
        could not be made gets no hook called, so clean up before you raise.
        """
        return None

    def report_idle(self, seconds: float) -> Awaitable[None] | None:
        """Called now and then while the worker has had nothing to do, for `seconds` so far."""

    def report_non_fatal_error(self) -> Awaitable[None] | None:
        """Called after a run met a NonFatalInternalError."""

    def documentation(self) -> str:
        """Return a Markdown page about the payload and the configuration. A plain `def`."""
        return inspect.getdoc(type(self)) or ""

    def dispose(self) -> Awaitable[None] | None:
        """Release what the plugin holds; called once, after the last run."""


class PluginProvider:
    """Creates one plugin from configuration; what the entry-point group `stagecall.plugins` points at."""

    def new_plugin(self, options: PluginOptions) -> Plugin | Awaitable[Plugin]:
        """Return the plugin. Raises: ConfigurationError."""
        raise TypeError(f"{type(self).__name__} must override new_plugin")

    def config_schema(self) -> Schema:
        """Return the cerberus schema of `PluginOptions.config`. A plain `def`."""
        return {}


CREATION = "new_task_plugin"
"""The one hook that is a method of Plugin, as there is no task plugin yet."""


def _overrides(cls: type[TaskPlugin], name: str) -> bool:
    mine = getattr(cls, name, None)
    return mine is not None and mine is not getattr(TaskPlugin, name, None)


_METHODS = {
    name: tuple(inspect.signature(getattr(Plugin, name)).parameters)[1:]
    for name in (
        "payload_schema",
        "new_task_plugin",
        "report_idle",
        "report_non_fatal_error",
        "documentation",
        "dispose",
    )
}
