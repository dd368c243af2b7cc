"""`stagecall engines` and `stagecall plugins`: what is installed, what it does, how it is configured."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import attrs
from rich.table import Table
from rich.text import Text

from ...engines.base import Engine, EngineOptions
from ...engines.registry import ENGINES, Registry
from ...lifecycle.errors import ConfigurationError
from ...plugins.base import Plugin, PluginOptions
from ...plugins.registry import PLUGINS
from ...specs.schema_export import markdown
from ...specs.schemas import MergedSchema, Schema, did_you_mean
from ..environment import LocalEnvironment
from ..runtime import DEFAULT_PLUGINS
from .config import DEFAULT_ENGINE
from .exits import Problem

T = TypeVar("T")


@attrs.frozen
class Entry:
    """An engine or plugin: `page` is its documentation in Markdown, `note` what else to know in short.

    `payload` is None where it cannot be told without a configuration.
    """

    kind: str
    name: str
    page: str
    payload: Schema | None
    config: Schema
    note: str = ""

    @property
    def headline(self) -> str:
        """The first sentence of the documentation."""
        lines = [line for line in self.page.splitlines() if line.strip() and not line.startswith("#")]
        paragraph = " ".join(lines[: 1 + next((n for n, line in enumerate(lines) if line.endswith(".")), 0)])
        return paragraph.partition(". ")[0].rstrip(".")


async def engine_entries(names: Sequence[str]) -> list[Entry]:
    """Return the engines called `names`, all if there are none. Raises: Problem for an unknown name."""
    async with LocalEnvironment() as environment:
        options = EngineOptions(environment, environment.monitor, {})
        entries = []
        for name in _chosen("engine", names, ENGINES.names()):
            note = "default" if name == DEFAULT_ENGINE else ""
            entries.append(await _entry("engine", name, ENGINES, lambda one: one.new_engine(options), note))
        return entries


async def plugin_entries(names: Sequence[str]) -> list[Entry]:
    """Return the plugins called `names`, all if there are none. Raises: Problem for an unknown name."""
    async with LocalEnvironment() as environment:
        engine = await _awaited(
            ENGINES["mock"].new_engine(EngineOptions(environment, environment.monitor, {}))
        )
        options = PluginOptions(environment, engine, environment.monitor, {})
        entries = []
        for name in _chosen("plugin", names, PLUGINS.names()):
            note = "enabled by default" if name in DEFAULT_PLUGINS else ""
            entries.append(await _entry("plugin", name, PLUGINS, lambda one: one.new_plugin(options), note))
        await engine.dispose()
        return entries


async def _entry(kind: str, name: str, registry: Registry[T], create: Callable[[T], Any], note: str) -> Entry:
    """Return what one tells about itself; its provider speaks where it needs a configuration."""
    try:
        provider: Any = registry[name]
    except ConfigurationError as error:
        return Entry(kind, name, str(error), None, {}, "cannot be loaded")
    try:
        made: Engine | Plugin = await _awaited(create(provider))
    except Exception:
        return Entry(kind, name, inspect.getdoc(provider) or "", None, provider.config_schema(), note)
    try:
        return Entry(kind, name, made.documentation(), made.payload_schema(), provider.config_schema(), note)
    finally:
        await _awaited(made.dispose())


def _chosen(kind: str, names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Problem(*(f'unknown {kind} "{name}"; {did_you_mean(name, known)}' for name in unknown))
    return names or known


async def _awaited(value: Any) -> Any:
    return await value if isinstance(value, Awaitable) else value


def overview(entries: Iterable[Entry]) -> Table:
    """Return a table with a line for each entry."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("name", "what it does", "payload", "configuration", ""):
        table.add_column(column, overflow="fold")
    for entry in entries:
        payload = "?" if entry.payload is None else ", ".join(entry.payload)
        table.add_row(
            Text(entry.name, "bold"),
            entry.headline,
            payload,
            ", ".join(entry.config),
            Text(entry.note, "dim"),
        )
    return table


def page(entry: Entry) -> str:
    """Return everything about one entry as a Markdown page."""
    parts = [f"# {entry.name}", entry.page]
    for title, schema in (("Payload", entry.payload), ("Configuration", entry.config)):
        if schema:
            merged = MergedSchema.merge({f"{entry.kind} {entry.name}": schema})
            parts.append(f"#{markdown(merged, title)}".rstrip())
        elif schema is None:
            parts.append(f"## {title}\n\nDepends on the configuration.")
    return "\n\n".join(part for part in parts if part) + "\n"
