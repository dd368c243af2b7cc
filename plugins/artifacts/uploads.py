"""Stores the artifacts of one run, and goes on past whatever goes wrong with one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

import attrs

from ...engines.errors import InvalidResourceError, PartlyExtractedError, ResourceNotFoundError
from ...lifecycle.background import contained
from ...lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError
from ...lifecycle.resolution import message_of
from .compression import GzipReader
from .content_types import content_type
from .entries import FILE, GZIP, Entry, take_names
from .names import Names, name_problem

if TYPE_CHECKING:
    from ...engines.base import ResultSet
    from ...lifecycle.context import TaskContext

AT_ONCE = 5
"""Uploads under way at once, and entries that are worked on: each directory holds a few files open."""

KEPT = 100
"""Errors of one type that are raised in the end: a store that is down fails every file of a large folder."""

SHOWN = 3
"""How many files of one folder an error artifact names."""

MISSING = "file-missing-on-worker"
INVALID = "invalid-resource-on-worker"


@attrs.define(eq=False)
class Uploads:
    """The uploads of one run: `complete` until something is missing, `errors` are what else went wrong.

    What the task did, or failed to do, becomes an error artifact; what the payload asked, or the store did,
    an error of the run. Of the errors of one type the first KEPT are raised in the end; all are in the log.
    """

    context: TaskContext
    result_set: ResultSet
    complete: bool = True
    failed: int = 0
    errors: list[Exception] = attrs.field(factory=list)
    _names: Names = attrs.field(factory=Names, init=False)
    _uploads: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    async def run(self, entries: Sequence[Entry]) -> bool:
        """Store all entries; return whether nothing was missing.

        Raises, once everything else is stored: MalformedPayloadError, what the store raised, or an
        ExceptionGroup of several.
        """
        take_names(entries, self._names)
        waiting = iter(entries)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(entries))):
                group.create_task(self._work(waiting))
        self._raise_errors()
        return self.complete

    async def _work(self, waiting: Iterator[Entry]) -> None:
        for entry in waiting:
            await contained(self._file(entry) if entry.type == FILE else self._directory(entry))

    async def _file(self, entry: Entry) -> None:
        try:
            with await self.result_set.extract_file(entry.path) as file:
                await self._upload(entry, entry.name, entry.path, file)
        except Exception as error:
            if (left := self._explain(entry, error)) is not None:
                await self._mark(entry, entry.name, *left)

    async def _directory(self, entry: Entry) -> None:
        nameless: list[str] = []
        left: tuple[str, str] | None = None

        async def handle(path: str, file: BinaryIO) -> None:
            name = f"{entry.name}/{path}"
            if problem := name_problem(name) or self._names.take_file(name):
                nameless.append(f"the artifact name {name!r} {problem}")
            else:
                await self._upload(entry, name, path, file)

        try:
            await self.result_set.extract_folder(entry.path, handle)
        except PartlyExtractedError as error:
            await self._mark_each(entry, error.failures, nameless)
        except Exception as error:
            left = self._explain(entry, error)
        if nameless and left is None:
            left = INVALID, _first(nameless)
        if left is not None:
            await self._mark(entry, entry.name, *left)

    async def _upload(self, entry: Entry, name: str, path: str, file: BinaryIO) -> None:
        try:
            async with self._uploads:
                stored = await self.context.upload_artifact(
                    name,
                    cast(BinaryIO, GzipReader(file)) if entry.packed else file,
                    content_type=entry.content_type or content_type(path, name),
                    content_encoding=GZIP if entry.packed else None,
                    expires=entry.expires,
                )
        except Exception as error:
            self._note(name, error)
        else:
            packed = f", {GZIP}" if entry.packed else ""
            self.context.log(f"artifact {name}: {stored.bytes} bytes, {stored.content_type}{packed}")

    def _explain(self, entry: Entry, error: Exception) -> tuple[str, str] | None:
        """Return reason and message of the error artifact that an entry becomes, None if it becomes none."""
        match error:
            case InvalidResourceError():
                return INVALID, str(error)
            case ResourceNotFoundError() if entry.optional:
                self.context.log(f"artifact {entry.name}: no {entry.type} {entry.path!r}, and it is optional")
            case ResourceNotFoundError():
                return MISSING, f"no {entry.type} {entry.path!r}: {error}"
            case OSError():
                return INVALID, f"the {entry.type} {entry.path!r} cannot be read: {error}"
            case MalformedPayloadError():
                self._keep(MalformedPayloadError(*(f"{entry.where}.path: {text}" for text in error.messages)))
            case FeatureNotSupportedError():
                self._keep(MalformedPayloadError(f"{entry.where}.type: {error}"))
            case _:
                self._note(entry.name, error)
        return None

    async def _mark_each(self, entry: Entry, failures: Mapping[str, str], nameless: list[str]) -> None:
        """Leave an error artifact for each file or folder of a directory that cannot be read, if it can have a name."""
        for path, message in failures.items():
            name = f"{entry.name}/{path}"
            if name_problem(name) or self._names.take_file(name):
                nameless.append(message)
            else:
                await self._mark(entry, name, INVALID, message)

    async def _mark(self, entry: Entry, name: str, reason: str, message: str) -> None:
        """Leave an error artifact where an artifact was promised; the task has failed."""
        self.complete = False
        self.context.log_error(f"artifact {name}: {message}")
        try:
            async with self._uploads:
                await self.context.create_error_artifact(
                    name, reason=reason, message=message, expires=entry.expires
                )
        except Exception as error:
            self._note(name, error)

    def _note(self, name: str, error: Exception) -> None:
        self._keep(error)
        self.context.log_error(f"artifact {name} is not stored: {message_of(error)}")

    def _keep(self, error: Exception) -> None:
        self.failed += 1
        if sum(type(one) is type(error) for one in self.errors) < KEPT:
            self.errors.append(error)

    def _raise_errors(self) -> None:
        malformed = [error for error in self.errors if isinstance(error, MalformedPayloadError)]
        if malformed and len(malformed) == len(self.errors):
            raise MalformedPayloadError.merge(malformed)
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ExceptionGroup(f"{self.failed} artifacts are not stored", self.errors)


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - SHOWN} more files" if len(problems) > SHOWN else ""
    return "; ".join(sorted(problems)[:SHOWN]) + more
