"""What surrounds a run, for tests: it keeps everything that it is told or given."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from ...lifecycle.surroundings import Artifact, Handler, WebHooks
from ...specs.task import TaskInfo


@attrs.define(eq=False)
class RecordingMonitor:
    """A monitor that keeps what it is told; `error` makes it fail instead.

    `logs` holds `(message, fields)`, `counts` the sums, `measures` `(name, value)`, and `errors` the type of each
    error with where it was. Incident ids count from 1. Tags are not kept: `bind` returns the same monitor.

    >>> monitor = RecordingMonitor()
    >>> monitor.report_error(OSError("no space left"), where="started of plugin cache")
    'incident-1'
    >>> monitor.errors
    [('OSError', 'started of plugin cache')]
    """

    logs: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    measures: list[tuple[str, float]] = attrs.field(factory=list)
    errors: list[tuple[str, str | None]] = attrs.field(factory=list)
    error: Exception | None = None

    def bind(self, **tags: Any) -> RecordingMonitor:
        return self

    def log(self, message: str, **fields: Any) -> None:
        self.logs.append((message, fields))

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def measure(self, name: str, value: float) -> None:
        self.measures.append((name, value))

    def report_error(self, error: BaseException, **fields: Any) -> str:
        if self.error is not None:
            raise self.error
        self.errors.append((type(error).__name__, fields.get("where")))
        return f"incident-{len(self.errors)}"


@attrs.define(eq=False)
class RecordingStore:
    """Keeps artifacts as they are handed in, in order; their content is not read."""

    artifacts: list[Artifact] = attrs.field(factory=list)

    async def put(self, task: TaskInfo, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        self.artifacts.append(artifact)
        return artifact


@attrs.frozen(eq=False)
class RecordingWebHook:
    """An address at which `attached` of the hooks has a handler, until it is detached."""

    url: str
    _hooks: RecordingWebHooks

    async def detach(self, grace: float = 0.0) -> None:
        self._hooks.attached.pop(self.url, None)


@attrs.define(eq=False)
class RecordingWebHooks:
    """Gives handlers addresses, and serves none: `attached` maps the addresses of now to their handlers.

    >>> import asyncio
    >>> hooks = RecordingWebHooks()
    >>> hook = asyncio.run(hooks.attach(print))
    >>> hooks.attached
    {'https://hooks.invalid/1/': <built-in function print>}
    >>> asyncio.run(hook.detach())
    >>> hooks.attached
    {}
    """

    attached: dict[str, Handler] = attrs.field(factory=dict)
    _made: int = 0

    async def attach(self, handler: Handler) -> RecordingWebHook:
        self._made += 1
        url = f"https://hooks.invalid/{self._made}/"
        self.attached[url] = handler
        return RecordingWebHook(url, self)


@attrs.define(eq=False)
class RecordingEnvironment:
    """An environment whose monitor and store remember, and whose temporary folders lie below `folder`.

    >>> environment = RecordingEnvironment(Path("/var/tmp/tests"))
    >>> environment.monitor.count("runs")
    >>> environment.monitor.counts
    Counter({'runs': 1})
    """

    folder: Path
    monitor: RecordingMonitor = attrs.field(factory=RecordingMonitor)
    store: RecordingStore = attrs.field(factory=RecordingStore)
    webhooks: WebHooks | None = None
    worker_group: str = "doubles"
    worker_id: str = "double-1"

    def temporary_folder(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))

    def reserve_folder(self, prefix: str) -> Path:
        return self.folder / f"{prefix}{secrets.token_hex(8)}"
