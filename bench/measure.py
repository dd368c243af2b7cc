"""How everything is measured: contenders take turns, A B A B, so that whatever disturbs the machine meets all;
the median counts.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

import attrs

Sample = Callable[[], Awaitable[float]]
"""Measures once."""

Samples = Mapping[str, Sample]


@attrs.frozen
class Series:
    """What one contender was measured at, round by round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return min(self.values), max(self.values)

    def over(self, floor: Series) -> float | None:
        """Return the median of the ratios of the rounds, None where the floor is nothing."""
        if not all(floor.values):
            return None
        return statistics.median(mine / bare for mine, bare in zip(self.values, floor.values, strict=True))

    def less(self, other: Series) -> Series:
        """Return the differences, round by round."""
        return Series(tuple(mine - theirs for mine, theirs in zip(self.values, other.values, strict=True)))


async def take_turns(samples: Samples, rounds: int) -> dict[str, Series]:
    """Measure every contender in turn, `rounds` times, after one round that only warms up."""
    values: dict[str, list[float]] = {name: [] for name in samples}
    for number in range(rounds + 1):
        for name, sample in samples.items():
            gc.collect()
            value = await sample()
            if number:
                values[name].append(value)
    return {name: Series(tuple(series)) for name, series in values.items()}


def cpu_of(work: Callable[[], Awaitable[object]], times: int) -> Sample:
    """Return a sample of the CPU microseconds, of all threads, that one of `times` awaited calls takes."""

    async def sample() -> float:
        start = time.process_time_ns()
        for _ in range(times):
            await work()
        return (time.process_time_ns() - start) / times / 1000

    return sample


def cpu_of_plain(work: Callable[[], object], times: int) -> Sample:
    """Return a sample of the CPU microseconds that one of `times` plain calls takes."""

    async def sample() -> float:
        start = time.process_time_ns()
        for _ in range(times):
            work()
        return (time.process_time_ns() - start) / times / 1000

    return sample


def rate_of(work: Callable[[], Awaitable[object]], times: int, at_once: int) -> Sample:
    """Return a sample of how many of `times` calls end in a second, with `at_once` of them under way."""

    async def sample() -> float:
        left = iter(range(times))

        async def one_after_another() -> None:
            for _ in left:
                await work()

        start = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return times / (time.perf_counter() - start)

    return sample
