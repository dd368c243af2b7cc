"""The plugin `env`: environment variables of the task, from the run, the operator and the task's author.

They are one mapping before any is set, since a sandbox builder refuses to set a variable twice: `TASK_ID` and
`RUN_ID`, then `extra` of the configuration, then `env` of the payload; the last one wins. The values of those that the
operator calls secret are kept out of the task log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from ..engines.errors import NamingConflictError
from ..lifecycle.errors import (
    ConfigurationError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
)
from ..lifecycle.log.masks import check_secret
from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions

if TYPE_CHECKING:
    from ..engines.base import SandboxBuilder, Schema
    from ..lifecycle.context import TaskContext

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@attrs.define(eq=False)
class EnvTaskPlugin(TaskPlugin):
    """Sets the variables of one run: `given` by run and operator, `chosen` by the payload."""

    given: Mapping[str, str]
    chosen: Mapping[str, str]

    async def build_sandbox(self, builder: SandboxBuilder) -> None:
        """Set every variable once.

        Raises: MalformedPayloadError with every variable of the payload that cannot be set.
        """
        refused: list[MalformedPayloadError] = []
        for name, value in {**self.given, **self.chosen}.items():
            try:
                await builder.set_environment_variable(name, value)
            except FeatureNotSupportedError as error:
                if self.chosen:
                    raise MalformedPayloadError(f"payload.env: {error}") from error
                return  # nobody asked for any: the task can do without
            except (MalformedPayloadError, NamingConflictError) as error:
                if name not in self.chosen:
                    raise NonFatalInternalError(
                        f"the variable {name} of plugin env cannot be set: {error}"
                    ) from error
                refused.append(MalformedPayloadError(f"{_path(name)}: {error}"))
        if refused:
            raise MalformedPayloadError.merge(refused)


@attrs.define(eq=False)
class EnvPlugin(Plugin):
    """Sets environment variables of the task.

    They are `TASK_ID` and `RUN_ID`, `extra` of the configuration, and `env` of the payload; where several set
    the same variable, the last of these wins. The task log shows `[masked]` for the value of each variable that
    `secret` of the configuration names.
    """

    extra: Mapping[str, str] = attrs.field(factory=dict)
    secret: tuple[str, ...] = ()

    def payload_schema(self) -> Schema:
        """Return the schema of `env`."""
        return {
            "env": {
                "type": "dict",
                "keysrules": {"type": "string", "minlength": 1},
                "valuesrules": {"type": "string"},
                "meta": {
                    "title": "Environment variables",
                    "description": "Set for the task, by name; wins over the worker's of that name.",
                },
            }
        }

    async def new_task_plugin(self, options: TaskPluginOptions) -> EnvTaskPlugin:
        """Return the task plugin with the variables of its run.

        Raises: MalformedPayloadError for a secret of the payload that is too short or too long to be masked.
        """
        info = options.task_info
        given = {"TASK_ID": info.task_id, "RUN_ID": str(info.run_id), **self.extra}
        chosen = (options.payload or {}).get("env", {})
        for name in self.secret:
            for value in (given.get(name), chosen.get(name)):
                if value:
                    _mask(options.context, name, value)
        return EnvTaskPlugin(given, chosen)


class EnvProvider(PluginProvider):
    """Creates the plugin `env`."""

    def config_schema(self) -> Schema:
        """Return the schema of `extra` and `secret`."""
        return {
            "secret": {
                "type": "list",
                "schema": {"type": "string", "minlength": 1},
                "meta": {
                    "title": "Secret variables",
                    "description": "Names of variables whose values the task log must not show, whoever sets them.",
                },
            },
            "extra": {
                "type": "dict",
                "keysrules": {"type": "string"},
                "valuesrules": {"type": "string"},
                "meta": {
                    "title": "Extra variables",
                    "description": "Set for every task, unless its payload sets the same variable.",
                },
            },
        }

    def new_plugin(self, options: PluginOptions) -> EnvPlugin:
        """Return the plugin. Raises: ConfigurationError for a variable that no task could be given."""
        extra: Mapping[str, str] = options.config.get("extra", {})
        if wrong := list(_impossible(extra)):
            raise ConfigurationError(f"plugin env, extra: {'; '.join(wrong)}")
        secret: tuple[str, ...] = tuple(options.config.get("secret", ()))
        for name in filter(extra.get, secret):
            try:
                check_secret(extra[name])
            except ValueError as error:
                raise ConfigurationError(f"plugin env, extra: {name}: {error}") from error
        return EnvPlugin(dict(extra), secret)


def _mask(context: TaskContext, name: str, value: str) -> None:
    try:
        context.mask(value)
    except ValueError as error:
        raise MalformedPayloadError(f"{_path(name)}: {error}") from error


def _path(name: str) -> str:
    return f"payload.env.{name}" if _NAME.fullmatch(name) else f"payload.env[{json.dumps(name)}]"


def _impossible(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            yield f"{name!r} cannot be a name: letters, digits and _ are allowed, and no digit first"
        if "\0" in value:
            yield f"the value of {name!r} holds a NUL character"


provider = EnvProvider()
