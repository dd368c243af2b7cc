"""Answers requests for a log while it grows, and after.

`/` is the log itself: it is replayed from the first byte and then followed until it ends, in the form that existing
clients know (protocols, "Live log"). `/events` is the same as server-sent events. Neither ever keeps a file of its own
open, and no reader is waited for by anybody but itself.

Sources: RFC 9110 (GET, HEAD, Range), RFC 8673 (a range of something that grows), and the HTML standard (events).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing

import attrs
from aiohttp import web

from ...lifecycle.errors import LifecycleError
from .events import END_ID, PIECE_BYTES, STILL_HERE, TextEvents
from .ranges import Part, UnsatisfiableError, requested
from .sending import Outgoing, Source

PATIENCE = 60.0
"""Seconds in which a reader must take a piece of the log, half a megabyte at most."""

_ALWAYS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Expose-Headers": "X-Streaming",
    "X-Streaming": "true",
    # What a task has written is nobody's markup or script, and nobody in between may keep or hold it.
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
_TEXT = {"Content-Type": "text/plain; charset=utf-8", **_ALWAYS}
_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", **_ALWAYS}


@attrs.define(eq=False)
class LogHandler:
    """Serves one log below `root`; a web hook's handler, and a part of a page's.

    `new_source` is called for each request, which closes what it returns; it may raise LifecycleError where the log is
    gone. A reader who takes nothing for `patience` seconds, or so little that a piece of the log is not through by
    then, is dropped; `dropped` is told why, as the end of a sentence that begins with "a reader".
    """

    new_source: Callable[[], Source]
    root: str = "/"
    patience: float = PATIENCE
    dropped: Callable[[str], None] = lambda reason: None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer a request.

        404 for other paths than the two, 405 for other methods than GET and HEAD, 410 where the log is gone.
        """
        events = f"{self.root.rstrip('/')}/events"
        if request.path not in (self.root, events):
            return _refusal(404, "There is nothing here.")
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "Only GET and HEAD are answered here.", Allow="GET, HEAD")
        try:
            source = self.new_source()
        except LifecycleError:
            return _refusal(410, "The log is gone.")
        with closing(source):
            return await (self._events if request.path == events else self._log)(request, source)

    async def _log(self, request: web.Request, source: Source) -> web.StreamResponse:
        ended = source.ended  # before the size, which is final then
        size = source.size
        headers = {**_TEXT, "Accept-Ranges": "bytes", "X-Log-Bytes": str(size)}
        wanted = None
        # There is nothing that an If-Range could match.
        if request.method == "GET" and "If-Range" not in request.headers:
            try:
                wanted = requested(request.headers.get("Range"), size, ended)
            except UnsatisfiableError:
                return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        part = wanted or Part(0, size if ended else None)
        if wanted is not None:
            headers["Content-Range"] = part.content_range(size if ended else None)
        if part.stop is not None:
            headers["Content-Length"] = str(part.stop - part.first)
        response = web.StreamResponse(status=200 if wanted is None else 206, headers=headers)

        async def send(outgoing: Outgoing) -> None:
            if part.stop is None:
                await outgoing.follow(part.first)
            else:
                await outgoing.send(part.first, part.stop - part.first)

        return await self._answer(request, response, source, send)

    async def _events(self, request: web.Request, source: Source) -> web.StreamResponse:
        last = request.headers.get("Last-Event-ID") or request.query.get("from") or "0"
        if last == END_ID:
            return web.Response(status=204, headers=_ALWAYS)  # tells a browser not to come back again
        if re.fullmatch("[0-9]{1,18}", last) is None:
            return _refusal(400, "Last-Event-ID and ?from= are offsets in bytes.")
        if int(last) > source.size:
            return _refusal(416, f"The log has {source.size} bytes.")
        response = web.StreamResponse(headers=_EVENTS)

        async def send(outgoing: Outgoing) -> None:
            await _send_events(outgoing, source, TextEvents(int(last)))

        return await self._answer(request, response, source, send)

    async def _answer(
        self,
        request: web.Request,
        response: web.StreamResponse,
        source: Source,
        send: Callable[[Outgoing], Awaitable[None]],
    ) -> web.StreamResponse:
        writer = await response.prepare(request)
        if request.method == "HEAD" or writer is None:
            return response
        chunked = response.headers.get("Transfer-Encoding") == "chunked"
        try:
            await send(Outgoing(request, writer, source, chunked, self.patience))
            async with asyncio.timeout(self.patience):
                await response.write_eof()
        except ConnectionError:
            _cut(request)  # the reader left
        except TimeoutError:
            _cut(request)
            self.dropped(f"took too little for {self.patience:g} s")
        except OSError as error:
            _cut(request)
            self.dropped(f"could not be served: {error}")
        return response


async def _send_events(outgoing: Outgoing, source: Source, events: TextEvents) -> None:
    while True:
        ended = source.ended
        if events.offset < source.size:
            data = outgoing.read(events.offset, min(PIECE_BYTES, source.size - events.offset))
            if event := events.feed(data):
                await outgoing.write(event)
        elif ended:
            await outgoing.write(events.end())
            return
        elif not await outgoing.grown(events.offset):
            await outgoing.write(STILL_HERE)


def _cut(request: web.Request) -> None:
    """Close the connection at once, so that nobody takes what was sent for all there is."""
    if request.transport is not None:
        request.transport.abort()


def _refusal(status: int, text: str, **headers: str) -> web.Response:
    allowed: Mapping[str, str] = {"Access-Control-Allow-Origin": "*", **headers}
    return web.Response(status=status, text=f"{text}\n", headers=allowed)
