"""Whatever went on in a run, and wherever its trace breaks off: recovery ends it so that every rule holds."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st

from stagecall.lifecycle.journal.store import Statement
from stagecall.lifecycle.recovery import RecoveredRun
from stagecall.lifecycle.recovery.ending import Ending
from stagecall.lifecycle.recovery.stored import StoredRun
from stagecall.specs.rules import judge
from stagecall.specs.trace import Kind, Trace
from stagecall.testing.chaos import ENGINE_CALLS, FaultSchedule
from stagecall.testing.machine import LifecycleMachine
from stagecall.testing.strategies import fault_schedules
from stagecall.worker.task_run import TaskRun

from ..support.invented import INVENTED

PLACES = 7
"""How many places of each trace are tried."""


class Interrupted(LifecycleMachine):
    """Runs in which anything happens; when one is over, it is as if its process had died before, at several places."""

    payload: ClassVar[Any] = st.just({"function": "true"})

    def schedules(self) -> st.SearchStrategy[FaultSchedule]:
        return fault_schedules(self.lifecycle, calls=ENGINE_CALLS)

    def check(self) -> None:
        events = len(self.run.trace)
        for place in {1 + events * number // PLACES for number in range(PLACES)}:
            check_ended(self.run, min(place, events))


def check_ended(run: TaskRun, events: int) -> None:
    """Assert that recovery ends a run of which so many events were stored."""
    told: list[str] = []

    async def report(recovered: RecoveredRun) -> None:
        told.append(recovered.resolution.state)

    async def commit(statements: list[Statement]) -> None:
        pass

    before = Trace(run.trace.started, run.trace[:events])
    facts = {"task_id": run.info.task_id, "run_id": 0, "reports": True}
    stored = StoredRun("0123456789abcdef", 1, facts, run.lifecycle, before, [], False, events)
    final = [(event.get("state"), event.get("reason")) for event in before.of(Kind.OUTCOME)]
    delivered = any(event.get("outcome") == "ok" for event in before.of(Kind.REPORT))
    with tempfile.TemporaryDirectory() as keep:
        ended = asyncio.run(Ending(stored, commit, {}, report, Path(keep)).end())
    assert judge(ended.trace, run.lifecycle) == []
    resolution = (ended.resolution.state, ended.resolution.reason)
    assert [resolution] == (final or [("exception", "worker-shutdown")])
    assert told == ([] if delivered else [resolution[0]])
    assert ended.ended


class InterruptedOfInvented(Interrupted):
    """The same with stages that were invented."""

    lifecycle = INVENTED


TestInterrupted = Interrupted.TestCase
TestInterrupted.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=10)
TestInterruptedOfInvented = InterruptedOfInvented.TestCase
TestInterruptedOfInvented.settings = settings(
    TestInterrupted.settings, max_examples=settings().max_examples // 10
)
