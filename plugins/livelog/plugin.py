"""The plugin itself: an address in `prepare`, the stored log in its place in `finished` or `exception`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import ConfigurationError
from ...lifecycle.surroundings import AddressedStore
from ..base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from ..packing import CONTENT_TYPE, upload_log

if TYPE_CHECKING:
    from ...engines.base import Schema
    from ...lifecycle.context import TaskContext
    from ...lifecycle.errors import ExceptionReason
    from ...lifecycle.surroundings import ArtifactStore, Monitor, WebHook, WebHooks

LIVE = "public/logs/live.log"
"""What leads to the log, at any time."""
BACKING = "public/logs/live_backing.log"
"""The log as it is stored when it has ended."""
DRAIN = 5.0
"""Seconds that readers have to take the rest of a log, unless configured."""


@attrs.define(eq=False)
class LiveLogTaskPlugin(TaskPlugin):
    """Serves the log of one run, and stores it once."""

    context: TaskContext
    hook: WebHook
    store: ArtifactStore
    drain: float
    stored: bool = False
    led: bool = False

    async def finished(self, success: bool) -> None:
        """Store the log and lead to it. Raises: NonFatalInternalError."""
        await self._settle()

    async def exception(self, reason: ExceptionReason) -> None:
        """Store the log and lead to it, as far as `finished` has not. Raises: NonFatalInternalError."""
        await self._settle()

    async def dispose(self) -> None:
        """Serve the log no longer; who reads it has a while to take the rest."""
        await self.hook.detach(self.drain)

    async def _settle(self) -> None:
        if not self.stored:
            await upload_log(self.context, BACKING)
            self.stored = True
        if not self.led:
            await self._lead()
            self.led = True

    async def _lead(self) -> None:
        url = None
        if isinstance(self.store, AddressedStore):
            url = self.store.url(self.context.info, BACKING)
        if url is None:
            await self.context.create_link_artifact(LIVE, target=BACKING, content_type=CONTENT_TYPE)
        else:
            await self.context.create_redirect_artifact(LIVE, url=url, content_type=CONTENT_TYPE)


@attrs.define(eq=False)
class LiveLogPlugin(Plugin):
    """Makes the task log readable over HTTP while the task runs.

    The artifact `public/logs/live.log` leads to it at any time: to the worker's web hook while the task runs, where
    a reader gets the log from its first byte on and then follows it, and after that to the stored log,
    `public/logs/live_backing.log`, which is gzip-encoded. No payload. `drain` of the configuration is how many seconds
    readers have to take the rest of the log when the run is disposed, 5 by default.
    """

    accepts_invalid_payload = True

    webhooks: WebHooks
    store: ArtifactStore
    drain: float = DRAIN

    async def new_task_plugin(self, options: TaskPluginOptions) -> LiveLogTaskPlugin:
        """Give the log an address, and lead to it. Raises: NonFatalInternalError."""
        from .serving import LogHandler

        context, monitor = options.context, options.monitor
        handler = LogHandler(context.open_log, dropped=lambda reason: _dropped(monitor, reason))
        hook = await self.webhooks.attach(handler)
        try:
            await context.create_redirect_artifact(LIVE, url=hook.url, content_type=CONTENT_TYPE)
        except BaseException:
            await hook.detach()
            raise
        return LiveLogTaskPlugin(context, hook, self.store, self.drain)


class LiveLogProvider(PluginProvider):
    """Creates the plugin `livelog`."""

    def config_schema(self) -> Schema:
        """Return the schema of `drain`."""
        return {
            "drain": {
                "type": "number",
                "min": 0,
                "max": 30,
                "meta": {
                    "title": "Time for the rest of the log",
                    "description": "How many seconds those who still read the log have when the run is disposed.",
                },
            }
        }

    def new_plugin(self, options: PluginOptions) -> LiveLogPlugin:
        """Return the plugin. Raises: ConfigurationError where nothing can be served."""
        webhooks = getattr(options.environment, "webhooks", None)
        if webhooks is None:
            raise ConfigurationError(
                "plugin livelog: the environment has no web hooks, so nobody could read a log; configure "
                "worker.webhooks, use `stagecall run --serve`, or pass LocalEnvironment(webhooks=WebHookServer(...))"
            )
        try:
            import_module(f"{__package__}.serving")  # takes long: now, not when the first task waits for it
        except ImportError as error:
            raise ConfigurationError(
                "plugin livelog: needs aiohttp: pip install 'stagecall[worker]'"
            ) from error
        return LiveLogPlugin(webhooks, options.environment.store, options.config.get("drain", DRAIN))


def _dropped(monitor: Monitor, reason: str) -> None:
    monitor.log(f"a reader of a live log was dropped: it {reason}")
    monitor.count("live-log-readers-dropped")


provider = LiveLogProvider()
