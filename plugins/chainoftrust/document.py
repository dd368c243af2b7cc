"""What is signed. Source: the protocols, section Artifacts; the form is the ecosystem's version 1."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...lifecycle.surroundings import Artifact
    from ...specs.task import TaskInfo

CHAIN = "public/chainOfTrust.json"
"""The artifact that lists the others."""

SIGNATURE = "public/chainOfTrust.json.sig"
"""Its detached signature: the 64 bytes of ed25519, as they are."""

VERSION = 1
"""`chainOfTrustVersion`."""


def chain_document(
    info: TaskInfo,
    artifacts: Iterable[Artifact],
    *,
    worker_group: str,
    worker_id: str,
    environment: Mapping[str, Any],
) -> bytes:
    """Return the document as it is signed and stored, UTF-8, with the SHA-256 of every artifact that has content.

    The hash is that of the bytes in the store: of a gzip-encoded artifact before it is unpacked.
    """
    document = {
        "chainOfTrustVersion": VERSION,
        "artifacts": {
            one.name: {"sha256": one.sha256}
            for one in sorted(artifacts, key=lambda one: one.name)
            if one.sha256 is not None
        },
        "taskId": info.task_id,
        "runId": info.run_id,
        "workerGroup": worker_group,
        "workerId": worker_id,
        "task": info.task.to_document(),
        "environment": dict(environment),
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n").encode(
        "utf-8", "backslashreplace"
    )
