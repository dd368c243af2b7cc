"""What is inside a mock sandbox: all that the builder collected, and the files that the task wrote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from ..base import ProxyHandler
from ._odd import Left
from .volumes import MockVolume

if TYPE_CHECKING:
    from ...lifecycle.context import TaskContext
    from .engine import MockEngine
    from .payload import Payload


@attrs.frozen
class Mount:
    """A volume and how it is mounted."""

    volume: MockVolume
    read_only: bool


@attrs.define(eq=False)
class Interior:
    """One sandbox from the inside; `files` maps paths without a leading slash to what is there.

    The dicts are None until something is put in them: most of ten thousand sandboxes need none.
    """

    engine: MockEngine
    context: TaskContext
    payload: Payload
    variables: dict[str, str] | None = None
    mounts: dict[str, Mount] | None = None
    proxies: dict[str, ProxyHandler] | None = None
    files: dict[str, Left] | None = None

    def write(self, text: str) -> None:
        """Write a line to the task log as the task's own output."""
        self.context.write_log(f"{text}\n".encode("utf-8", "backslashreplace"))

    async def delay(self) -> None:
        """Take the time that the payload asks for."""
        await asyncio.sleep(self.payload.delay / 1000)

    def mount_of(self, path: str) -> tuple[Mount, str] | None:
        """Return the innermost mount that holds `path`, and the path below its mount point."""
        below = [point for point in self.mounts or () if path.startswith(f"{point.rstrip('/')}/")]
        if self.mounts is None or not below:
            return None
        point = max(below, key=len)
        return self.mounts[point], path[len(point.rstrip("/")) :]
