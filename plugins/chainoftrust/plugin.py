"""The plugin itself: lists, signs and stores when everything else is stored."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.errors import ConfigurationError
from ...lifecycle.offload import offload
from ..base import EVERY_OTHER, Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from .document import CHAIN, SIGNATURE, chain_document
from .keys import KeyFileError, read_signing_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ...lifecycle.context import TaskContext
    from ...specs.schemas import Schema


@attrs.define(eq=False)
class ChainOfTrustTaskPlugin(TaskPlugin):
    """Signs what one run has stored."""

    plugin: ChainOfTrustPlugin
    context: TaskContext

    async def finished(self, success: bool) -> None:
        """Store list and signature. Raises: NonFatalInternalError for what the store refuses."""
        document, signature = await offload(self._signed)
        await self.context.upload_artifact(CHAIN, document, content_type="application/json")
        await self.context.upload_artifact(SIGNATURE, signature)

    def _signed(self, stop: Event) -> tuple[bytes, bytes]:
        document = self.plugin.document(self.context)
        return document, self.plugin.key.sign(document)


@attrs.define(eq=False)
class ChainOfTrustPlugin(Plugin):
    """Stores `public/chainOfTrust.json`, with the SHA-256 of every artifact, and a detached ed25519 signature of it.

    `key` of the configuration names the file with the signing key, which nobody but its owner may use: PEM, or Base64.
    `environment` is put into the list as it is, to tell what the worker runs on. Runs that end as an exception are not
    signed. Tasks of an engine that runs them as the worker's own user could read the key: give such tasks another user.

        openssl genpkey -algorithm ed25519 -out signing.pem
        openssl pkey -in signing.pem -pubout -out signing.pub.pem

    Check a copy of the artifacts with `stagecall verify DIR --key signing.pub.pem`.
    """

    after = EVERY_OTHER

    key: Ed25519PrivateKey
    worker_group: str = "local"
    worker_id: str = "local"
    environment: Mapping[str, Any] = attrs.field(factory=dict)

    async def new_task_plugin(self, options: TaskPluginOptions) -> ChainOfTrustTaskPlugin:
        """Return the task plugin."""
        return ChainOfTrustTaskPlugin(self, options.context)

    def document(self, context: TaskContext) -> bytes:
        """Return what is to be signed of a run, as it is now."""
        return chain_document(
            context.info,
            context.artifacts,
            worker_group=self.worker_group,
            worker_id=self.worker_id,
            environment=self.environment,
        )


class ChainOfTrustProvider(PluginProvider):
    """Creates the plugin `chainoftrust`."""

    def config_schema(self) -> Schema:
        """Return the schema of `key` and `environment`."""
        return {
            "key": {
                "type": "string",
                "minlength": 1,
                "required": True,
                "meta": {
                    "description": "The file with the ed25519 signing key: PEM, or Base64; for its owner only."
                },
            },
            "environment": {
                "type": "dict",
                "keysrules": {"type": "string", "minlength": 1},
                "meta": {"description": "What the signed list says about the machine, as it is."},
            },
        }

    async def new_plugin(self, options: PluginOptions) -> ChainOfTrustPlugin:
        """Return the plugin with its key.

        Raises: ConfigurationError for a file that holds none, or that others may use.
        """
        path = Path(options.config["key"])
        try:
            key = await offload(partial(_read_key, path))
        except KeyFileError as error:
            raise ConfigurationError(f"plugin chainoftrust, key: {error}") from error
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "plugin chainoftrust needs the package cryptography: pip install 'stagecall[trust]'"
            ) from error
        environment = {
            "stagecall": importlib.metadata.version("stagecall"),
            **options.config.get("environment", {}),
        }
        shared = options.environment
        return ChainOfTrustPlugin(key, shared.worker_group, shared.worker_id, environment)


def _read_key(path: Path, stop: Event) -> Ed25519PrivateKey:
    return read_signing_key(path)


provider = ChainOfTrustProvider()
