"""The engines that plugins are tested on: one that offers every feature, and one that offers none.

Neither has any payload of its own, so that no plugin's property can stand in its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ...engines.base import SandboxOptions, Schema
from ...engines.mock.builder import MockSandboxBuilder
from ...engines.mock.engine import MockEngine
from ..doubles.engine import ScriptedEngine


@attrs.define(eq=False, kw_only=True)
class KitEngine(MockEngine):
    """The mock engine; what its task does is said by whoever makes it, in the terms of the mock engine's payload."""

    task: Mapping[str, Any] = attrs.field(factory=dict)

    def payload_schema(self) -> Schema:
        """Return the schema of nothing."""
        return {}

    async def new_sandbox_builder(self, options: SandboxOptions) -> MockSandboxBuilder:
        """Return a builder for the task."""
        return await super().new_sandbox_builder(attrs.evolve(options, payload=self.task))


class BareEngine(ScriptedEngine):
    """Raises FeatureNotSupportedError for everything that is optional; its sandbox lasts until it is finished."""

    def payload_schema(self) -> Schema:
        """Return the schema of nothing."""
        return {}
