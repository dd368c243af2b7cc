"""Collects what a command is started with, and starts it in a fresh folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from ...lifecycle.errors import ConfigurationError, LifecycleError
from ..base import EngineOptions, SandboxBuilder
from ..errors import NamingConflictError
from .config import ProcessConfig
from .containment import Containment, choose
from .environment import base_environment, check_variable
from .sandbox import Conclude, ProcessSandbox
from .spawn import Outputs, Program, room_on_host
from .workspace import Workspace

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext

PIPE_BYTES = 1_048_576
"""The size of the pipe that a task's output goes through: the most a user who is not root may ask for."""


@attrs.frozen
class Setup:
    """What the builders of one engine share: `environment` is what every task's has."""

    config: ProcessConfig
    containment: Containment
    environment: Mapping[str, str]

    @classmethod
    async def make(cls, config: ProcessConfig, options: EngineOptions) -> Setup:
        """Return what a configuration asks for, its containment tried out.

        Raises: ConfigurationError, JournalError.
        """
        if config.limits and not hasattr(resource, "prlimit"):
            raise ConfigurationError("limits: this system cannot limit another process, which needs Linux")
        containment = await choose(config.containment, options.monitor, options.journal)
        return cls(config, containment, base_environment(config.inherit_environment))


@attrs.define(eq=False)
class ProcessSandboxBuilder(SandboxBuilder):
    """Collects variables; volumes and proxies are not supported.

    A host process sees the host's own file system and names of hosts, so that neither can be given to it
    without changing what others see. `input` is what the command reads on stdin, None for nothing; `conclude`
    makes the result.
    """

    _setup: Setup
    _context: TaskContext
    _command: tuple[str, ...]
    _conclude: Conclude
    _input: bytes | None = None
    _variables: dict[str, str] = attrs.field(factory=dict, init=False)
    _used: bool = attrs.field(default=False, init=False)

    async def set_environment_variable(self, name: str, value: str) -> None:
        """Set a variable, in place of what the task would get otherwise.

        Raises: NamingConflictError if it was set already; MalformedPayloadError for a name that a shell would
        not pass on, or that is the worker's.
        """
        check_variable(name, value)
        if name in self._variables:
            raise NamingConflictError(f"the variable {name!r} is set already")
        self._variables[name] = value

    async def start_sandbox(self) -> ProcessSandbox:
        """Start the command.

        Raises: MalformedPayloadError if there is no such command, TaskExceptionError (resource-unavailable)
        if the host has no room for another process, NonFatalInternalError.
        """
        if self._used:
            raise LifecycleError("a sandbox builder is used up by `start_sandbox` or `discard`")
        self._used = True
        with room_on_host():
            workspace = Workspace(self._context.temporary_folder)
        try:
            with room_on_host():
                return await self._start(workspace)
        except BaseException:
            await workspace.remove()
            raise

    async def discard(self) -> None:
        """Use the builder up; it holds nothing."""
        self._used = True

    async def _start(self, workspace: Workspace) -> ProcessSandbox:
        program = self._program(workspace)
        cell = self._setup.containment.new_cell(self._context if self._context.journaled else None)
        read_end, write_end = os.pipe()
        try:
            _widen(read_end)
            os.set_blocking(read_end, False)
            await cell.start(program, Outputs(write_end, write_end))
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        sandbox = ProcessSandbox(
            self._context,
            workspace,
            program,
            cell,
            read_end,
            self._setup.config.kill_grace,
            self._setup.config.shell,
            self._conclude,
        )
        try:
            await asyncio.sleep(0)  # its life begins
        except BaseException:
            await sandbox.dispose()
            raise
        return sandbox

    def _program(self, workspace: Workspace) -> Program:
        folder = workspace.folder
        environment = {
            **self._setup.environment,
            "HOME": folder,
            "PWD": folder,
            "TMPDIR": workspace.temporary,
            **self._variables,
        }
        stdin = os.devnull if self._input is None else workspace.write("stdin", self._input)
        return Program.of(self._command, folder, environment, self._setup.config.limits, stdin)


def _widen(pipe: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(PermissionError):  # the user's pipes are as big as they may be
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
