"""What is installed, and what the options say of it: the command line meets the registries here."""

from __future__ import annotations

from typing import Any

from ...engines.registry import ENGINES, Registry
from ...lifecycle.errors import ConfigurationError
from ...plugins.registry import PLUGINS
from ...specs.schemas import Schema
from .config import Available, WorkerConfig, read_config
from .tasks import name_of, read_document


def worker_config(file: str | None, engine: str | None) -> WorkerConfig:
    """Return what the options `--config` and `--engine` say, or the defaults. Raises: Problem."""
    document = None if file is None else read_document(file)
    name = "the configuration" if file is None else name_of(file)
    return read_config(document, installed(), name=name, engine=engine)


def installed() -> Available:
    """Return the engines and plugins there are; one that cannot be loaded is told of when it is used."""
    return Available(_config_schemas(ENGINES), _config_schemas(PLUGINS))


def _config_schemas(registry: Registry[Any]) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    for name in registry.names():
        try:
            schemas[name] = registry[name].config_schema()
        except ConfigurationError:
            schemas[name] = {}
    return schemas
