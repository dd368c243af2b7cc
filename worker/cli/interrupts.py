"""Signals while runs are under way: the first ends them, the second makes them hurry, the third ends all.

Only the command line installs signal handlers, and takes them off again; the library never does.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Calls the next of `steps` for each signal that asks for the end, the last one for every further.

    Only Ctrl-C goes beyond the first step: a service manager that sends SIGTERM twice does not mean to hurry,
    and a terminal that closes sends SIGHUP.
    """

    def __init__(self, *steps: Callable[[str], None]) -> None:
        self._steps = steps
        self._count = 0

    def take(self, number: int) -> None:
        """Take one signal."""
        if self._count and number != signal.SIGINT:
            return
        step = self._steps[min(self._count, len(self._steps) - 1)]
        self._count += 1
        step("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the process's signals on the running loop; afterwards they are handled as before."""
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        taken = [
            number for number in SIGNALS if before[number] is not signal.SIG_IGN
        ]  # nohup, and shells' background jobs
        for number in taken:
            loop.add_signal_handler(number, self.take, number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])
