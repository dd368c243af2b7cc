"""A virtual loop that leaves open which of the tasks that are ready goes on next, and asks an `Order`.

What asyncio promises stays: the steps of one task come in order, plain callbacks come in the order in which they were
scheduled, and none comes before a step that was scheduled earlier. Within what one callback or step schedules, no
step overtakes a plain callback either, as where several wait for one future. All else is up to the order.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple

import attrs

from ..lifecycle.calls import CURRENT
from ..lifecycle.driver import Run
from ..lifecycle.threads import Job
from ._watching import label
from .virtual_time import THREAD_SECONDS, NothingWillHappenError, VirtualLoop

Ts = TypeVarTuple("Ts")

USUAL = "usual"
"""The seed of asyncio's own order: first come, first served."""

SETTLING_SECONDS = 1.0
"""In real time: how long threads that are expected may stay silent once another one has spoken."""


@attrs.frozen
class Choice:
    """A choice among the tasks that were `ready`, in the order they became so: `taken` is the index of one of them.

    >>> print(Choice(3, ("started of plugin a", "started of plugin b"), 1))
    choice 3: started of plugin b goes on before started of plugin a
    """

    number: int
    ready: tuple[str, ...]
    taken: int

    def __str__(self) -> str:
        passed = ", ".join(self.ready[: self.taken])
        return f"choice {self.number}: {self.ready[self.taken]} goes on before {passed}"


@attrs.define(eq=False)
class Order:
    """Which task goes on at each choice: the first that became ready, unless `departures` or `random` say otherwise.

    `departures` maps the number of a choice, counted from 1, to the index of the task taken. `random` draws at a share
    of `rate` of the choices. Afterwards `options` tells how many tasks were ready at each choice, `taken` which went
    on; `told` describes the departures if `runs` are there to name the tasks by.
    """

    departures: Mapping[int, int] = attrs.field(factory=dict)
    random: Random | None = None
    rate: float = 1.0
    runs: Iterable[Run] | None = None
    options: list[int] = attrs.field(factory=list)
    taken: list[int] = attrs.field(factory=list)
    told: list[Choice] = attrs.field(factory=list)
    over: bool = False

    def choose(self, ready: list[asyncio.Task[Any]]) -> int:
        """Return the index of the task that goes on, of two or more."""
        if self.over:
            return 0
        self.options.append(len(ready))
        if self.random is not None and self.random.random() < self.rate:
            taken = self.random.randrange(len(ready))
        else:
            taken = min(self.departures.get(len(self.options), 0), len(ready) - 1)
        self.taken.append(taken)
        if taken and self.runs is not None:
            names = tuple(label(task, self.runs) for task in ready)
            self.told.append(Choice(len(self.options), names, taken))
        return taken

    @property
    def made(self) -> dict[int, int]:
        """The departures that were made."""
        return {number: taken for number, taken in enumerate(self.taken, 1) if taken}


def seed_of(departures: Mapping[int, int]) -> str:
    """Return the short text that `departures_of` reads.

    >>> seed_of({3: 1, 10: 2}), seed_of({})
    ('3:1,10:2', 'usual')
    """
    return ",".join(f"{number}:{taken}" for number, taken in sorted(departures.items())) or USUAL


def departures_of(seed: str) -> dict[int, int]:
    """Return the departures that a seed stands for.

    >>> departures_of("3:1,10:2")
    {3: 1, 10: 2}

    Raises: ValueError for what is no seed.
    """
    if seed == USUAL:
        return {}
    try:
        pairs = [pair.split(":") for pair in seed.split(",")]
        return {int(number): int(taken) for number, taken in pairs}
    except ValueError:
        raise ValueError(f"{seed!r} is no seed: expected {USUAL!r}, or choices such as '3:1,10:2'") from None


class OrderedLoop(VirtualLoop):
    """Runs the tasks that are ready as an order says; threads are heard only when nothing is."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._ready = _Ready(order)
        self._numbers: dict[Job, int] = {}
        self._said: list[tuple[int, asyncio.Handle]] = []
        self._speaking = threading.Condition()
        self._home = threading.get_ident()

    def expect(self, job: Job) -> None:
        self._numbers[job] = len(self._numbers)
        super().expect(job)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() == self._home:
            return self.call_soon(callback, *args, context=context)
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        with self._speaking:
            self._said.append((self._numbers.get(_speaker(callback), len(self._numbers)), handle))
            self._speaking.notify_all()
        return handle

    def hear_threads(self, select: Callable[[float], Any]) -> bool:
        """Take what threads said in the order in which their calls began, whichever was faster."""
        with self._speaking:
            if self.expected and not self._speaking.wait_for(lambda: self._said, THREAD_SECONDS):
                raise NothingWillHappenError(f"threads do not come back: {self.expected}")
            self._speaking.wait_for(self._all_spoke, SETTLING_SECONDS)
            said, self._said = sorted(self._said, key=lambda one: one[0]), []
        for _, handle in said:
            self._ready.append(handle)
        return bool(said)

    def _all_spoke(self) -> bool:
        return {self._numbers[job] for job in self.expected} <= {number for number, _ in self._said}


def _speaker(callback: Callable[..., Any]) -> Any:
    """Return the call in a thread that speaks: the one that delivers its result, or on whose behalf it asks."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, Job):
        return owner
    call = CURRENT.get()
    return call.job if call is not None else None


class _Ready:
    """What is ready to run, as the loop sees it: a queue whose head is the next by the order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._handles: list[tuple[asyncio.Handle, int]] = []
        self._origin = 0

    def __len__(self) -> int:
        return len(self._handles)

    def append(self, handle: asyncio.Handle) -> None:
        """Take in what the callback or step under way schedules."""
        self._handles.append((handle, self._origin))

    def clear(self) -> None:
        """Forget all."""
        self._handles.clear()

    def popleft(self) -> asyncio.Handle:
        """Return what runs next."""
        self._origin += 1
        place = 0
        if len(self._handles) > 1 and _stepping(self._handles[0][0]) is not None:
            free = list(self._free())
            if len(free) > 1:
                place = free[self._order.choose([task for _, task in free])][0]
        return self._handles.pop(place)[0]

    def _free(self) -> Iterator[tuple[int, asyncio.Task[Any]]]:
        """Yield the steps that may be next, each with its place in the queue."""
        held: set[int] = set()
        for place, (handle, origin) in enumerate(self._handles):
            task = _stepping(handle)
            if task is None:
                held.add(origin)
            elif origin not in held:
                yield place, task


def _stepping(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """Return the task whose next step a handle runs, None if it runs another callback."""
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task) or handle.cancelled():
        return None
    public = getattr(callback, "__name__", "")  # as of `task.cancel`, which is a callback like any other
    return None if hasattr(asyncio.Task, public) else task
