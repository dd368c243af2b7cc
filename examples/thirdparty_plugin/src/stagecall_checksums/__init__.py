"""The plugin `checksums`: a task fails unless the files it wrote have the SHA-256 checksums it promised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import BinaryIO

from stagecall import Plugin, PluginProvider, TaskPlugin
from stagecall.engines import ResourceNotFoundError
from stagecall.lifecycle import FeatureNotSupportedError, MalformedPayloadError

__all__ = ["ChecksumsPlugin", "ChecksumsProvider", "provider"]

CHUNK_BYTES = 1_048_576


class ChecksumsTaskPlugin(TaskPlugin):
    """Checks the files of one run against `promised`, and stores what it found as `artifact` if there is a name."""

    def __init__(self, context, promised: Mapping[str, str], artifact: str | None) -> None:
        self.context = context
        self.promised = promised
        self.artifact = artifact

    def stopped(self, result_set) -> bool:
        """Return whether every file is what was promised.

        A plain `def`, as reading and hashing block: it runs in a thread, and calls the engine through `run_on_loop`.
        """
        found = {
            path: self.checksum(result_set, path) for path in self.promised if not self.context.cancelled
        }
        if self.artifact is not None and not self.context.cancelled:
            self.store({path: sha256 for path, sha256 in found.items() if sha256 is not None})
        wrong = [path for path, sha256 in found.items() if sha256 != self.promised[path]]
        for path in wrong:
            self.context.log_error(f"{path}: {found[path] or 'missing'}, promised was {self.promised[path]}")
        return not wrong

    def checksum(self, result_set, path: str) -> str | None:
        """Return the checksum of a file, None if there is no such file."""
        try:
            with self.context.run_on_loop(result_set.extract_file(path)) as file:
                return self.hash(file)
        except ResourceNotFoundError:
            return None
        except FeatureNotSupportedError as error:
            raise MalformedPayloadError(f"payload.checksums: {error}") from error

    def hash(self, file: BinaryIO) -> str:
        """Return the checksum of what is read, or of a part of it once the run is cancelled."""
        digest = hashlib.sha256()
        while not self.context.cancelled and (piece := file.read(CHUNK_BYTES)):
            digest.update(piece)
        return digest.hexdigest()

    def store(self, checksums: Mapping[str, str]) -> None:
        lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(checksums.items()))
        self.context.run_on_loop(
            self.context.upload_artifact(
                self.artifact, lines.encode(), content_type="text/plain; charset=utf-8"
            )
        )


class ChecksumsPlugin(Plugin):
    """A task fails unless its files have the checksums that `checksums` of the payload maps their paths to.

    With `artifact` in the configuration, the checksums that were found are stored under that name.
    """

    def __init__(self, artifact: str | None = None) -> None:
        self.artifact = artifact

    def payload_schema(self):
        """Return the schema of `checksums`."""
        return {
            "checksums": {
                "type": "dict",
                "keysrules": {"type": "string", "minlength": 1},
                "valuesrules": {"type": "string", "regex": "[0-9a-f]{64}"},
                "meta": {
                    "title": "Checksums",
                    "description": "SHA-256, in hexadecimal, by the path in the sandbox.",
                },
            }
        }

    async def new_task_plugin(self, options):
        """Return the task plugin, or None for a task that promised nothing."""
        promised = options.payload.get("checksums")
        return ChecksumsTaskPlugin(options.context, promised, self.artifact) if promised else None


class ChecksumsProvider(PluginProvider):
    """Creates the plugin `checksums`."""

    def config_schema(self):
        """Return the schema of `artifact`."""
        return {
            "artifact": {
                "type": "string",
                "minlength": 1,
                "meta": {"description": "The name under which the checksums that were found are stored."},
            }
        }

    def new_plugin(self, options) -> ChecksumsPlugin:
        """Return the plugin."""
        return ChecksumsPlugin(options.config.get("artifact"))


provider = ChecksumsProvider()
