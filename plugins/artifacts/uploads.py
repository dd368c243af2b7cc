"""Stores the artifacts of one run, and goes on past whatever goes wrong with one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import attrs

from ...engines.errors import InvalidResourceError, ResourceNotFoundError
from ...lifecycle.background import contained
from ...lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from ...lifecycle.resolution import message_of
from .content_types import content_type
from .entries import FILE, Entry, take_names
from .names import Names, name_problem

if TYPE_CHECKING:
    from ...engines.base import ResultSet
    from ...lifecycle.context import TaskContext

AT_ONCE = 5
"""Uploads under way at once, and files held open for them."""

SHOWN = 3
"""How many files of one folder an error artifact names."""

MISSING = "file-missing-on-worker"
INVALID = "invalid-resource-on-worker"


@attrs.define(eq=False)
class Uploads:
    """The uploads of one run: `complete` until something is missing, `errors` are what else went wrong.

    What the task did, or failed to do, becomes an error artifact; what the payload asked, or the store did,
    an error of the run.
    """

    context: TaskContext
    result_set: ResultSet
    complete: bool = True
    errors: list[Exception] = attrs.field(factory=list)
    _names: Names = attrs.field(factory=Names, init=False)
    _files: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)
    _uploads: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    async def run(self, entries: Sequence[Entry]) -> bool:
        """Store all entries; return whether nothing was missing.

        Raises, once everything else is stored: MalformedPayloadError, what the store raised, or an
        ExceptionGroup of several.
        """
        take_names(entries, self._names)
        async with asyncio.TaskGroup() as group:
            for entry in entries:
                group.create_task(self._store(entry))
        self._raise_errors()
        return self.complete

    async def _store(self, entry: Entry) -> None:
        await contained(self._file(entry) if entry.type == FILE else self._directory(entry))

    async def _file(self, entry: Entry) -> None:
        async with self._files:
            try:
                with await self.result_set.extract_file(entry.path) as file:
                    await self._upload(entry, entry.name, entry.path, file)
            except Exception as error:
                await self._failed(entry, error)

    async def _directory(self, entry: Entry) -> None:
        refused: list[str] = []

        async def handle(path: str, file: BinaryIO) -> None:
            name = f"{entry.name}/{path}"
            if problem := name_problem(name) or self._names.take_file(name):
                refused.append(f"the artifact name {name!r} {problem}")
            else:
                await self._upload(entry, name, path, file)

        try:
            await self.result_set.extract_folder(entry.path, handle)
        except Exception as error:
            await self._failed(entry, error)
        else:
            if refused:
                await self._mark(entry, INVALID, _first(refused))

    async def _upload(self, entry: Entry, name: str, path: str, file: BinaryIO) -> None:
        try:
            async with self._uploads:
                stored = await self.context.upload_artifact(
                    name, file, content_type=content_type(path, name), expires=entry.expires
                )
        except Exception as error:
            self._note(name, error)
        else:
            self.context.log(f"artifact {name}: {stored.bytes} bytes, {stored.content_type}")

    async def _failed(self, entry: Entry, error: Exception) -> None:
        """Take an error of the engine about the path of an entry."""
        match error:
            case InvalidResourceError():
                await self._mark(entry, INVALID, str(error))
            case ResourceNotFoundError():
                await self._mark(entry, MISSING, f"no {entry.type} {entry.path!r}: {error}")
            case OSError():
                await self._mark(entry, INVALID, f"the {entry.type} {entry.path!r} cannot be read: {error}")
            case MalformedPayloadError():
                self.errors.append(
                    MalformedPayloadError(*(f"{entry.where}.path: {text}" for text in error.messages))
                )
            case FeatureNotSupportedError():
                self.errors.append(MalformedPayloadError(f"{entry.where}.type: {error}"))
            case _:
                self._note(entry.name, error)

    async def _mark(self, entry: Entry, reason: str, message: str) -> None:
        """Leave an error artifact where an artifact was promised; the task has failed."""
        self.complete = False
        self.context.log_error(f"artifact {entry.name}: {message}")
        try:
            async with self._uploads:
                await self.context.create_error_artifact(
                    entry.name, reason=reason, message=message, expires=entry.expires
                )
        except Exception as error:
            self._note(entry.name, error)

    def _note(self, name: str, error: Exception) -> None:
        self.errors.append(error)
        self.context.log_error(f"artifact {name} is not stored: {message_of(error)}")

    def _raise_errors(self) -> None:
        malformed = [error for error in self.errors if isinstance(error, MalformedPayloadError)]
        if malformed and len(malformed) == len(self.errors):
            raise MalformedPayloadError.merge(malformed)
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ExceptionGroup(f"{len(self.errors)} artifacts are not stored", self.errors)


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - SHOWN} more files" if len(problems) > SHOWN else ""
    return "; ".join(sorted(problems)[:SHOWN]) + more
