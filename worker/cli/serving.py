"""`stagecall run --serve`: the pages of the command's runs, at one address, for as long as somebody wants to look."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import ConfigurationError
from ..webhooks.options import WebHookOptions
from .exits import Problem

if TYPE_CHECKING:
    from ...lifecycle.surroundings import ArtifactStore, WebHooks
    from ..pages.site import Pages
    from ..task_run import TaskRun
    from .batch import Batch
    from .config import WorkerConfig
    from .tasks import Job

LINGER_SECONDS = 5.0
"""How long pages that are open have to get the end of what they show."""

_ADDRESS = re.compile(r"(?:(?P<host>[^\s/@]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>\d{1,5})")


def is_address(text: str) -> bool:
    """Return whether what follows `--serve` is its address, and not a task.

    >>> [is_address(text) for text in ("8080", "127.0.0.1:8080", "[::1]:0", "build.yml", "8080.yml")]
    [True, True, True, False, False]
    """
    return _ADDRESS.fullmatch(text) is not None


def serve_options(address: str, configured: WebHookOptions | None) -> WebHookOptions:
    """Return how the pages are served: as configured, but where `address` says. Raises: Problem."""
    options = configured or WebHookOptions()
    if not address:
        return options
    if (found := _ADDRESS.fullmatch(address)) is None or int(found["port"]) > 65535:
        raise Problem(
            f"--serve: {address!r} is no address; give HOST:PORT or PORT, as in --serve 127.0.0.1:8080"
        )
    host = (found["host"] or options.host).strip("[]")
    try:
        return attrs.evolve(options, host=host, port=int(found["port"]))
    except ConfigurationError as error:
        raise Problem(
            f"--serve: {error}; publicUrl stands in the configuration, below worker.webhooks"
        ) from error


def with_pages(config: WorkerConfig, address: str) -> WorkerConfig:
    """Return the configuration of a worker that serves pages, and live logs unless it leaves them out on purpose.

    Raises: Problem for an address that is none.
    """
    plugins = config.plugins
    if "livelog" not in {*plugins, *config.disabled}:
        plugins = {**plugins, "livelog": {}}
    return attrs.evolve(config, plugins=plugins, webhooks=serve_options(address, config.webhooks))


@attrs.define(eq=False)
class Serving:
    """The pages of one command: told of each run before it begins, and left open at the end for whoever looks."""

    pages: Pages
    url: str
    batch: Batch
    lingering: bool = attrs.field(default=False, init=False)
    _left: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def add(self, run: TaskRun, job: Job) -> None:
        """Give a run its page."""
        entry = self.pages.add(run, job.label, job.folder).entry
        if len(self.batch.jobs) == 1:
            self.batch.note(f"stagecall: watch it at {self.url}{entry.as_dict()['url']}")

    def leave(self) -> None:
        """Serve no longer than it takes those who look to get the end."""
        self._left.set()

    async def linger(self) -> None:
        """Serve on until the person at the terminal has seen enough; without one, return at once."""
        if self.batch.stopping or self._left.is_set() or not self.batch.streams.attended:
            return
        self.lingering = True
        self.batch.note(f"stagecall: the pages stay at {self.url} until you press Enter or Ctrl-C")
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self._typed)
        try:
            await self._left.wait()
        finally:
            loop.remove_reader(0)
            self.lingering = False

    def _typed(self) -> None:
        typed = b""
        with suppress(OSError):  # the terminal has gone
            typed = os.read(0, 4096)
        if not typed or b"\n" in typed:
            self._left.set()


@asynccontextmanager
async def serving(hooks: WebHooks, batch: Batch, store: ArtifactStore) -> AsyncIterator[Serving]:
    """Serve the pages of a batch; at the end those who look have a few seconds to get the rest."""
    from ..pages.site import Pages  # takes long to import

    pages = Pages(store)
    hook = await hooks.attach(pages.handle)
    batch.note(f"stagecall: pages at {hook.url}")
    batch.serving = Serving(pages, hook.url, batch)
    listing = asyncio.create_task(pages.add_recorded(batch.jobs[0].out))
    try:
        yield batch.serving
    finally:
        listing.cancel()
        pages.end()
        detaching = asyncio.create_task(hook.detach(LINGER_SECONDS))
        try:
            await batch.unless_hurried(detaching)
        finally:
            await asyncio.wait([listing])
            pages.close()
