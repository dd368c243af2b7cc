"""The mock engine and its provider."""

from __future__ import annotations

import asyncio

import attrs

from ...lifecycle.errors import MalformedPayloadError
from ...lifecycle.surroundings import Environment
from ..base import Capabilities, Engine, EngineOptions, EngineProvider, SandboxOptions, Schema, VolumeOptions
from ..errors import MaxConcurrencyExceededError
from .builder import MockSandboxBuilder
from .interior import Interior
from .payload import MALFORMED_INITIAL, PAYLOAD_SCHEMA, Payload
from .volumes import MockVolume, MockVolumeBuilder

CONFIG_SCHEMA: Schema = {
    "maxConcurrency": {
        "type": "integer",
        "min": 1,
        "meta": {
            "title": "Most sandboxes at once",
            "description": "How many sandboxes the engine runs at once; any number if absent.",
        },
    },
}


@attrs.define(eq=False)
class MockEngine(Engine):
    """Runs tasks that only pretend: exact, fast, without processes or files; for tests and benchmarks.

    The payload's `function` says what a task does, once `delay` milliseconds have passed:

    - `true`, `false`: succeeds, fails.
    - `write-log`, `write-error-log`: writes `argument` to the task log; the latter as an error, and fails.
    - `write-log-sleep`: writes `argument` to the task log first, and takes its delay after that.
    - `write-files`: writes `Hello World` to the files that `argument` names, separated by spaces.
    - `write-odd-files`: leaves what `argument` names, separated by spaces, as `<kind>:<name>`; a kind is `file`, or
      what cannot be extracted: `fifo`, `socket`, `link`, `locked` (a file that nobody may read).
    - `print-env-var`: writes the value of the variable `argument` to the task log; fails if it is not set.
    - `write-volume`: writes to a volume; `argument` is `<mount point>/<file>:<content>`. Fails if read-only.
    - `read-volume`: writes the file `<mount point>/<file>` to the task log; fails if there is none.
    - `get-url`: gets the URL `argument` and writes it to the task log; fails unless the status is 2xx.
    - `ping-proxy`: the same with a URL whose host is an attached proxy.
    - `malformed-payload-initial`, `malformed-payload-after-start`: is malformed, before or after the start.
    - `fatal-internal-error`, `nonfatal-internal-error`: meets such an error.
    - `stopNow-sleep`: tells the worker to stop now, and waits to be aborted.
    """

    environment: Environment
    max_concurrency: int | None = None
    _running: int = attrs.field(default=0, init=False)

    def payload_schema(self) -> Schema:
        """Return the schema of `delay`, `function` and `argument`."""
        return PAYLOAD_SCHEMA

    def capabilities(self) -> Capabilities:
        """Return how many sandboxes the engine was configured to run at once."""
        return Capabilities(self.max_concurrency)

    async def new_sandbox_builder(self, options: SandboxOptions) -> MockSandboxBuilder:
        """Return a builder. Raises: MaxConcurrencyExceededError, and MalformedPayloadError if asked for."""
        payload = Payload(**options.payload)
        if payload.function == MALFORMED_INITIAL:
            await asyncio.sleep(payload.delay / 1000)
            raise MalformedPayloadError(payload.argument or "the task asked for a malformed payload")
        if self.max_concurrency is not None and self._running >= self.max_concurrency:
            raise MaxConcurrencyExceededError(self.max_concurrency)
        self._running += 1
        return MockSandboxBuilder(Interior(self, options.context, payload))

    def leave(self) -> None:
        """Take note that one sandbox has ended, or will not start."""
        self._running -= 1

    def volume_schema(self) -> Schema:
        """Return the schema of no options at all."""
        return {}

    async def new_volume(self, options: VolumeOptions) -> MockVolume:
        """Return an empty volume."""
        return MockVolume()

    async def new_volume_builder(self, options: VolumeOptions) -> MockVolumeBuilder:
        """Return a builder for a volume with content."""
        return MockVolumeBuilder()


class MockProvider(EngineProvider):
    """Creates mock engines; its configuration is `maxConcurrency`."""

    def new_engine(self, options: EngineOptions) -> MockEngine:
        """Return an engine."""
        return MockEngine(options.environment, options.config.get("maxConcurrency"))

    def config_schema(self) -> Schema:
        """Return the schema of `maxConcurrency`."""
        return CONFIG_SCHEMA


provider = MockProvider()
