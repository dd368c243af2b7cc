"""What listeners are told while runs go on: the events of one run, or the lines of all."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from .policy import DATA
from .runs import Subject, ending
from .signals import Signal
from .streams import END, HEARTBEAT, DroppedError, EventStream, message

if TYPE_CHECKING:
    from .index import Index

PROGRESS_SECONDS = 0.5
"""How often a listener is told how far the uploads of a run are."""
PAUSE_SECONDS = 0.05
"""The least time between two looks: what happens meanwhile is told in one piece, however much it is."""


async def follow_index(request: web.Request, index: Index, closing: Signal) -> web.StreamResponse:
    """Tell a listener every run, then each whose line changes."""
    stream = EventStream(request)
    with suppress(DroppedError):  # who is gone needs no answer
        await stream.begin()
        if request.method == "GET":
            await _tell_index(stream, index, closing)
    return stream.response


async def _tell_index(stream: EventStream, index: Index, closing: Signal) -> None:
    told = 0
    quiet = 0.0
    while True:
        closed = closing.count  # before the look: what has happened until then is told
        seen = index.changed.count
        if entries := index.since(told):
            told = entries[-1].version
            await stream.send(message(entry.as_dict(), name="run") for entry in entries)
            quiet = 0.0
            await closing.wait(0, PAUSE_SECONDS)
        if closed:
            return
        if (
            not await index.changed.wait(seen, PROGRESS_SECONDS)
            and (quiet := quiet + PROGRESS_SECONDS) >= HEARTBEAT
        ):
            quiet = 0.0
            await stream.still_here()


async def follow_run(request: web.Request, subject: Subject, closing: Signal) -> web.StreamResponse:
    """Tell a listener the trace of a run, from where it stopped, and what became of the run at the end."""
    last = request.headers.get("Last-Event-ID", "")
    if last == END:
        return web.Response(status=204, headers=DATA)  # tells a browser not to come back
    stream = EventStream(request)
    with suppress(DroppedError):
        await stream.begin()
        if request.method == "GET":
            await _RunTeller(stream, subject, closing, _after(last)).tell()
    return stream.response


def _after(last: str) -> int:
    """Return the event that follows the last one that a listener has seen; all of them where it says nothing usable.

    >>> _after("41"), _after("-1"), _after("")
    (42, 0, 0)
    """
    return int(last) + 1 if re.fullmatch("[0-9]{1,15}", last) else 0


class _RunTeller:
    """Tells one listener one run; `told` events were told."""

    def __init__(self, stream: EventStream, subject: Subject, closing: Signal, told: int) -> None:
        self._stream, self._subject, self._closing, self._told = stream, subject, closing, told
        self._progress: object = None

    async def tell(self) -> None:
        stream, subject, closing = self._stream, self._subject, self._closing
        trace = await subject.trace()
        await stream.send([message(subject.entry.as_dict(), name="run")])
        quiet = 0.0
        while True:
            closed = closing.count
            seen = subject.changed.count
            count = len(trace)
            if self._told < count:
                await stream.send(
                    message(trace[seq].as_dict(seq), id=seq) for seq in range(self._told, count)
                )
                self._told = count
            await self._tell_progress()
            if subject.over and count == len(trace):
                break
            if closed:
                return
            if await subject.changed.wait(seen, PROGRESS_SECONDS):
                quiet = 0.0
                await closing.wait(0, PAUSE_SECONDS)
            elif (quiet := quiet + PROGRESS_SECONDS) >= HEARTBEAT:
                quiet = 0.0
                await stream.still_here()
        await stream.send([message(await ending(trace, subject.lifecycle), name="end", id=END)])

    async def _tell_progress(self) -> None:
        progress = self._subject.progress()
        if progress != self._progress:
            self._progress = progress
            await self._stream.send(
                [message(progress or {"filesDone": None, "underWay": []}, name="progress")]
            )
