"""Pages that are served on loopback, and runs for them that take every step when a test says so.

`.venv/bin/python tests/pages/devserver.py` serves the same to look at while working on the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs

from stagecall.lifecycle.errors import ExceptionReason
from stagecall.lifecycle.surroundings import Artifact
from stagecall.testing.doubles import ScriptedEngine
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.pages.recorded import Memory, RecordedRun
from stagecall.worker.pages.runs import Entry, LiveRun
from stagecall.worker.pages.site import Pages
from stagecall.worker.runtime import Runtime
from stagecall.worker.stores import FolderStore
from stagecall.worker.task_run import TaskRun
from stagecall.worker.webhooks import WebHookOptions, WebHookServer

BOUND = 30.0
"""Seconds after which a test gives up on what it waits for."""

PLUGINS: Mapping[str, Mapping[str, Any]] = {"success": {}, "env": {}, "artifacts": {}, "tasklog": {}}


@attrs.define(eq=False)
class ScriptedRun:
    """A run whose task does what a test says."""

    subject: LiveRun
    engine: ScriptedEngine
    url: str
    gates: Mapping[str, asyncio.Event]
    driving: asyncio.Task[Any] | None = attrs.field(init=False, default=None)

    def drive(self) -> None:
        """Begin the run."""
        self.driving = asyncio.create_task(self.run.wait())

    @property
    def run(self) -> TaskRun:
        """The run itself."""
        return self.subject.run

    def log(self, text: str | bytes) -> None:
        """Let the task print something."""
        self.run.context.write_log(text.encode() if isinstance(text, str) else text)

    async def artifact(
        self, name: str, content: bytes, content_type: str = "text/plain", **options: Any
    ) -> Artifact:
        """Store an artifact."""
        return await self.run.context.upload_artifact(name, content, content_type=content_type, **options)

    async def reach(self, stage: str) -> None:
        """Wait until the run is in a stage."""
        async with asyncio.timeout(BOUND):
            while self.run.stage != stage:
                await self.subject.changed.wait(self.subject.changed.count, BOUND)

    def release(self, call: str) -> None:
        """Let a call of the engine go on that `begin(hold=...)` named."""
        self.gates[call].set()

    async def finish(self, success: bool = True) -> None:
        """Let the task end and wait for the end of the run."""
        self.engine.success = success
        await self.reach("waiting")
        for gate in self.gates.values():
            gate.set()
        self.engine.sandboxes[0].finish()
        await self.over()

    async def over(self) -> None:
        """Wait for the end of the run."""
        assert self.driving is not None, "the run has not begun"
        async with asyncio.timeout(BOUND):
            await asyncio.wait([self.driving])

    async def end(self) -> None:
        """End the run, whatever it is doing."""
        for gate in self.gates.values():
            gate.set()
        if self.driving is not None:
            self.run.abort(ExceptionReason.CANCELED)
            await self.over()


@attrs.define(eq=False)
class Site:
    """Serves pages behind a web hook at `url`; artifacts lie in `folder`."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    pages: Pages = attrs.field(init=False)
    url: str = attrs.field(init=False, default="")
    runs: list[ScriptedRun] = attrs.field(factory=list, init=False)
    _open: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)
    _environment: LocalEnvironment = attrs.field(init=False)

    async def __aenter__(self) -> Site:
        store = FolderStore(self.folder / "store")
        self._environment = await self._open.enter_async_context(LocalEnvironment(store, root=self.folder))
        self.pages = Pages(store)
        options = WebHookOptions(self.host, self.port, drain=1.0)
        hooks = await self._open.enter_async_context(WebHookServer(options))
        self.url = (await hooks.attach(self.pages.handle)).url
        return self

    async def __aexit__(self, *raised: object) -> None:
        for run in self.runs:
            await run.end()
        self.pages.close()
        await self._open.aclose()

    async def begin(
        self,
        label: str = "build",
        *,
        hold: Iterable[str] = (),
        plugins: Any = PLUGINS,
        payload: Mapping[str, Any] | None = None,
        driven: bool = True,
        **engine: Any,
    ) -> ScriptedRun:
        """Begin a run that stays in `waiting` until `finish`; it stays in each engine call of `hold` until `release`.

        Calls are those of `ScriptedEngine`: `new_sandbox_builder` (prepare), `start_sandbox` (start), and others.
        One that is not `driven` has a page already and begins with `drive`.
        """
        gates = {call: asyncio.Event() for call in hold}
        deeds = {call: gate.wait for call, gate in gates.items()}
        scripted = ScriptedEngine(holds=True, deeds={**_nothing(deeds), **engine.pop("deeds", {})}, **engine)
        runtime = await self._open.enter_async_context(
            await Runtime.create(scripted, plugins, environment=self._environment)
        )
        run = runtime.new_run({"payload": payload or {}})
        subject = self.pages.add(run, label)
        url = f"{self.url}{subject.entry.as_dict()['url']}"
        self.runs.append(ScriptedRun(subject, scripted, url, gates))
        if driven:
            self.runs[-1].drive()
        return self.runs[-1]


def listed(entry: Entry) -> RecordedRun:
    """Return a run that stands in the index and nowhere else."""
    return RecordedRun(Path("nowhere"), entry, Memory())


def _nothing(waits: Mapping[str, Any]) -> dict[str, Any]:
    """Return deeds that wait and return nothing, so that the engine returns its own."""

    def deed(wait: Any) -> Any:
        async def do() -> None:
            await wait()

        return do

    return {name: deed(wait) for name, wait in waits.items()}
