"""The handler behind the pages' web hook: which address shows what.

    /                                       the index; `runs.json` and `runs/events` (server-sent events) are its data
    /runs/<taskId>/<runId>/                 the page of a run
    /runs/<taskId>/<runId>/events           its trace as server-sent events; `run.json` is the trace so far
    /runs/<taskId>/<runId>/log              its log, as plugins/livelog serves it; `log/events` for followers
    /runs/<taskId>/<runId>/artifacts/<name> an artifact; `?preview` is the beginning of one that is text
    /static/<file>                          scripts and style sheets

All addresses in pages are relative: nothing here knows under which prefix it is served.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ...lifecycle.errors import LifecycleError
from ...lifecycle.surroundings import ArtifactStore
from ...lifecycle.threads import WORK
from ...plugins.livelog.serving import LogHandler
from ...specs.trace import VERSION, Event, Kind, Trace
from .assets import asset, content_type
from .content import serve_artifact
from .document import served_page
from .drawing import diagram_of
from .following import follow_index, follow_run
from .index import Index
from .policy import ASSET, DATA, PAGE
from .recorded import Memory, RecordedRun, recorded_below
from .runs import Entry, LiveRun, Subject
from .signals import Signal

if TYPE_CHECKING:
    from ..task_run import TaskRun

KEEP = 10_000
"""The most runs that the index lists."""
KEEP_WHOLE = 50
"""How many runs that are over stay in memory, with their traces, and keep their logs open."""

MOST_RECORDED = 1_000
"""How many runs of earlier commands are listed."""

_RUN = r"/runs/(?P<task>[A-Za-z0-9_-]{1,64})/(?P<run>[0-9]{1,9})"


class Pages:
    """The pages of a worker's runs; `handle` goes behind a web hook.

    `keep` bounds the index, `keep_whole` how many runs that are over stay in memory; of others only what lies in their
    folders is shown, and those without a folder are forgotten. Add each run before it begins.
    """

    def __init__(self, store: ArtifactStore, *, keep: int = KEEP, keep_whole: int = KEEP_WHOLE) -> None:
        self.index = Index(keep)
        self.closing = Signal()
        self._store = store
        self._keep_whole = keep_whole
        self._whole: deque[LiveRun] = deque()
        self._memory = Memory()
        self._routes: list[tuple[re.Pattern[str], Callable[..., Awaitable[web.StreamResponse]]]] = [
            (re.compile(pattern), method)
            for pattern, method in (
                ("/", self._index_page),
                (r"/runs\.json", self._index_data),
                ("/runs/events", self._index_events),
                (r"/static/(?P<name>[\w.-]{1,64})", self._asset),
                (rf"{_RUN}", self._slash),
                (rf"{_RUN}/", self._run_page),
                (rf"{_RUN}/events", self._run_events),
                (rf"{_RUN}/run\.json", self._run_data),
                (rf"{_RUN}/log(?:/events)?", self._run_log),
                (rf"{_RUN}/artifacts/(?P<name>.+)", self._artifact),
            )
        ]

    def add(self, run: TaskRun, label: str | None = None, folder: Path | None = None) -> LiveRun:
        """Give a run a page, before it begins; from the run's loop.

        `folder` is where its `run.json` and `artifacts/` will lie, if anywhere.
        """
        task_id, run_id = run.info.task_id, run.info.run_id
        entry = Entry(task_id, run_id, label or task_id, run.trace.started)
        subject = LiveRun(run, self._store, entry, folder)

        def observe(event: Event) -> None:
            if subject.observe(event):
                self.index.put(subject)
            if subject.over and event.kind is Kind.END:
                self._whole.append(subject)
                self._make_room()

        run.observe(observe)
        self.index.put(subject)
        return subject

    async def add_recorded(self, folder: Path) -> None:
        """List the runs that lie in the folders of `folder`, read in a thread; those listed already stay."""
        for place, entry in await WORK.submit(lambda: list(recorded_below(folder, MOST_RECORDED))).future:
            if self.index.get(entry.key) is None:
                self.index.put(RecordedRun(place, entry, self._memory))
        self._make_room()

    def _make_room(self) -> None:
        while len(self._whole) > self._keep_whole:
            subject = self._whole.popleft()
            subject.close()
            if subject.folder is not None:
                self.index.replace(
                    RecordedRun(subject.folder, subject.entry, self._memory, subject.lifecycle)
                )
            else:
                self.index.forget(subject.entry.key)
        for surplus in self.index.surplus():
            surplus.close()

    def end(self) -> None:
        """End the streams that have no end of their own: of the index, and of runs that are not over."""
        self.closing.set()

    def close(self) -> None:
        """Do what `end` does, and let go of every log."""
        self.end()
        for subject in self.index:
            subject.close()
        self._memory.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return _text(405, "Only GET and HEAD are answered here.", Allow="GET, HEAD")
        for pattern, method in self._routes:
            if (found := pattern.fullmatch(request.path)) is not None:
                try:
                    return await self._answer(request, method, found.groupdict())
                except ConnectionError:  # who is gone needs no answer
                    return _text(499, "")
        return _text(404, "There is nothing here.")

    async def _answer(
        self,
        request: web.Request,
        method: Callable[..., Awaitable[web.StreamResponse]],
        found: dict[str, str],
    ) -> web.StreamResponse:
        if "task" not in found:
            return await method(request, **found)
        subject = self.index.get((found.pop("task"), int(found.pop("run"))))
        if subject is None:
            return _text(404, "No such run is known here.")
        try:
            return await method(request, subject, **found)
        except ConnectionError:
            raise
        except (OSError, ValueError) as error:  # a run on disk that somebody has touched
            return _text(410, f"This run cannot be read any more: {error}")

    async def _index_page(self, request: web.Request) -> web.StreamResponse:
        return _page(served_page("index"))

    async def _index_data(self, request: web.Request) -> web.StreamResponse:
        return _json([entry.as_dict() for entry in self.index.since(0)])

    async def _index_events(self, request: web.Request) -> web.StreamResponse:
        return await follow_index(request, self.index, self.closing)

    async def _asset(self, request: web.Request, name: str) -> web.StreamResponse:
        try:
            body = asset(name)
        except KeyError:
            return _text(404, "There is no such file.")
        return web.Response(body=body.encode(), headers={**ASSET, "Content-Type": content_type(name)})

    async def _slash(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        headers = {**DATA, "Location": f"{subject.entry.run_id}/"}
        return web.Response(status=308, headers=headers)

    async def _run_page(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        diagram = await WORK.submit(diagram_of, subject.lifecycle).future
        return _page(served_page("run", diagram))

    async def _run_events(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        return await follow_run(request, subject, self.closing)

    async def _run_data(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        trace = await subject.trace()
        text = await WORK.submit(_document, trace).future
        return web.Response(text=text, headers={**DATA, "Content-Type": "application/json"})

    async def _run_log(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        try:
            source = await subject.log()
        except LifecycleError as error:
            return _text(410, f"The log is gone: {error}.")
        root = request.path.removesuffix("/events")
        return await LogHandler(lambda: source, root)(request)

    async def _artifact(self, request: web.Request, subject: Subject, name: str) -> web.StreamResponse:
        return await serve_artifact(request, subject, name)


def _document(trace: Trace) -> str:
    """Return a trace as run.json has it; one event after the other, as nothing else runs while JSON is made of one."""
    head = json.dumps({"version": VERSION, "started": trace.started.isoformat()})
    events = ", ".join(json.dumps(event.as_dict(seq), default=str) for seq, event in enumerate(trace.events))
    return f'{head[:-1]}, "events": [{events}]}}'


def _page(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={**PAGE, "Content-Type": "text/html; charset=utf-8"})


def _json(data: Any) -> web.Response:
    body = json.dumps(data, separators=(",", ":"), default=str).encode()
    return web.Response(body=body, headers={**DATA, "Content-Type": "application/json"})


def _text(status: int, text: str, **headers: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={**DATA, **headers})
