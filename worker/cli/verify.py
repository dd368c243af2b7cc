"""`stagecall verify`: is a folder of artifacts what a worker has signed?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ...lifecycle.escaping import escaped
from ...plugins.chainoftrust import CHAIN, ChainError, KeyFileError, Verdict, read_public_key, verify_folder
from .exits import Exit, Problem

ARTIFACTS = "artifacts"
"""Where `stagecall run` puts them in a run's output folder."""


def verify(folder: Path, key: Path, *, unlisted: bool, as_json: bool) -> tuple[list[str], Exit]:
    """Verify a folder; return what to print, and 1 if it cannot be trusted. Raises: Problem."""
    place = _artifacts_of(folder)
    try:
        public = read_public_key(key)
    except KeyFileError as error:
        raise Problem(f"--key {error}") from error
    except ModuleNotFoundError as error:
        raise Problem("verify needs the package cryptography: pip install 'stagecall[trust]'") from error
    try:
        verdict = verify_folder(place, public, unlisted=unlisted)
    except ChainError as error:
        told = {"trusted": False, "error": str(error)}
        return [json.dumps(told) if as_json else escaped(f"NOT trusted: {error}")], Exit.FAILED
    code = Exit.COMPLETED if verdict.trusted else Exit.FAILED
    return [json.dumps(_document(verdict))] if as_json else list(_lines(verdict)), code


def _artifacts_of(folder: Path) -> Path:
    """Return where the artifacts are: in the folder, or in the one that `stagecall run` makes in it."""
    inner = folder / ARTIFACTS
    return inner if os.path.lexists(inner / CHAIN) and not os.path.lexists(folder / CHAIN) else folder


def _lines(verdict: Verdict) -> Iterator[str]:
    signed = f"signed by {verdict.worker} for run {verdict.run_id} of {verdict.task_id}"
    for name, problem in verdict.problems.items():
        yield escaped(f"{name}: {problem}")
    count = len(verdict.names)
    artifacts = "1 artifact" if count == 1 else f"{count} artifacts"
    if verdict.trusted:
        yield escaped(f"trusted: {artifacts}, {signed}")
    else:
        yield escaped(
            f"NOT trusted: {len(verdict.problems)} of what is there differs from {artifacts}, {signed}"
        )


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "trusted": verdict.trusted,
        "taskId": verdict.task_id,
        "runId": verdict.run_id,
        "worker": verdict.worker,
        "artifacts": list(verdict.names),
        "problems": dict(verdict.problems),
    }
