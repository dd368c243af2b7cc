"""Plugins for tests: one that remembers its calls, and one made of the functions it is given."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stagecall.lifecycle.errors import ExceptionReason
from stagecall.plugins.base import Plugin, TaskPlugin, TaskPluginOptions
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle


class HookRecorder(Plugin):
    """Remembers every hook called with its arguments; those that are engine objects are left out."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        return _Recording(self.calls)


class _Recording(TaskPlugin):
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls = calls

    async def build_sandbox(self, builder: Any) -> None:
        self.calls.append(("build_sandbox",))

    async def started(self, sandbox: Any) -> None:
        self.calls.append(("started",))

    async def stopped(self, result_set: Any) -> bool:
        self.calls.append(("stopped",))
        return bool(result_set.success)

    async def finished(self, success: bool) -> None:
        self.calls.append(("finished", success))

    async def exception(self, reason: ExceptionReason) -> None:
        self.calls.append(("exception", reason.value))

    async def dispose(self) -> None:
        self.calls.append(("dispose",))


class Scripted(Plugin):
    """A plugin made of functions without `self`, `def` or `async def`, by the names of the hooks.

    `new_task_plugin` among them is given the options and called before the task plugin is made; what it returns, unless
    None, is returned instead.
    """

    accepts_invalid_payload = False

    def __init__(
        self,
        name: str = "plugin",
        *,
        after: Iterable[str] = (),
        schema: Mapping[str, Any] | None = None,
        accepts_invalid_payload: bool = False,
        lifecycle: Lifecycle = TASK_RUN,
        report_non_fatal_error: Callable[[], Any] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        self._name = name
        self._schema = schema or {}
        self._creation = hooks.pop("new_task_plugin", None)
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
    def context(self) -> Any:
        """The context of the latest run."""
        return self.options[-1].context

    def payload_schema(self) -> Mapping[str, Any]:
        return self._schema

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin | None:
        self.options.append(options)
        if self._creation is not None:
            made = self._creation(options)
            made = await made if inspect.isawaitable(made) else made
            if made is not None:
                return made
        return self._task_plugin()


def task_plugin_class(lifecycle: Lifecycle = TASK_RUN, **hooks: Callable[..., Any]) -> type[TaskPlugin]:
    """Return a class whose hooks are these functions."""
    return type("Made", (TaskPlugin,), {n: _method(f) for n, f in hooks.items()}, lifecycle=lifecycle)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def asynchronous(self: TaskPlugin, *arguments: Any) -> Any:
            return await function(*arguments)

        return asynchronous

    def synchronous(self: TaskPlugin, *arguments: Any) -> Any:
        return function(*arguments)

    return synchronous
