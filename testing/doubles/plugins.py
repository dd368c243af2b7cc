"""Plugins for tests: one that remembers its calls, and one made of the functions it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from ...engines.base import ResultSet, Sandbox, SandboxBuilder, Schema
from ...lifecycle.context import TaskContext
from ...lifecycle.errors import ExceptionReason
from ...plugins.base import CREATION, Plugin, TaskPlugin, TaskPluginOptions
from ...specs.lifecycle import TASK_RUN, Lifecycle


class HookRecorder(Plugin):
    """Remembers every hook called with its arguments, those left out that are objects of the engine.

    A task whose command failed is failed by it, as by the plugin `success`.

    >>> from stagecall import run_task_sync
    >>> recorder = HookRecorder()
    >>> run_task_sync({"payload": {"function": "false"}}, engine="mock", plugins=[recorder]).state
    'failed'
    >>> recorder.calls
    [('build_sandbox',), ('started',), ('stopped',), ('finished', False), ('dispose',)]
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Recording(self.calls)


class _Recording(TaskPlugin):
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls = calls

    async def build_sandbox(self, builder: SandboxBuilder) -> None:
        self.calls.append(("build_sandbox",))

    async def started(self, sandbox: Sandbox) -> None:
        self.calls.append(("started",))

    async def stopped(self, result_set: ResultSet) -> bool:
        self.calls.append(("stopped",))
        return bool(result_set.success)

    async def finished(self, success: bool) -> None:
        self.calls.append(("finished", success))

    async def exception(self, reason: ExceptionReason) -> None:
        self.calls.append(("exception", reason.value))

    async def dispose(self) -> None:
        self.calls.append(("dispose",))


class ScriptedPlugin(Plugin):
    """A plugin made of functions by the names of the hooks, `def` or `async def`, without `self`.

    `new_task_plugin` among them is given the options and called before the task plugin is made; what it returns,
    unless None, takes the task plugin's place. `options` collects what each run brought. The other arguments are what
    a plugin declares: its name, `after`, the schema of its payload, whether it `accepts_invalid_payload`.

    Raises: TypeError for a name that is no hook of the lifecycle.

    >>> from stagecall import run_task_sync
    >>> strict = ScriptedPlugin("strict", stopped=lambda result_set: False)
    >>> run_task_sync({"payload": {"function": "true"}}, engine="mock", plugins=[strict]).state
    'failed'
    """

    def __init__(
        self,
        name: str = "plugin",
        *,
        after: Iterable[str] = (),
        schema: Schema | None = None,
        accepts_invalid_payload: bool = False,
        lifecycle: Lifecycle = TASK_RUN,
        report_non_fatal_error: Callable[[], Any] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        self._name = name
        self._schema = schema or {}
        self._creation = hooks.pop(CREATION, None)
        self._task_plugin = task_plugin_class(lifecycle, **hooks)
        self.after = frozenset(after)  # type: ignore[misc]
        self.accepts_invalid_payload = accepts_invalid_payload  # type: ignore[misc]
        self.options: list[TaskPluginOptions] = []
        if report_non_fatal_error is not None:
            self.report_non_fatal_error = report_non_fatal_error  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        return self._name

    @property
    def context(self) -> TaskContext:
        """The context of the latest run."""
        return self.options[-1].context

    def payload_schema(self) -> Schema:
        return self._schema

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin | None:
        self.options.append(options)
        if self._creation is not None:
            made = self._creation(options)
            made = await made if inspect.isawaitable(made) else made
            if made is not None:
                return made  # type: ignore[no-any-return]  # also what no task plugin is: a test may want that
        return self._task_plugin()


def task_plugin_class(lifecycle: Lifecycle = TASK_RUN, **hooks: Callable[..., Any]) -> type[TaskPlugin]:
    """Return a class of task plugins whose hooks are these functions, which are called without `self`.

    Raises: TypeError for a name that is no hook of the lifecycle.

    >>> sorted(task_plugin_class(started=print, dispose=lambda: None).hook_names)
    ['dispose', 'started']
    """
    known = [name for name in lifecycle.hooks if name != CREATION]
    if unknown := sorted(hooks.keys() - set(known)):
        raise TypeError(f"no hook is called {', '.join(unknown)}; hooks are {', '.join(known)}")
    methods: dict[str, Any] = {name: _method(function) for name, function in hooks.items()}
    return type("ScriptedTaskPlugin", (TaskPlugin,), methods, lifecycle=lifecycle)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def asynchronous(self: TaskPlugin, *arguments: Any) -> Any:
            return await function(*arguments)

        return asynchronous

    def synchronous(self: TaskPlugin, *arguments: Any) -> Any:
        return function(*arguments)

    return synchronous
