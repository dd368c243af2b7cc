"""Whatever engine and plugins do, and whenever a run is aborted or cancelled: every rule holds, and dispose
comes once, last.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from stagecall.engines.base import Engine
from stagecall.lifecycle.limits import Limits
from stagecall.specs.lifecycle import Lifecycle
from stagecall.specs.trace import Kind
from stagecall.testing.chaos import ENGINE_CALLS, FaultSchedule, Foreign
from stagecall.testing.machine import LifecycleMachine
from stagecall.testing.strategies import fault_schedules, limits

from ..support.invented import INVENTED

payloads = st.fixed_dictionaries(
    {"function": st.sampled_from(["true", "true", "false", "write-log", "malformed-payload-after-start"])},
    optional={
        "delay": st.sampled_from([0, 20, 30_000, "soon"]),
        "red": st.sampled_from([1, "no number"]),
        "unknown": st.just(1),
    },
)


class AnyOrder(LifecycleMachine):
    """Advance, abort, cancel and hurry a run in any order: it only ever moves along the table, and dispose
    comes once, last.
    """

    payload: ClassVar[Any] = st.one_of(st.just({"function": "true"}), payloads)

    def engine(self) -> Engine:
        self.mock: Any = super().engine()
        assert isinstance(self.mock, Engine)
        return self.mock

    def limits(self) -> st.SearchStrategy[Limits]:
        return limits()

    def schedules(self) -> st.SearchStrategy[FaultSchedule]:
        return fault_schedules(self.lifecycle, calls=ENGINE_CALLS, max_aborts=0, threaded=True)

    def check(self) -> None:
        assert self.mock._running == 0
        told = [event.get("message") for event in self.run.trace.of(Kind.ERROR)]
        foreign = any(": Foreign" in message or ": BaseExceptionGroup" in message for message in told)
        assert self.trial.owner is not None
        for waiter in (self.trial.owner, *self.trial.joined):
            if not waiter.cancelled():
                assert isinstance(waiter.exception(), Foreign) is foreign


class AnyOrderOfInvented(AnyOrder):
    """The same for a lifecycle with two invented stages: an embedder's own table comes with the same guarantees."""

    lifecycle: ClassVar[Lifecycle] = INVENTED


AnyOrder.TestCase.settings = settings(stateful_step_count=12, report_multiple_bugs=False)
AnyOrderOfInvented.TestCase.settings = AnyOrder.TestCase.settings
TestAnyOrder = AnyOrder.TestCase
TestAnyOrderOfInvented = AnyOrderOfInvented.TestCase


@pytest.mark.soak
@pytest.mark.parametrize("machine", [AnyOrder, AnyOrderOfInvented])
def test_any_order_for_long(machine):
    """What a few hundred examples do not find, tens of thousands of longer ones may."""
    run_state_machine_as_test(machine, settings=settings(max_examples=20_000, stateful_step_count=30))
