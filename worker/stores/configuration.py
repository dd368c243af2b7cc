"""Where artifacts go, in the worker's configuration file: the section `worker.artifacts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ...lifecycle.surroundings import ArtifactStore
from ...specs.schemas import Schema
from .urls import open_store


@attrs.frozen
class ArtifactOptions:
    """What `open_store` makes a store of."""

    url: str
    public_url: str | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def open(self) -> ArtifactStore:
        """Return the store. Raises: ConfigurationError."""
        return open_store(self.url, public_url=self.public_url, options=self.options)


def structure_artifacts(section: Mapping[str, Any]) -> ArtifactOptions:
    """Return what a valid section gives.

    >>> structure_artifacts({"url": "memory://", "options": {"limit": 1000}}).open().limit
    1000
    """
    return ArtifactOptions(section["url"], section.get("publicUrl"), section.get("options", {}))


ARTIFACTS: Schema = {
    "url": {
        "type": "string",
        "minlength": 1,
        "required": True,
        "meta": {
            "description": "Where artifacts go: file:///folder, memory://, s3://bucket/prefix, gs://bucket/prefix or "
            "az://container/prefix. Credentials come from the usual environment variables."
        },
    },
    "publicUrl": {
        "type": "string",
        "minlength": 1,
        "meta": {"description": "The http address under which the world finds what lies at url, if it may."},
    },
    "options": {
        "type": "dict",
        "keysrules": {"type": "string"},
        "valuesrules": {"type": ["string", "integer", "boolean"]},
        "meta": {
            "description": "What else the store must know, in the words of obstore: region, endpoint, allow_http, "
            "skip_signature, timeout, ...; for memory limit, in bytes."
        },
    },
}
