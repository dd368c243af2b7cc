"""The plugin `maxruntime`: a task that runs for too long is killed, and has failed.

The operator sets the longest time for all tasks, the author of a task a shorter one for that task, if the
operator lets them. The time counts from `started` to the end of the sandbox.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

import attrs

from ..engines.errors import SandboxAbortedError
from ..lifecycle.errors import ConfigurationError, FeatureNotSupportedError, MalformedPayloadError
from ..specs.durations import format_duration, parse_duration
from .base import Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions

if TYPE_CHECKING:
    from ..engines.base import ResultSet, Sandbox, Schema
    from ..lifecycle.context import TaskContext
    from ..lifecycle.errors import ExceptionReason


class PerTaskLimit(enum.StrEnum):
    """Whether a payload may, must, or must not say how long its task may run.

    >>> PerTaskLimit("forbid")
    <PerTaskLimit.FORBID: 'forbid'>
    """

    REQUIRE = "require"
    ALLOW = "allow"
    FORBID = "forbid"


@attrs.define(eq=False)
class MaxRunTimeTaskPlugin(TaskPlugin):
    """Kills the sandbox of one run when `limit` seconds have passed since it started.

    Every run that gets to `started` gets to `stopped` or `exception` as well, and both drop the timer:
    `dispose` has nothing left to do. Where somebody in a hurry cancels the latter before it begins, the timer finds
    the run cancelled.
    """

    context: TaskContext
    limit: float
    exceeded: bool = False
    _timer: asyncio.TimerHandle | None = None

    async def started(self, sandbox: Sandbox) -> None:
        """Set the timer: a handle of the loop, as most never expire and a task would cost each run more."""
        self._timer = asyncio.get_running_loop().call_later(self.limit, self._expire, sandbox)

    async def stopped(self, result_set: ResultSet) -> bool:
        """Return whether the task ended in time."""
        self._drop_timer()
        return not self.exceeded

    async def exception(self, reason: ExceptionReason) -> None:
        """Drop the timer."""
        self._drop_timer()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, sandbox: Sandbox) -> None:
        self._timer = None
        if self.context.cancelled:
            return
        self.exceeded = True
        self.context.log_error(f"{self._too_long()} and is killed")
        self.context.spawn(self._kill(sandbox), "maxruntime")

    async def _kill(self, sandbox: Sandbox) -> None:
        try:
            await sandbox.kill()
        except SandboxAbortedError:
            pass  # somebody else ended it, and the run is an exception already
        except FeatureNotSupportedError as error:
            raise FeatureNotSupportedError(
                f"{self._too_long()}, and the engine must abort it: {error}"
            ) from error

    def _too_long(self) -> str:
        return f"the task ran longer than its maxRunTime of {format_duration(self.limit)}"


@attrs.define(eq=False)
class MaxRunTimePlugin(Plugin):
    """A task that runs longer than allowed is killed and has failed.

    `maxRunTime` of the configuration bounds every task. `maxRunTime` of the payload bounds one task, and may
    not be longer; `perTaskLimit` of the configuration says whether a payload may have it (`allow`, the
    default), must (`require`) or must not (`forbid`). Both are in seconds or a text such as "1 day 2 hours 3
    minutes". On an engine that cannot kill a task and keep its result, the task is aborted, and resolved as
    an engine's missing feature is: `malformed-payload`.
    """

    longest: float | None = None
    per_task: PerTaskLimit = PerTaskLimit.ALLOW

    def payload_schema(self) -> Schema:
        """Return the schema of `maxRunTime`; there is none if payloads must not have it."""
        if self.per_task is PerTaskLimit.FORBID:
            return {}
        rules = {**_DURATION, "meta": {"title": "Longest run time", "description": self._description()}}
        return {"maxRunTime": rules | ({"required": True} if self.per_task is PerTaskLimit.REQUIRE else {})}

    def _description(self) -> str:
        bound = "" if self.longest is None else f"; at most {format_duration(self.longest)}"
        return f'A task that runs longer is killed: in seconds, or as in "2 hours 30 minutes"{bound}.'

    async def new_task_plugin(self, options: TaskPluginOptions) -> MaxRunTimeTaskPlugin | None:
        """Return the task plugin, or None if nothing bounds this run.

        Raises: MalformedPayloadError for a time that is not allowed.
        """
        asked: Any = (options.payload or {}).get("maxRunTime")
        limit = self.longest if asked is None else self._check(asked)
        return None if limit is None else MaxRunTimeTaskPlugin(options.context, limit)

    def _check(self, asked: str | float) -> float:
        try:
            seconds = parse_duration(asked)
        except ValueError as error:
            raise MalformedPayloadError(f"payload.maxRunTime: {error}") from error
        if seconds == 0:
            raise MalformedPayloadError("payload.maxRunTime: must be longer than 0 seconds")
        if self.longest is not None and seconds > self.longest:
            raise MalformedPayloadError(
                f"payload.maxRunTime: {format_duration(seconds)} is longer than "
                f"the {format_duration(self.longest)} that the worker's configuration allows"
            )
        return seconds


class MaxRunTimeProvider(PluginProvider):
    """Creates the plugin `maxruntime`."""

    def config_schema(self) -> Schema:
        """Return the schema of `maxRunTime` and `perTaskLimit`."""
        return {
            "maxRunTime": {
                **_DURATION,
                "meta": {
                    "title": "Longest run time of any task",
                    "description": "Without it only tasks whose payload has a `maxRunTime` are bounded.",
                },
            },
            "perTaskLimit": {
                "type": "string",
                "allowed": [choice.value for choice in PerTaskLimit],
                "meta": {
                    "title": "Limits of single tasks",
                    "description": "Whether a payload may, must, or must not have a `maxRunTime` of its own.",
                    "default": PerTaskLimit.ALLOW.value,
                },
            },
        }

    def new_plugin(self, options: PluginOptions) -> MaxRunTimePlugin:
        """Return the plugin.

        Raises: ConfigurationError for a limit of 0 seconds, and for a plugin that would limit nothing.
        """
        asked = options.config.get("maxRunTime")
        longest = None if asked is None else parse_duration(asked)
        per_task = PerTaskLimit(options.config.get("perTaskLimit", PerTaskLimit.ALLOW))
        if longest == 0:
            raise ConfigurationError("plugin maxruntime, maxRunTime: must be longer than 0 seconds")
        if longest is None and per_task is PerTaskLimit.FORBID:
            raise ConfigurationError(
                "plugin maxruntime: give it a maxRunTime, or do not forbid limits per task"
            )
        return MaxRunTimePlugin(longest, per_task)


_DURATION = {"type": ["number", "string"], "check_with": "duration"}

provider = MaxRunTimeProvider()
