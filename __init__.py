"""Takes a task through a declared lifecycle: plugins are called at each stage, `dispose` always comes last.

The names below are what an embedder or a plugin author needs first; everything else is imported from the
package it lives in (`stagecall.specs`, `lifecycle`, `engines`, `plugins`, `worker`, `testing`).

`import stagecall` costs next to nothing: a name's module is imported when the name is first used.

>>> import stagecall
>>> "run_task" in dir(stagecall)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "Engine": "engines",
    "ExceptionReason": "lifecycle",
    "Plugin": "plugins",
    "PluginProvider": "plugins",
    "Resolution": "lifecycle",
    "Runtime": "worker.runtime",
    "TaskPlugin": "plugins",
    "TaskRun": "worker.task_run",
    "recover": "lifecycle.recovery",
    "register": "plugins",
    "run_task": "worker.runtime",
    "run_task_sync": "worker.runtime",
}

if TYPE_CHECKING:
    from .engines import Engine
    from .lifecycle import ExceptionReason, Resolution
    from .lifecycle.recovery import recover
    from .plugins import Plugin, PluginProvider, TaskPlugin, register
    from .worker.runtime import Runtime, run_task, run_task_sync
    from .worker.task_run import TaskRun

    __version__: str
else:
    # Hidden from the type checker, for which any name at all would otherwise exist.
    def __getattr__(name: str) -> object:
        """Import the module that `name` lives in, and remember the name here (PEP 562)."""
        if name == "__version__":
            value = import_module("importlib.metadata").version(__name__)
        elif name in _HOMES:
            value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Engine",
    "ExceptionReason",
    "Plugin",
    "PluginProvider",
    "Resolution",
    "Runtime",
    "TaskPlugin",
    "TaskRun",
    "__version__",
    "recover",
    "register",
    "run_task",
    "run_task_sync",
]
