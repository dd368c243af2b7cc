"""The engine `script`: the operator's command runs every task, and gets its payload as JSON on stdin."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs

from ..lifecycle.errors import (
    ConfigurationError,
    FatalInternalError,
    MalformedPayloadError,
    NonFatalInternalError,
)
from ..specs.schemas import MergedSchema, SchemaError, structure
from .base import Engine, EngineOptions, EngineProvider, SandboxOptions, Schema
from .errors import InvalidResourceError, PartlyExtractedError, ResourceNotFoundError
from .process.builder import ProcessSandboxBuilder, Setup
from .process.config import ARGUMENT, CONFIG_SCHEMA, ProcessConfig
from .process.environment import check_command
from .process.files import printable
from .process.result import ProcessResult
from .process.sandbox import Ended

if TYPE_CHECKING:
    from ..lifecycle.context import TaskContext

ARTIFACTS = "artifacts"
"""The folder, below the script's working folder, whose files become artifacts."""

FAILED, MALFORMED, NON_FATAL = 1, 2, 3
"""What a script's exit codes mean, beside 0."""

_TYPES = mimetypes.MimeTypes(())

SCRIPT_SCHEMA: Schema = {
    "command": {
        "type": "list",
        "required": True,
        "minlength": 1,
        "schema": ARGUMENT,
        "meta": {"title": "Command", "description": "The program that runs every task, and its arguments."},
    },
    "schema": {
        "type": "dict",
        "keysrules": {"type": "string"},
        "valuesrules": {"type": "dict"},
        "meta": {
            "title": "Payload schema",
            "description": "Cerberus rules of the payload's properties; without them a payload has none.",
        },
    },
    **CONFIG_SCHEMA,
}


@attrs.frozen
class ScriptConfig(ProcessConfig):
    """The configuration of the engine: that of one which starts processes, and more."""

    command: tuple[str, ...] = attrs.field(kw_only=True)
    schema: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, kw_only=True)


@attrs.define(eq=False)
class ScriptResult(ProcessResult):
    """What a script left in `artifacts`: the paths that are extracted are relative to that folder."""

    base = (ARTIFACTS,)


@attrs.define(eq=False)
class ScriptEngine(Engine):
    """Runs the command of the worker's configuration for every task.

    The command gets the payload as a JSON object on stdin, in UTF-8; what it writes to stdout and stderr goes
    to the task log. It runs in a fresh folder, with the environment and containment that the engine `process`
    gives. Its exit code says what became of the task:

    - 0: completed. 1: failed. In both cases the files below `./artifacts/` have become artifacts
      `public/...`; one that cannot be read is an error artifact, and the task has failed.
    - 2: the payload is malformed; the log should say why.
    - 3: an internal error that the worker survives.
    - any other, or a signal: an internal error after which the worker stops.
    """

    config: ScriptConfig
    setup: Setup

    def payload_schema(self) -> Schema:
        """Return the configured schema."""
        return self.config.schema

    async def new_sandbox_builder(self, options: SandboxOptions) -> ProcessSandboxBuilder:
        """Return a builder."""
        payload = json.dumps(dict(options.payload)).encode()
        return ProcessSandboxBuilder(self.setup, options.context, self.config.command, _conclude, payload)


class ScriptProvider(EngineProvider):
    """Creates script engines; see `SCRIPT_SCHEMA` for their configuration."""

    async def new_engine(self, options: EngineOptions) -> ScriptEngine:
        """Return an engine, once its containment was tried. Raises: ConfigurationError."""
        config = structure(ScriptConfig, options.config)
        try:
            MergedSchema.merge({"engine script": config.schema})
            check_command(config.command)
        except (SchemaError, MalformedPayloadError) as error:
            raise ConfigurationError(f"the engine script cannot be configured so: {error}") from error
        return ScriptEngine(config, await Setup.make(config, options))

    def config_schema(self) -> Schema:
        """Return the schema of the configuration."""
        return SCRIPT_SCHEMA


provider = ScriptProvider()


async def _conclude(ended: Ended) -> ScriptResult:
    """Return the result that the exit code stands for, artifacts uploaded; or raise what it stands for."""
    exit = ended.exit
    if not ended.killed:
        if exit.code == MALFORMED:
            raise MalformedPayloadError("the script refused the payload; the log says why")
        if exit.code == NON_FATAL:
            raise NonFatalInternalError("the script met an internal error; the log says what")
        if exit.code not in (0, FAILED):
            raise FatalInternalError(f"the script {exit}: only the codes 0 to {NON_FATAL} have a meaning")
    result = ScriptResult(exit, exit.success and not ended.killed, ended.workspace, ended.context)
    if not await _Uploads(ended.context).run(result):
        return attrs.evolve(result, success=False)
    return result


@attrs.define(eq=False)
class _Uploads:
    """Makes artifacts of what a script left, and goes on past what fails; `failures` are the store's."""

    context: TaskContext
    failures: list[Exception] = attrs.field(factory=list)

    async def run(self, result: ScriptResult) -> bool:
        """Upload everything; return whether all of it could be read.

        Raises: NonFatalInternalError, or what the store raised, once all else is uploaded.
        """
        complete = True
        try:
            await result.extract_folder(".", self._store)
        except PartlyExtractedError as error:
            complete = False
            for path, message in error.failures.items():
                await self._mark(path, message)
        except InvalidResourceError as error:
            raise NonFatalInternalError(f"the script's artifacts cannot be uploaded: {error}") from error
        except ResourceNotFoundError:
            pass  # the script made none
        if len(self.failures) == 1:
            raise self.failures[0]
        if self.failures:
            raise ExceptionGroup(f"{len(self.failures)} artifacts are not stored", self.failures)
        return complete

    async def _store(self, path: str, file: BinaryIO) -> None:
        name = _artifact(path)
        content_type = _TYPES.guess_type(name)[0] or "application/octet-stream"
        try:
            await self.context.upload_artifact(name, file, content_type=content_type)
        except Exception as error:
            self._note(name, error)

    async def _mark(self, path: str, message: str) -> None:
        """Leave an error artifact where a file cannot be read."""
        name = _artifact(path)
        self.context.log_error(f"artifact {name}: {message}")
        try:
            await self.context.create_error_artifact(
                name, reason="invalid-resource-on-worker", message=message
            )
        except Exception as error:
            self._note(name, error)

    def _note(self, name: str, error: Exception) -> None:
        self.failures.append(error)
        self.context.log_error(f"artifact {name} is not stored: {error}")


def _artifact(path: str) -> str:
    return f"public/{printable(path)}"
