"""The engine `process` and its provider."""

from __future__ import annotations

import attrs

from ...specs.schemas import structure
from ..base import Engine, EngineOptions, EngineProvider, ResultSet, SandboxOptions, Schema
from .builder import ProcessSandboxBuilder, Setup
from .config import ARGUMENT, CONFIG_SCHEMA, ProcessConfig
from .environment import check_command
from .result import ProcessResult
from .sandbox import Ended

PAYLOAD_SCHEMA: Schema = {
    "command": {
        "type": "list",
        "required": True,
        "minlength": 1,
        "schema": ARGUMENT,
        "meta": {
            "title": "Command",
            "description": "The program to run and its arguments, a word each; no shell reads them.",
        },
    },
}


@attrs.define(eq=False)
class ProcessEngine(Engine):
    """Runs the payload's `command` on this host, as the worker's user, in a fresh folder.

    The command is the leader of a session of its own. Its working folder is also its `HOME`; `TMPDIR` lies
    beside it. Of the worker's environment it gets `PATH`, `LANG`, `LC_ALL`, `TZ`, `USER` and `LOGNAME`, and
    what `inheritEnvironment` names. Its stdin is empty; stdout and stderr go to the task log. It succeeds if
    it exits with code 0. When it ends, is killed or aborted, every process that it started is killed too, as
    far as `containment` knows them:

    - `cgroup`: all of them. Needs the right to make control groups (v2) below the worker's own.
    - `marker`: all of them, unless the task killed its supervisor and they have left session and environment.
      Costs some 12 ms of CPU time a task.
    - `none`: only those in the task's process group.

    With a journal all this holds for a worker that was killed, too, once somebody recovers: without the supervisor's
    help `marker` then knows what bears the variable, what descends from that, and what shares a session with it.

    `killGrace` seconds lie between SIGTERM and SIGKILL, unless the task ends before. This is no protection
    against tasks that attack the worker: they run as its user, and as root may leave their control group.
    There are no volumes, proxies and displays.
    """

    setup: Setup

    def payload_schema(self) -> Schema:
        """Return the schema of `command`."""
        return PAYLOAD_SCHEMA

    async def new_sandbox_builder(self, options: SandboxOptions) -> ProcessSandboxBuilder:
        """Return a builder. Raises: MalformedPayloadError for a command that cannot be one."""
        command = tuple(options.payload["command"])
        check_command(command)
        return ProcessSandboxBuilder(self.setup, options.context, command, _conclude)


class ProcessProvider(EngineProvider):
    """Creates engines that run commands; see `CONFIG_SCHEMA` for their configuration."""

    async def new_engine(self, options: EngineOptions) -> ProcessEngine:
        """Return an engine, once its containment was tried. Raises: ConfigurationError, JournalError."""
        return ProcessEngine(await Setup.make(structure(ProcessConfig, options.config), options))

    def config_schema(self) -> Schema:
        """Return the schema of the configuration."""
        return CONFIG_SCHEMA


provider = ProcessProvider()


def _conclude(ended: Ended) -> ResultSet:
    return ProcessResult(ended.exit, ended.exit.success and not ended.killed, ended.workspace, ended.context)
