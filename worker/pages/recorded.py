"""Runs that are over and lie on disk: the folder that `stagecall run` leaves, with `run.json` and `artifacts/`."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.surroundings import Artifact
from ...lifecycle.threads import WORK
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.task import TaskDefinition, TaskInfo
from ...specs.trace import Trace
from ..stores import FolderStore
from .logs import (
    HeldLog,
    open_regular,
)
from .runs import Entry, artifact_in, entry_of, stored_artifacts, stored_log
from .signals import Signal

if TYPE_CHECKING:
    from ...plugins.livelog.sending import Source

MOST_BYTES = 128 * 1024**2
"""The largest run.json that is read."""
LISTED_BYTES = 8 * 1024**2
"""The largest that is read only to list its run."""

_TASK_ID = re.compile("[A-Za-z0-9_-]{1,64}")


def read_recorded(folder: Path, most: int = MOST_BYTES) -> Trace:
    """Return the trace in a folder's run.json. Raises: OSError, ValueError."""
    with open(open_regular(folder / "run.json"), "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"{folder / 'run.json'} is larger than {most} bytes")
        return Trace.from_document(json.load(file))


def _read_whole(folder: Path) -> tuple[Trace, Mapping[str, Artifact]]:
    trace = read_recorded(folder)
    return trace, stored_artifacts(trace)


def recorded_entry(folder: Path) -> Entry | None:
    """Return the line of the run in a folder, None if there is none that can be listed."""
    try:
        entry = entry_of(read_recorded(folder, LISTED_BYTES), folder.name)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return entry if _TASK_ID.fullmatch(entry.task_id) and 0 <= entry.run_id < 10**9 else None


def recorded_below(folder: Path, most: int) -> Iterator[tuple[Path, Entry]]:
    """Yield the runs in the folders of a folder, the newest `most`, the oldest of them first."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                found.append((os.stat(Path(entry.path, "run.json")).st_mtime, entry.path))
    for _, path in sorted(found)[-most:]:
        if (line := recorded_entry(Path(path))) is not None:
            yield Path(path), line


@attrs.define(eq=False)
class Memory:
    """The recorded runs that were looked at last, a few of them: traces, artifacts, and logs unpacked."""

    most: int = 8
    _runs: OrderedDict[Path, tuple[Trace, Mapping[str, Artifact]]] = attrs.field(
        factory=OrderedDict, init=False
    )
    _logs: OrderedDict[Path, HeldLog] = attrs.field(factory=OrderedDict, init=False)

    async def trace(self, folder: Path) -> Trace:
        """Return the trace of a folder's run. Raises: OSError, ValueError."""
        return (await self._run(folder))[0]

    async def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Return the artifacts of a folder's run by their names. Raises: as `trace`."""
        return (await self._run(folder))[1]

    async def _run(self, folder: Path) -> tuple[Trace, Mapping[str, Artifact]]:
        if folder not in self._runs:
            self._runs[folder] = await WORK.submit(_read_whole, folder).future
        self._runs.move_to_end(folder)
        found = self._runs[folder]
        while len(self._runs) > self.most:
            self._runs.popitem(last=False)
        return found

    async def log(self, folder: Path) -> Source:
        """Return the log of a folder's run for a reader. Raises: LifecycleError, OSError, ValueError."""
        if folder not in self._logs:
            log = await WORK.submit(stored_log, folder, await self.trace(folder)).future
            if folder in self._logs:  # somebody else was faster
                log.close()
            else:
                self._logs[folder] = HeldLog(log)
        self._logs.move_to_end(folder)
        while len(self._logs) > self.most:
            self._logs.popitem(last=False)[1].close()
        return self._logs[folder].reader()

    def close(self) -> None:
        """Forget everything."""
        self._runs.clear()
        while self._logs:
            self._logs.popitem()[1].close()


@attrs.define(eq=False)
class RecordedRun:
    """A run that is over, in the folder that it left."""

    folder: Path
    entry: Entry
    memory: Memory
    lifecycle: Lifecycle = TASK_RUN
    changed: Signal = attrs.field(factory=Signal)
    over: bool = True

    async def trace(self) -> Trace:
        """Return the trace. Raises: OSError, ValueError."""
        return await self.memory.trace(self.folder)

    def progress(self) -> dict[str, Any] | None:
        """Return None: nothing is under way."""
        return None

    async def log(self) -> Source:
        """Return the log as it was kept."""
        return await self.memory.log(self.folder)

    async def artifact(self, name: str) -> Artifact | None:
        """Return the artifact of that name, as the trace tells of it."""
        return (await self.memory.artifacts(self.folder)).get(name)

    async def artifact_at(self, url: str) -> Artifact | None:
        """Return the artifact whose file is at an address."""
        return artifact_in(self.folder, url, await self.memory.artifacts(self.folder))

    def content(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """Return the content of an artifact from the folder."""
        store = FolderStore(self.folder, lambda task: Path("artifacts"))
        definition = TaskDefinition.parse({"payload": {}})
        return store.read(TaskInfo.from_definition(definition), name, offset)

    def close(self) -> None:
        """Hold nothing that has to be let go."""
