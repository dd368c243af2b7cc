"""What the pages know of one run: while it goes on, and once it is over, as long as there is room to remember it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import attrs

from ...lifecycle.errors import LifecycleError
from ...lifecycle.explain import explain
from ...lifecycle.surroundings import AddressedStore, Artifact, ArtifactStore, ReadableStore
from ...lifecycle.threads import WORK
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Event, Kind, Trace
from ..cli.summary import summarise
from .logs import LOG_ARTIFACTS, MOST_UNPACKED, FileLog, HeldLog, kept_log, open_artifact, unpacked_log
from .signals import Signal

if TYPE_CHECKING:
    from ...plugins.livelog.sending import Source
    from ..task_run import TaskRun

RUNNING = "running"
"""The state of a run that has no resolution yet; the other states are the resolution's."""
UNRESOLVED = "unresolved"
"""The state of a run whose trace breaks off: it never got a resolution."""


@attrs.define(eq=False)
class Entry:
    """A run's line in the index. `seconds` is how long it took, or had taken when it was last heard of."""

    task_id: str
    run_id: int
    label: str
    started: datetime
    state: str = RUNNING
    stage: str = "pending"
    reason: str | None = None
    seconds: float = 0.0
    version: int = 0
    """Which change of the index was the last of this line."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells runs apart."""
        return self.task_id, self.run_id

    def as_dict(self) -> dict[str, Any]:
        """Return the line as the index tells it; `url` is relative to the index, `seconds` are the run's until now."""
        seconds = self.seconds
        if self.state == RUNNING:
            seconds = max(seconds, (datetime.now(UTC) - self.started).total_seconds())
        return {
            "taskId": self.task_id,
            "runId": self.run_id,
            "label": self.label,
            "state": self.state,
            "stage": self.stage,
            "reason": self.reason,
            "started": self.started.isoformat(),
            "seconds": round(seconds, 3),
            "url": f"runs/{self.task_id}/{self.run_id}/",
        }

    def take(self, event: Event) -> bool:
        """Take note of an event; return whether that changed the line."""
        if event.kind is Kind.MOVE:
            self.stage = event.stage
        elif event.kind is Kind.OUTCOME and event.get("final", True):
            self.state, self.reason = str(event.get("state")), event.get("reason")
        elif event.kind is not Kind.END:
            return False
        self.seconds = event.time
        return True


class Subject(Protocol):
    """A run that has a page: one under way, or one that was recorded."""

    entry: Entry
    changed: Signal
    """Set with every event."""
    over: bool
    """Whether the trace is complete."""

    @property
    def lifecycle(self) -> Lifecycle:
        """The lifecycle that it is a run of."""

    async def trace(self) -> Trace:
        """Return the trace so far; it grows while the run goes on. Raises: OSError, ValueError."""

    def progress(self) -> dict[str, Any] | None:
        """Return how far the uploads are, None where none is under way."""

    async def log(self) -> Source:
        """Return the log for a reader, who closes it. Raises: LifecycleError where there is none any more."""

    async def artifact(self, name: str) -> Artifact | None:
        """Return the artifact of that name as it is now."""

    async def artifact_at(self, url: str) -> Artifact | None:
        """Return the artifact of the run that a redirect to a file leads to."""

    def content(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """Return the content of an artifact. Raises: FileNotFoundError, NonFatalInternalError."""

    def close(self) -> None:
        """Let go of what it holds."""


@attrs.define(eq=False)
class LiveRun:
    """A run of this process, and what stays of it when it is over."""

    run: TaskRun
    store: ArtifactStore
    entry: Entry
    folder: Path | None = None
    """Where `run.json` and `artifacts/` will lie, if anywhere."""
    changed: Signal = attrs.field(factory=Signal)
    over: bool = False
    held: HeldLog = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.held = HeldLog(self.run.context.open_log())

    @property
    def lifecycle(self) -> Lifecycle:
        """The lifecycle that it is a run of."""
        return self.run.lifecycle

    async def trace(self) -> Trace:
        """Return the run's own trace, which nobody may change."""
        return self.run.trace

    def progress(self) -> dict[str, Any] | None:
        """Return how far the uploads are."""
        progress = self.run.progress
        if not progress.under_way:
            return None
        return {
            "filesDone": progress.files_done,
            "bytesDone": progress.bytes_done,
            "underWay": [
                {"name": one.name, "bytesDone": one.bytes_done, "bytesTotal": one.bytes_total}
                for one in progress.under_way
            ],
        }

    async def log(self) -> Source:
        """Return the log, which is held for as long as the run is remembered."""
        return self.held.reader()

    async def artifact(self, name: str) -> Artifact | None:
        """Return the artifact of that name as it is now."""
        return self.run.artifact(name)

    async def artifact_at(self, url: str) -> Artifact | None:
        """Return the artifact that the store has at an address."""
        if not isinstance(self.store, AddressedStore):
            return None
        for name in _names_in(url):
            if (found := self.run.artifact(name)) is not None and self.store.url(self.run.info, name) == url:
                return found
        return None

    def content(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """Return the content of an artifact from the store that it went to."""
        if not isinstance(self.store, ReadableStore):
            raise FileNotFoundError(f"{type(self.store).__name__} does not give back what it holds")
        return self.store.read(self.run.info, name, offset)

    def observe(self, event: Event) -> bool:
        """Take note of an event of the trace; return whether that changed the run's line in the index."""
        self.over = self.over or event.kind is Kind.END
        self.changed.set()
        return self.entry.take(event)

    def close(self) -> None:
        """Let go of the log."""
        self.held.close()


async def ending(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> dict[str, Any]:
    """Return the summary of a run that is over, and its explanation; made in a thread, as a trace may be long."""
    told: dict[str, Any] = await WORK.submit(ending_of, trace, lifecycle).future
    return told


def ending_of(trace: Trace, lifecycle: Lifecycle = TASK_RUN) -> dict[str, Any]:
    """Return the summary of a run as `--json` prints it, with the lines of `stagecall explain` as `explanation`."""
    return summarise(trace) | {"explanation": explain(trace, lifecycle)}


def entry_of(trace: Trace, label: str) -> Entry:
    """Return the line of a recorded run. Raises: ValueError for a trace that does not say whose it is."""
    first = next(iter(trace.of(Kind.RUN)), None)
    if first is None:
        raise ValueError("the trace does not say which run it is of")
    entry = Entry(str(first.get("task_id")), int(first.get("run_id", 0)), label, trace.started)
    for event in trace:
        entry.take(event)
    if entry.state == RUNNING:
        entry.state = UNRESOLVED
    return entry


def stored_artifacts(trace: Trace) -> Mapping[str, Artifact]:
    """Return the artifacts that a trace tells of, each as it was last."""
    stored = {}
    for event in trace.of(Kind.ARTIFACT):
        known = {name: event.get(name) for name in _FIELDS if event.get(name) is not None}
        try:
            known["expires"] = datetime.fromisoformat(str(known.get("expires")))
            stored[str(known["name"])] = Artifact(**known)
        except (TypeError, ValueError, KeyError):
            continue  # not as this program writes them
    return stored


def stored_log(folder: Path, trace: Trace) -> FileLog:
    """Return the log of the run in a folder, from its artifact or from what recovery kept.

    Raises: LifecycleError where nothing was kept; OSError.
    """
    closed = [event.get("bytes") for event in trace.of(Kind.LOG_CLOSED)]
    most = closed[0] if closed and isinstance(closed[0], int) else MOST_UNPACKED
    stored = stored_artifacts(trace)
    for name in LOG_ARTIFACTS:
        artifact = stored.get(name)
        if artifact is not None and artifact.storage == "object":
            with suppress(FileNotFoundError), open(open_artifact(folder, name), "rb") as file:
                pieces = iter(lambda file=file: file.read(1_048_576), b"")  # type: ignore[misc]
                return unpacked_log(pieces, artifact.content_encoding == "gzip", min(most, MOST_UNPACKED))
    with suppress(FileNotFoundError):
        return kept_log(folder / "task.log")
    raise LifecycleError("nobody kept the log of this run")


def artifact_in(folder: Path, url: str, artifacts: Mapping[str, Artifact]) -> Artifact | None:
    """Return the artifact of a run's folder whose file is at the address `url`."""
    root = f"{(folder / 'artifacts').absolute().as_uri()}/"
    name = unquote(url.removeprefix(root))
    return artifacts.get(name) if url == root + quote(name) else None


def _names_in(url: str) -> Iterator[str]:
    """Yield what may be the name of an artifact at the end of its address: there may be very many to compare with.

    >>> list(_names_in("file:///out/public/a%20b"))
    ['out/public/a b', 'public/a b', 'a b']
    """
    rest = unquote(urlsplit(url).path)
    while rest:
        _, _, rest = rest.partition("/")
        if rest:
            yield rest


_FIELDS = frozenset(field.name for field in attrs.fields(Artifact))
