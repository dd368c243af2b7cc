"""One request on its way through a handler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
from aiohttp import WSCloseCode, web

if TYPE_CHECKING:
    from .connection import Connection
    from .hook import AttachedHook

END_BUDGET = 1.0
"""Seconds that a cancelled handler, or a client that is told of the end of its websocket, has for its part."""

LOST_BUDGET = 5.0
"""Seconds that the handler of a websocket has to end by itself when the client is gone."""


class HookRequest(web.Request):
    """A request as its handler sees it: the path begins behind the hook's slug, which is nowhere in it."""

    ATTRS = web.Request.ATTRS | frozenset({"answer", "hook"})

    answer: web.StreamResponse | None = None
    """What is being sent, once that has begun."""

    hook: AttachedHook | None = None
    """The hook that it came by; None where there is none of that slug."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """See every response before its headers are sent."""
        self.answer = response
        response.headers["Server"] = "stagecall"
        # The address is the secret: no link on a hook's page may carry it along.
        response.headers.setdefault("Referrer-Policy", "no-referrer")


@attrs.define(eq=False)
class Exchange:
    """A request that a hook's handler is answering; `task` does it, to the last byte of the response."""

    request: HookRequest
    hook: AttachedHook
    connection: Connection
    task: asyncio.Task[object]
    _cancelled: bool = attrs.field(default=False, init=False)
    _late: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    @property
    def websocket(self) -> web.WebSocketResponse | None:
        """The websocket that the request has become, or None."""
        answer = self.request.answer
        return answer if isinstance(answer, web.WebSocketResponse) and answer.prepared else None

    def cancel(self) -> None:
        """Cancel the handler, once: what it does in the face of that is not cancelled too."""
        if not self._cancelled:
            self._cancelled = True
            self.task.cancel()

    def lost(self) -> None:
        """The client is gone: nobody waits for the answer; who reads a websocket finds that out by itself."""
        if self.websocket is None:
            self.cancel()
        else:
            self._late = asyncio.get_running_loop().call_later(LOST_BUDGET, self.cancel)

    def over(self) -> None:
        """The handler has ended."""
        if self._late is not None:
            self._late.cancel()

    def sever(self) -> None:
        """Cancel the handler and close the connection, now."""
        self.cancel()
        self.connection.abort()

    async def cut(self) -> bool:
        """End it: a websocket is closed as going away, the handler cancelled, the connection closed.

        Return whether the handler has ended, too; it has END_BUDGET for that.
        """
        if (websocket := self.websocket) is not None and not websocket.closed:
            await self._say_goodbye(websocket)
        self.sever()
        ended, _ = await asyncio.wait({self.task}, timeout=END_BUDGET)
        return bool(ended)

    async def _say_goodbye(self, websocket: web.WebSocketResponse) -> None:
        closing = asyncio.ensure_future(websocket.close(code=WSCloseCode.GOING_AWAY))
        try:
            await asyncio.wait({closing, self.task}, timeout=END_BUDGET)
        finally:
            closing.cancel()
            closing.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # nobody may be there
