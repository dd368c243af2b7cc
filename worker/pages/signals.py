"""How many listeners learn that something grew, at no cost to who makes it grow.

Nothing is queued for anybody: the trace and the list of runs are there once, each listener remembers how far it has
told them, and a signal only says that there is more.
"""

from __future__ import annotations

import asyncio

import attrs


@attrs.define(eq=False)
class Signal:
    """Wakes who waits; `count` says how often it was set, so that nobody misses what came before he waited.

    >>> async def main():
    ...     signal = Signal()
    ...     seen = signal.count
    ...     signal.set()
    ...     return await signal.wait(seen, 10.0)
    >>> asyncio.run(main())
    True
    """

    count: int = 0
    _waiters: set[asyncio.Future[None]] = attrs.field(factory=set, init=False)

    def set(self) -> None:
        """Wake everybody."""
        self.count += 1
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seen: int, seconds: float) -> bool:
        """Return True once it was set more than `seen` times, False when the time is up."""
        if self.count != seen:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiters.discard(waiter)
        return self.count != seen
