"""What engines and plugins hold of a run: its facts, log, cancellation, temporary folder and work."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from .calls import CURRENT, Call
from .cancellation import Cancellation
from .errors import LifecycleError
from .journal.lease import Lease
from .surroundings import Artifact, Storage

if TYPE_CHECKING:
    from ..specs.task import TaskInfo
    from .log import LogView, TaskLog

T = TypeVar("T")


class Owner(Protocol):
    """What a context needs of the run it belongs to."""

    loop: asyncio.AbstractEventLoop
    log: TaskLog

    @property
    def journaled(self) -> bool:
        """Whether the run has a journal."""

    async def new_lease(self, kind: str, data: Mapping[str, Any]) -> Lease:
        """Return a lease of the run once it is durable."""

    async def release_lease(self, lease: Lease) -> None:
        """Release a lease of the run; return once that is durable."""

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `coro` as a background task of the run."""

    def late_message(self, text: str) -> None:
        """Take a message that came after the log was closed."""

    def run_folder(self) -> Path:
        """Return the run's temporary folder, created on first use."""

    def stored_artifacts(self) -> Sequence[Artifact]:
        """Return what the run has stored so far."""

    async def store_artifact(self, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Store an artifact and record it in the trace."""


class TaskContext:
    """The run as engines and plugins see it. The methods that return at once may be called from any thread.

    `info` is the TaskInfo, `cancelled` the Cancellation (flag, awaitable, and `wait` for threads), `queue`
    and `credentials` are what the worker got with the claim, None where a task did not come from a queue.
    """

    __slots__ = ("_owner", "cancelled", "credentials", "info", "queue")

    def __init__(self, owner: Owner, info: TaskInfo, queue: Any = None, credentials: Any = None) -> None:
        self._owner = owner
        self.info = info
        self.cancelled = Cancellation()
        self.queue = queue
        self.credentials = credentials

    def log(self, text: str) -> None:
        """Write a message to the task log, each line marked `[stagecall]`; a line that the task has begun ends before.

        Once the log is closed it goes to the trace and the worker's log.
        Raises: TaskExceptionError (resource-unavailable) when the disk is full.
        """
        self._write("[stagecall] ", text)

    def log_error(self, text: str) -> None:
        """Write an error to the task log, each line marked `[stagecall:error]`; otherwise as `log`."""
        self._write("[stagecall:error] ", text)

    def _write(self, prefix: str, text: str) -> None:
        text = self._owner.log.masked(text)  # before it is cut into lines, as a secret may have several
        lines = "".join(f"{prefix}{line}\n" for line in text.splitlines() or [""])
        if not self._owner.log.tell(lines.encode("utf-8", "backslashreplace")):
            self._owner.late_message(text)

    def mask(self, secret: str | bytes) -> None:
        """Have a secret replaced by `[masked]` in whatever gets into the task log from now on.

        Also where it arrives in pieces, and each line of it that has 4 bytes or more. White space around it does not
        count. From `new_task_plugin` and `build_sandbox` on it is masked in all that the task writes.

        Raises: ValueError, which does not tell the secret, if it has less than 4 bytes or more than 65,536.
        """
        self._owner.log.mask(secret)

    def write_log(self, data: bytes) -> bool:
        """Append the sandbox's own output as it is; return False once the log is closed. For engines.

        Raises: TaskExceptionError (resource-unavailable) when the disk is full.
        """
        return self._owner.log.write(data)

    async def drain_into_log(self, pipe: int) -> int:
        """Move the sandbox's output from a non-blocking pipe into the log, without copying, until its end.

        For engines. Returns the bytes moved; the caller closes the pipe.

        Raises: TaskExceptionError (resource-unavailable) when the disk is full.
        """
        return await self._owner.log.drain(pipe)

    @property
    def log_bytes(self) -> int:
        """The bytes in the log so far."""
        return self._owner.log.size

    @property
    def log_closed(self) -> bool:
        """Whether the log is closed."""
        return self._owner.log.closed

    def new_log_reader(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Return the log from byte `offset` on, following it until it is closed.

        It comes in pieces of at most 64 KiB.
        """
        return self._owner.log.reader(offset)

    def open_log(self) -> LogView:
        """Return a view of the log as it is and grows, for whoever serves it; the caller closes it.

        At any time until dispose, from any thread; what a view has open stays readable past dispose.
        Raises: LifecycleError once the log was disposed.
        """
        return self._owner.log.view()

    def extract_log(self) -> BinaryIO:
        """Return the whole log, open for reading, from `finished` or `exception` on; the caller closes it.

        Raises: LifecycleError before.
        """
        return self._owner.log.open()

    @property
    def temporary_folder(self) -> Path:
        """A private folder of the run, created on first use, removed in dispose."""
        return self._owner.run_folder()

    def spawn(self, coro: Coroutine[Any, Any, T], name: str = "background") -> asyncio.Task[T]:
        """Run `coro` in the background on the run's loop.

        It is joined before dispose and its error counts as a hook's.

        Raises: LifecycleError from another thread than the loop's, or once the run is being disposed.
        """
        return self._owner.spawn(coro, name)

    @property
    def journaled(self) -> bool:
        """Whether leases are kept: without a journal they cost nothing, and mean nothing."""
        return self._owner.journaled

    async def lease(self, kind: str, /, **data: Any) -> Lease:
        """Lease something outside of the process, and acquire it when this has returned: the lease is durable then.

        If the process dies, recovery calls the undo that is registered for `kind` with the lease, whether or not the
        thing was acquired; `data` is what the undo needs, and what JSON can say.
        From a thread: `context.run_on_loop(context.lease(...))`.

        Raises: JournalError, and nothing may be acquired; TypeError; LifecycleError once the run is over.
        """
        return await self._owner.new_lease(kind, data)

    async def release(self, lease: Lease) -> None:
        """Say that what the lease stands for is gone; returns once that is durable. Again does nothing.

        Raises: JournalError.
        """
        await self._owner.release_lease(lease)

    @asynccontextmanager
    async def leased(self, kind: str, /, **data: Any) -> AsyncIterator[Lease]:
        """Hold a lease while the body acquires, uses and disposes something.

        It is released when the body has ended, whichever way, so the body cleans up after its own errors.

        Raises: as `lease` and `release`.
        """
        lease = await self.lease(kind, **data)
        try:
            yield lease
        finally:
            await self.release(lease)

    def run_on_loop(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run `coro` on the run's loop and block this thread for its result.

        This is how a plain `def` hook calls async engine methods.

        Raises: what `coro` raises; CancelledError when the hook is cancelled; LifecycleError on the loop's
        own thread.
        """
        return run_on_loop(self._owner.loop, coro)

    @property
    def artifacts(self) -> Sequence[Artifact]:
        """What the run has stored so far, whoever stored it: each artifact under its name as it is now.

        They stand in the order in which their names were first used. What is being uploaded is not among them.
        """
        return self._owner.stored_artifacts()

    async def upload_artifact(
        self,
        name: str,
        content: BinaryIO | bytes,
        *,
        content_type: str = "application/octet-stream",
        content_encoding: str | None = None,
        expires: datetime | None = None,
    ) -> Artifact:
        """Store a file as artifact `name`; it expires with the task unless `expires` says otherwise.

        Raises: NonFatalInternalError.
        """
        return await self._store(
            name,
            "object",
            content,
            content_type=content_type,
            content_encoding=content_encoding,
            expires=expires,
        )

    async def create_error_artifact(
        self, name: str, *, reason: str, message: str, expires: datetime | None = None
    ) -> Artifact:
        """Store why there is no artifact `name`. Raises: NonFatalInternalError."""
        return await self._store(name, "error", None, reason=reason, message=message, expires=expires)

    async def create_redirect_artifact(
        self, name: str, *, url: str, content_type: str, expires: datetime | None = None
    ) -> Artifact:
        """Make artifact `name` lead to a URL; it may be pointed elsewhere later.

        Raises: NonFatalInternalError.
        """
        return await self._store(name, "redirect", None, url=url, content_type=content_type, expires=expires)

    async def create_link_artifact(
        self, name: str, *, target: str, content_type: str, expires: datetime | None = None
    ) -> Artifact:
        """Make artifact `name` stand for another artifact of the run. Raises: NonFatalInternalError."""
        return await self._store(
            name, "link", None, target=target, content_type=content_type, expires=expires
        )

    async def _store(
        self,
        name: str,
        storage: Storage,
        content: BinaryIO | bytes | None,
        *,
        content_type: str = "application/octet-stream",
        expires: datetime | None = None,
        **fields: Any,
    ) -> Artifact:
        artifact = Artifact(name, storage, content_type, expires or self.info.expires, **fields)
        return await self._owner.store_artifact(artifact, content)


def run_on_loop(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` on `loop` from another thread and wait for it; see `TaskContext.run_on_loop`."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is not None:
        coro.close()
        raise LifecycleError("run_on_loop is for threads; on a loop, await the coroutine")
    call = CURRENT.get()
    work = coro if call is None else _on_behalf(call, coro)
    try:
        result = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError as error:
        work.close()
        coro.close()
        raise LifecycleError("the run's loop is closed: nothing runs on it any more") from error
    try:
        return result.result()
    except concurrent.futures.CancelledError:  # another class than asyncio's, and an Exception
        coro.close()  # a stranger may have cancelled the task before it began
        raise asyncio.CancelledError from None


async def _on_behalf(call: Call, coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` so that cancelling `call`, whose thread waits for it, cancels it too."""
    task = asyncio.current_task()
    assert task is not None
    if call.cancelling:
        coro.close()
        raise asyncio.CancelledError
    call.loop_work = [*(call.loop_work or ()), task]
    try:
        return await coro
    finally:
        call.loop_work.remove(task)
