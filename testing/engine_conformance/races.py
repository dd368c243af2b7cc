"""A property: whatever the order of wait, kill and abort, one wins, and all say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from ...engines.base import ResultSet, Sandbox
from ...engines.errors import SandboxAbortedError, SandboxTerminatedError
from .expect import outcome_of, turn_loop
from .recipes import EngineRecipes, Payload

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Operations = Iterable[tuple[str, int]]
"""What is done to a sandbox, each after so many turns of the loop."""


class RaceChecks(EngineRecipes):
    """One of `wait_for_result`, `kill` and `abort` wins, and all three say so."""

    def test_races_of_wait_kill_and_abort(self) -> None:
        """Whoever comes first decides, and all hear the same: one result, or that it was aborted."""
        from hypothesis import HealthCheck, given, settings
        from hypothesis import strategies as st

        examples = settings().max_examples if self.race_examples is None else self.race_examples

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(lasting=st.booleans(), operations=self._orders())
        def every_order(lasting: bool, operations: list[tuple[str, int]]) -> None:
            last = ("kill" if "kill" in self.capabilities else "abort", 20)  # so that every example ends
            payload = self.lasts() if lasting else self.silent()
            asyncio.run(self._race(payload, [*operations, last], lasting))

        every_order()

    def _orders(self) -> SearchStrategy[list[tuple[str, int]]]:
        from hypothesis import strategies as st

        names = ["wait", "abort", "cancelled wait", *(["kill"] if "kill" in self.capabilities else [])]
        return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 4)), min_size=1, max_size=8)

    async def _race(self, payload: Payload, operations: list[tuple[str, int]], lasting: bool) -> None:
        async with self.rig() as rig:
            sandbox = (await rig.start(payload)).sandbox

            heard = await asyncio.gather(*(_heard(sandbox, name, turns) for name, turns in operations))
            last = await outcome_of(sandbox.wait_for_result())

            for (name, _), said in zip(operations, heard, strict=True):
                _agree(name, said, last)
            assert isinstance(last, ResultSet | SandboxAbortedError), (
                f"there is a result or none, not {last!r}"
            )
            if lasting and isinstance(last, ResultSet):
                assert last.success is False, "a task that would have gone on was killed, and failed"


def _agree(name: str, said: object, last: object) -> None:
    """Check that an operation said what fits with how it ended."""
    aborted = isinstance(last, SandboxAbortedError)
    story = f"{name} said {said!r}, in the end there was {last!r}"
    if name == "wait":
        same = isinstance(said, SandboxAbortedError) if aborted else said is last
        assert same, f"all who wait get the same: {story}"
    elif name == "cancelled wait":
        assert isinstance(said, asyncio.CancelledError | SandboxAbortedError) or said is last, story
    elif name == "kill":
        agrees = isinstance(said, SandboxAbortedError) if aborted else said is None
        assert agrees, f"who kills is told if it was aborted: {story}"
    else:
        agrees = said is None if aborted else isinstance(said, SandboxTerminatedError)
        assert agrees, f"who aborts is told if it had ended: {story}"


async def _heard(sandbox: Sandbox, name: str, turns: int) -> object:
    """Return what an operation returns or raises, begun after some turns of the loop."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "wait": sandbox.wait_for_result,
        "kill": sandbox.kill,
        "abort": sandbox.abort,
    }
    await turn_loop(turns)
    call = asyncio.ensure_future(calls[name.rpartition(" ")[2]]())
    await asyncio.sleep(0)
    if name.startswith("cancelled"):
        call.cancel()
    return await outcome_of(call)
