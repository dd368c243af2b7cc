"""A handler with its address, from attach to detach."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ...lifecycle.surroundings import Handler
    from .exchange import Exchange
    from .server import WebHookServer


@attrs.define(eq=False, repr=False)
class AttachedHook:
    """A handler with its address; `name` stands for it in logs, where the address must not."""

    url: str
    handler: Handler
    digest: bytes
    _server: WebHookServer
    exchanges: set[Exchange] = attrs.field(factory=set, init=False)
    _fewer: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def name(self) -> str:
        """Eight characters that tell it from others, and nothing of its address."""
        return self.digest.hex()[:8]

    def __repr__(self) -> str:
        return f"<web hook {self.name}>"

    def begin(self, exchange: Exchange) -> None:
        """Count a request as open."""
        self.exchanges.add(exchange)

    def end(self, exchange: Exchange) -> None:
        """Count a request as done."""
        self.exchanges.discard(exchange)
        self._fewer.set()

    async def detach(self, grace: float = 0.0) -> None:
        """Answer 404 from now on; what is open has `grace` seconds to end, then its connection is closed.

        A request whose handler calls this is not waited for. Detaching again ends what is still open by then.
        Where this is cancelled, everything is closed at once.
        """
        self._server.forget(self)
        try:
            await self._wait(grace)
            ended = await asyncio.gather(*(exchange.cut() for exchange in self._others()))
        finally:
            for exchange in self._others():
                exchange.sever()
            self._server.close_idle(self)
        if stuck := ended.count(False):
            self._server.monitor.log(
                "a web hook was detached, but its handler does not end", hook=self.name, requests=stuck
            )

    async def _wait(self, grace: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._others() and (left := deadline - loop.time()) > 0:
            self._fewer.clear()
            try:
                await asyncio.wait_for(self._fewer.wait(), left)
            except TimeoutError:
                return

    def _others(self) -> list[Exchange]:
        """Return the open requests but for the one that asks."""
        me = asyncio.current_task()
        return [exchange for exchange in self.exchanges if exchange.task is not me]
