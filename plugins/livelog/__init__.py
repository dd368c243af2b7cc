"""The plugin `livelog`: a task's log can be read over HTTP while the task runs.

It is a folder as the serving itself (`serving.LogHandler`) is used by the run page too.
"""

from .plugin import LiveLogPlugin, LiveLogProvider, provider

__all__ = ["LiveLogPlugin", "LiveLogProvider", "provider"]
