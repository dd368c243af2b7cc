"""A command in its cell, from its start until it has ended or was ended."""

from __future__ import annotations

import asyncio

import attrs

from .containment import Cell


@attrs.define(eq=False)
class Command:
    """What sandbox and shell have in common: `ended` waits, `stop` hurries it, `cell.clear()` makes sure.

    Create it when the cell was started.
    """

    cell: Cell
    _moment: asyncio.Future[None] = attrs.field(init=False)
    _out_of_time: asyncio.Future[None] = attrs.field(init=False)
    _grace: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._moment, self._out_of_time = loop.create_future(), loop.create_future()
        self.cell.exited.add_done_callback(self._wake)

    def stop(self, grace: float) -> None:
        """Give the command SIGTERM and `grace` seconds to end, neither if 0.

        Only the first call counts, but for one with 0: that ends the grace that is under way.
        """
        if self._grace is None:
            self._grace = grace
            self._wake()
        if not grace and not self._out_of_time.done():
            self._out_of_time.set_result(None)

    async def ended(self) -> None:
        """Return when the command's own process has ended, or has been stopped and used up its grace."""
        await self._moment
        if self._grace and not self.cell.exited.done():
            await self.cell.terminate()
            ends = (self.cell.exited, self._out_of_time)
            await asyncio.wait(ends, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)

    def _wake(self, _: object = None) -> None:
        if not self._moment.done():
            self._moment.set_result(None)
