"""Files of uploads that are under way, and what recovery does with those that never became complete."""

from __future__ import annotations

import os
import re
import secrets
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from ...lifecycle.errors import NonFatalInternalError
from ...lifecycle.journal.lease import Lease
from ...lifecycle.offload import offload
from .descent import existing_folder

_PART = re.compile(r"\.[0-9a-f]{16}\.part")


def part_name() -> str:
    """Return a name for a file that is not complete, which nobody else has."""
    return f".{secrets.token_hex(8)}.part"


async def undo_part(lease: Lease) -> None:
    """Remove an artifact's file that never became complete. Raises: NonFatalInternalError."""
    root, folders, name = Path(lease.data["root"]), list(lease.data["folders"]), str(lease.data["name"])
    if not (_PART.fullmatch(name) and root.is_absolute()) or any(
        part in ("", "..") or "/" in part for part in folders
    ):
        raise NonFatalInternalError(
            f"{name!r} in {root} is no file that a store would have made: it is left alone"
        )
    try:
        await offload(partial(_remove, root, folders, name))
    except OSError as error:
        place = root.joinpath(*folders, name)
        raise NonFatalInternalError(f"{place} cannot be removed: {error.strerror or error}") from error


def _remove(root: Path, folders: list[str], name: str, stop: threading.Event) -> None:
    with suppress(FileNotFoundError), existing_folder(root, folders) as parent:
        os.unlink(name, dir_fd=parent)
