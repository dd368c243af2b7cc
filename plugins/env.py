"""The plugin `env`: environment variables of the task, from the run, the operator and the task's author.

They are one mapping before any is set, since a sandbox builder refuses to set a variable twice: `TASK_ID` and
`RUN_ID`, then `extra` of the configuration, then `env` of the payload; the last one wins.
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
from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions

if TYPE_CHECKING:
    from ..engines.base import SandboxBuilder, Schema

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
    the same variable, the last of these wins.
    """

    extra: Mapping[str, str] = attrs.field(factory=dict)

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
        """Return the task plugin with the variables of its run."""
        info = options.task_info
        given = {"TASK_ID": info.task_id, "RUN_ID": str(info.run_id), **self.extra}
        return EnvTaskPlugin(given, (options.payload or {}).get("env", {}))


class EnvProvider(PluginProvider):
    """Creates the plugin `env`."""

    def config_schema(self) -> Schema:
        """Return the schema of `extra`."""
        return {
            "extra": {
                "type": "dict",
                "keysrules": {"type": "string"},
                "valuesrules": {"type": "string"},
                "meta": {
                    "title": "Extra variables",
                    "description": "Set for every task, unless its payload sets the same variable.",
                },
            }
        }

    def new_plugin(self, options: PluginOptions) -> EnvPlugin:
        """Return the plugin. Raises: ConfigurationError for a variable that no task could be given."""
        extra: Mapping[str, str] = options.config.get("extra", {})
        if wrong := list(_impossible(extra)):
            raise ConfigurationError(f"plugin env, extra: {'; '.join(wrong)}")
        return EnvPlugin(dict(extra))


def _path(name: str) -> str:
    return f"payload.env.{name}" if _NAME.fullmatch(name) else f"payload.env[{json.dumps(name)}]"


def _impossible(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            yield f"{name!r} cannot be a name: letters, digits and _ are allowed, and no digit first"
        if "\0" in value:
            yield f"the value of {name!r} holds a NUL character"


provider = EnvProvider()
