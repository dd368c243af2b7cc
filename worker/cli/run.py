"""`stagecall run`: brings together engine and plugins, the screen, signals and the tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ...lifecycle.errors import JournalError
from ...lifecycle.journal import Journal
from ...lifecycle.surroundings import ArtifactStore, Monitor, WebHooks
from ..environment import LocalEnvironment
from ..monitor import LogMonitor
from ..runtime import Runtime
from ..stores import ObjectStore
from ..webhooks import WebHookOptions
from .batch import Batch
from .board import Board
from .config import WorkerConfig
from .exits import Exit, Problem, worst
from .interrupts import Interrupts
from .logs import Logs
from .output import Streams
from .screen import Screen
from .serving import serving
from .tasks import Job, artifact_store


async def run_batch(
    jobs: Sequence[Job],
    config: WorkerConfig,
    *,
    concurrency: int | None,
    streams: Streams,
    as_json: bool,
    logs: Logs,
    journal: Path | None = None,
    serve: bool = False,
) -> Exit:
    """Run the tasks, with a journal if one is named, and return the worst of their exit codes.

    `serve` serves their pages meanwhile, and afterwards for as long as somebody at the terminal wants to look.

    Raises: ConfigurationError for an engine, plugin or store that cannot be created; Problem for a journal that cannot
    be opened; JournalError for one that failed.
    """
    board = Board(total=len(jobs), unicode=streams.unicode)
    screen = Screen(streams.log, streams.notes, streams.results, board.lines if streams.live else None)
    batch = Batch(jobs, concurrency or config.concurrency, streams, screen, board, as_json)
    with Interrupts(batch.interrupt, batch.hurry, batch.quit).installed():
        screen.start()
        try:
            with logs.redirected(screen.note):
                store = artifact_store(jobs) if config.artifacts is None else config.artifacts.open()
                await _run_with(config, batch, store, journal, serve)
        finally:
            await screen.close()
    return worst(batch.exits)


async def _run_with(
    config: WorkerConfig, batch: Batch, store: ArtifactStore, path: Path | None, serve: bool
) -> None:
    try:
        monitor = LogMonitor()
        async with _served(config.webhooks, monitor) as hooks:
            if hooks is None or not serve:
                await _run_served(config, batch, store, path, hooks, monitor)
                return
            async with serving(hooks, batch, store) as pages:
                await _run_served(config, batch, store, path, hooks, monitor)
                batch.show_reports()
                await pages.linger()
    finally:
        if isinstance(store, ObjectStore) and not await store.close():
            batch.note(f"stagecall: parts of an upload that was aborted are left in {store.place}")
        batch.show_reports()


async def _run_served(
    config: WorkerConfig,
    batch: Batch,
    store: ArtifactStore,
    path: Path | None,
    hooks: WebHooks | None,
    monitor: Monitor,
) -> None:
    async with _opened(path, config.limits.journal_budget) as journal:
        environment = LocalEnvironment(
            store,
            monitor,
            config.temporary_folder,
            journal=journal,
            webhooks=hooks,
            secrets=config.secrets.read(),
            **_identity(config),
        )
        async with environment, await _runtime(config, environment, journal) as runtime:
            await batch.run(runtime)


@asynccontextmanager
async def _opened(path: Path | None, patience: float) -> AsyncIterator[Journal | None]:
    if path is None:
        yield None
        return
    try:
        journal = await Journal.open(path, patience=patience)
    except JournalError as error:
        raise Problem(f"{error}; name another file with --journal, or do without: --no-journal") from error
    async with journal:
        yield journal


@asynccontextmanager
async def _served(options: WebHookOptions | None, monitor: Monitor) -> AsyncIterator[WebHooks | None]:
    if options is None:
        yield None
        return
    from ..webhooks import WebHookServer  # takes long to import

    async with WebHookServer(options, monitor) as hooks:
        yield hooks


async def _runtime(config: WorkerConfig, environment: LocalEnvironment, journal: Journal | None) -> Runtime:
    return await Runtime.create(
        config.engine,
        config.plugins,
        engine_config=config.engine_config,
        environment=environment,
        limits=config.limits,
        journal=journal,
    )


def _identity(config: WorkerConfig) -> dict[str, Any]:
    given = {"worker_group": config.worker_group, "worker_id": config.worker_id}
    return {name: value for name, value in given.items() if value is not None}
