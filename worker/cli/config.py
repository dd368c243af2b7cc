"""The worker's configuration file: which engine and plugins, how long everything may take, the worker itself.

    engine: process                 # the engine that runs tasks
    engines: {process: {...}}       # the configuration of each engine
    plugins:                        # an entry enables a plugin; its content is the plugin's configuration
      disabled: [env]
      maxruntime: {maxRunTime: 1 hour}
    limits: {hookTimeout: 10 minutes}
    worker: {workerId: builder-1, concurrency: 2}

A file without plugins, or with nothing but `disabled`, starts from the plugins that `stagecall run` enables
without a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ...lifecycle.errors import ConfigurationError
from ...lifecycle.limits import Limits
from ...specs.durations import parse_duration
from ...specs.schemas import MergedSchema, Rules, Schema, Violation, did_you_mean
from ...specs.sizes import parse_size
from ..runtime import DEFAULT_PLUGINS
from ..secret_sources import SECRETS, SecretSources
from ..stores.configuration import ARTIFACTS, ArtifactOptions, structure_artifacts
from ..webhooks.configuration import WEBHOOKS, structure_webhooks
from ..webhooks.options import WebHookOptions
from .exits import Problem

DEFAULT_ENGINE = "process"

MAX_LOG_BYTES = "maxLogBytes"
"""The one limit that is a size."""

_ROOT = "config"


@attrs.frozen
class WorkerConfig:
    """What a worker runs with; `plugins` are those enabled, in order, each with its configuration.

    Without `webhooks` no web hooks are served; without `artifacts` they go to each task's output folder.
    """

    engine: str = DEFAULT_ENGINE
    engine_config: Mapping[str, Any] = attrs.field(factory=dict)
    plugins: Mapping[str, Mapping[str, Any]] = DEFAULT_PLUGINS
    limits: Limits = attrs.field(factory=Limits)
    concurrency: int = 1
    worker_group: str | None = None
    worker_id: str | None = None
    temporary_folder: Path | None = None
    journal: str | bool = True
    webhooks: WebHookOptions | None = None
    artifacts: ArtifactOptions | None = None
    secrets: SecretSources = attrs.field(factory=SecretSources)
    disabled: frozenset[str] = frozenset()
    """The plugins that the file leaves out on purpose."""


@attrs.frozen
class Available:
    """The engines and plugins that are installed, each with the schema of its configuration."""

    engines: Mapping[str, Schema]
    plugins: Mapping[str, Schema]

    def schema(self) -> MergedSchema:
        """Return the schema of the whole file."""
        return MergedSchema.merge({"the worker": _file_schema(self)})


def read_config(
    document: Any, available: Available, *, name: str = "the configuration", engine: str | None = None
) -> WorkerConfig:
    """Return what a document configures; `engine` overrides its engine, and `name` stands in messages.

    Raises: Problem with every violation, each with its path.

    >>> available = Available({"mock": {}, "process": {}}, {name: {} for name in DEFAULT_PLUGINS})
    >>> available.plugins["maxruntime"]["perTaskLimit"] = {"type": "string"}
    >>> sorted(read_config({"plugins": {"disabled": ["tasklog", "env"]}}, available, engine="mock").plugins)
    ['artifacts', 'logprefix', 'maxruntime', 'success']
    >>> read_config({"plugin": {}}, available)
    Traceback (most recent call last):
    stagecall.worker.cli.exits.Problem: the configuration: plugin: unknown property; did you mean "plugins"?
    """
    document = _without_nulls({} if document is None else document)
    if violations := available.schema().violations(document, root=_ROOT):
        raise Problem(*(_line(name, violation) for violation in violations))
    chosen = _known(engine, available.engines, "--engine") or document.get("engine", DEFAULT_ENGINE)
    effective = _effective(document, chosen)
    if violations := available.schema().violations(effective, root=_ROOT):
        raise Problem(*(_line(name, violation) for violation in violations))
    disabled = document.get("plugins", {}).get("disabled", [])
    return attrs.evolve(_structured(effective, chosen, name), disabled=frozenset(disabled))


def known_engine(name: str, engines: Mapping[str, object]) -> str:
    """Return the name if it is an engine's. Raises: Problem that says which there are."""
    _known(name, engines, "--engine")
    return name


def _known(name: str | None, engines: Mapping[str, object], where: str) -> str | None:
    if name is not None and name not in engines:
        raise Problem(f'{where}: unknown engine "{name}"; {did_you_mean(name, engines)}')
    return name


def _line(name: str, violation: Violation) -> str:
    path = violation.path.removeprefix(_ROOT).removeprefix(".")
    message = violation.message
    if path.count(".") == 1 and path.startswith(("engines.", "plugins.")):
        message = message.replace("unknown property", f"unknown {path.partition('s.')[0]}", 1)
    return f"{name}: {path}: {message}" if path else f"{name}: {message}"


def _without_nulls(document: Any) -> Any:
    """Return the document with objects where something was left empty: `env:` means `env: {}`."""
    if not isinstance(document, Mapping):
        return document
    filled = {key: {} if value is None and key != "engine" else value for key, value in document.items()}
    for section in ("engines", "plugins"):
        if isinstance(filled.get(section), Mapping):
            entries = filled[section].items()
            filled[section] = {
                key: {} if value is None and key != "disabled" else value for key, value in entries
            }
    return filled


def _effective(document: Mapping[str, Any], engine: str) -> dict[str, Any]:
    """Return the document with what it leaves out, so that the schema misses what engine and plugins need."""
    engines = {engine: {}, **document.get("engines", {})}
    given = dict(document.get("plugins", {}))
    disabled = given.pop("disabled", [])
    enabled = {name: config for name, config in (given or DEFAULT_PLUGINS).items() if name not in disabled}
    return {**document, "engine": engine, "engines": engines, "plugins": enabled}


def _structured(document: Mapping[str, Any], engine: str, name: str) -> WorkerConfig:
    worker = document.get("worker", {})
    folder = worker.get("temporaryFolder")
    return WorkerConfig(
        engine=engine,
        engine_config=document["engines"][engine],
        plugins=document["plugins"],
        limits=_limits_of(document.get("limits", {})),
        concurrency=worker.get("concurrency", 1),
        worker_group=worker.get("workerGroup"),
        worker_id=worker.get("workerId"),
        temporary_folder=None if folder is None else Path(folder),
        journal=worker.get("journal", True),
        webhooks=_webhooks(worker.get("webhooks"), name),
        artifacts=structure_artifacts(worker["artifacts"]) if "artifacts" in worker else None,
        secrets=_secrets(worker.get("secrets", {})),
    )


def _limits_of(section: Mapping[str, Any]) -> Limits:
    limits: dict[str, Any] = {}
    for field in attrs.fields(Limits):
        if (name := _camel(field.name)) in section:
            read = _parse_size_or_none if name == MAX_LOG_BYTES else parse_duration
            limits[field.name] = read(section[name])
    return Limits(**limits)


def _parse_size_or_none(value: str | int | None) -> int | None:
    return None if value is None else parse_size(value)


def _secrets(section: Mapping[str, Any]) -> SecretSources:
    return SecretSources(tuple(section.get("environment", ())), tuple(map(Path, section.get("files", ()))))


def _webhooks(section: Mapping[str, Any] | None, name: str) -> WebHookOptions | None:
    try:
        return None if section is None else structure_webhooks(section)
    except ConfigurationError as error:
        raise Problem(f"{name}: worker.webhooks: {error}") from error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def _file_schema(available: Available) -> Schema:
    names = list(available.plugins)
    engines = {
        name: _section(f"Configuration of the engine {name}.", schema)
        for name, schema in available.engines.items()
    }
    plugins = {
        name: _section(f"Enables the plugin {name}.", schema) for name, schema in available.plugins.items()
    }
    disabled = _list_of(
        names, "Plugins that are left out, whether they are named here or enabled by default."
    )
    return {
        "engine": {
            "type": "string",
            "allowed": list(available.engines),
            "meta": {"description": "The engine that runs the tasks.", "default": DEFAULT_ENGINE},
        },
        "engines": _section("The configuration of each engine.", engines),
        "plugins": _section(
            "The plugins that are enabled, in order of declaration.", {"disabled": disabled, **plugins}
        ),
        "limits": _section("How long everything may take, and how long a log may grow.", dict(_limits())),
        "worker": _section("The worker itself.", _WORKER),
    }


def _section(description: str, schema: Schema) -> Rules:
    return {"type": "dict", "schema": dict(schema), "meta": {"description": description}}


def _list_of(names: Sequence[str], description: str) -> Rules:
    item = {"type": "string", "allowed": list(names)}
    return {"type": "list", "schema": item, "meta": {"description": description}}


def _limits() -> Iterator[tuple[str, Rules]]:
    for field in attrs.fields(Limits):
        meta = {"description": _LIMITS[field.name], "default": field.default}
        if (name := _camel(field.name)) == MAX_LOG_BYTES:
            yield name, {"type": ["integer", "string"], "nullable": True, "check_with": "size", "meta": meta}
        else:
            yield name, {"type": ["number", "string"], "check_with": "duration", "meta": meta}


_LIMITS = {
    "cancel_grace": "After an abort, the time hooks have to return by themselves before they are cancelled.",
    "abandon_grace": "After being cancelled, the time a hook has to end before it is abandoned.",
    "hook_timeout": "The longest that a hook or engine call may take, but for waiting for the sandbox's end.",
    "dispose_budget": "The longest that one step of dispose may take.",
    "dispose_total": "The longest that all steps of dispose may take together.",
    "report_budget": "The longest that reporting the resolution may take.",
    "journal_budget": "The longest that the journal may take to make something durable.",
    "max_log_bytes": "How long a log may grow by what the task writes; the rest is dropped. Null for no limit.",
}

_WORKER: Schema = {
    "workerGroup": {
        "type": "string",
        "minlength": 1,
        "meta": {"description": "The group that the worker belongs to."},
    },
    "workerId": {
        "type": "string",
        "minlength": 1,
        "meta": {"description": "The name of the worker in its group."},
    },
    "concurrency": {
        "type": "integer",
        "min": 1,
        "meta": {"description": "How many tasks run at once, unless --concurrency says so.", "default": 1},
    },
    "journal": {
        "type": ["string", "boolean"],
        "meta": {
            "description": "The file that keeps what must survive a kill; true for one in the user's state folder, "
            "false for none. --journal and --no-journal come first.",
            "default": True,
        },
    },
    "temporaryFolder": {
        "type": "string",
        "minlength": 1,
        "meta": {"description": "Where the folders of runs are created; the system's default if absent."},
    },
    "artifacts": _section(
        "Where artifacts go; into the output folder of each task where this section is not.", ARTIFACTS
    ),
    "secrets": _section("Values that no task log shows: [masked] stands there instead.", SECRETS),
    "webhooks": _section(
        "The server that gives live logs and pages an address; served where this section is.", WEBHOOKS
    ),
}
