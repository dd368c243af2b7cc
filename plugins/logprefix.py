"""The plugin `logprefix`: the first lines of every task log say which run it is, and what the operator adds.

A log that was copied somewhere still tells where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from ..lifecycle.errors import ConfigurationError
from .base import Plugin, PluginOptions, PluginProvider, TaskPluginOptions

if TYPE_CHECKING:
    from ..engines.base import Schema

_OWN = frozenset({"TaskId", "RunId"})


@attrs.define(eq=False)
class LogPrefixPlugin(Plugin):
    """Writes `key: value` lines, sorted by key, before anything else in the log.

    They are `RunId`, `TaskId`, and what `prefix` of the configuration maps.
    """

    accepts_invalid_payload = True

    prefix: Mapping[str, str] = attrs.field(factory=dict)

    async def new_task_plugin(self, options: TaskPluginOptions) -> None:
        """Write the lines; there is nothing left to do for any hook."""
        info = options.task_info
        fields = {"TaskId": info.task_id, "RunId": str(info.run_id), **self.prefix}
        options.context.log("\n".join(f"{key}: {value}" for key, value in sorted(fields.items())))


class LogPrefixProvider(PluginProvider):
    """Creates the plugin `logprefix`."""

    def config_schema(self) -> Schema:
        """Return the schema of `prefix`."""
        return {
            "prefix": {
                "type": "dict",
                "keysrules": {"type": "string", "minlength": 1},
                "valuesrules": {"type": "string"},
                "meta": {
                    "title": "Lines of the prefix",
                    "description": "Written as `key: value` at the top of every task log.",
                },
            }
        }

    def new_plugin(self, options: PluginOptions) -> LogPrefixPlugin:
        """Return the plugin. Raises: ConfigurationError for a key that the plugin itself writes."""
        prefix: Mapping[str, str] = options.config.get("prefix", {})
        if taken := sorted(_OWN & prefix.keys()):
            raise ConfigurationError(
                f"plugin logprefix, prefix: {', '.join(taken)} is written for every run already"
            )
        return LogPrefixPlugin({visible(key): visible(value) for key, value in prefix.items()})


def visible(text: str) -> str:
    r"""Return `text` on one line, with escapes for what a terminal would obey instead of show.

    >>> visible("two\nlines, \x1b[31mred")
    'two\\nlines, \\x1b[31mred'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


provider = LogPrefixProvider()
