"""A state machine for hypothesis that moves a run of your plugins, your engine or your lifecycle in any order.

Subclass `LifecycleMachine`, say what is under test, and hand its `TestCase` to pytest::

    class QuotaMachine(LifecycleMachine):
        payload = st.fixed_dictionaries({}, optional={"logQuota": st.integers(0, 100)})

        def plugins(self):
            return [QuotaPlugin()]


    TestQuota = QuotaMachine.TestCase
    TestQuota.settings = settings(stateful_step_count=12)

In every example a run of your plugins stands among others that misbehave, on an engine that fails now and then, and
is let go on, aborted, hurried and cancelled in any order, on a clock that is virtual. The ordering rules judge it
after each step and when it is over, together with everything that `stagecall.testing.chaos.assert_kept` tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ..engines.base import Engine
from ..lifecycle.errors import ExceptionReason
from ..lifecycle.limits import Limits
from ..plugins.base import Plugin
from ..specs.lifecycle import TASK_RUN, Lifecycle
from ..worker.runtime import Action
from ..worker.task_run import TaskRun
from . import strategies
from .chaos.schedule import FaultSchedule
from .chaos.trial import Trial, mock_engine
from .chaos.verdict import assert_kept
from .doubles.runs import LIMITS
from .doubles.surroundings import RecordingEnvironment
from .doubles.traces import assert_sound_so_far

REASONS = (ExceptionReason.CANCELED, ExceptionReason.WORKER_SHUTDOWN)


TURNS = (None, None, None, *range(0, 40, 3))
"""How often the loop turns before the first step, for a run that is waited for: each is another place to be in."""


def _of_machine(what: str) -> st.SearchStrategy[Any]:
    """Draw from the strategy that a method of the machine returns."""
    return st.runner().flatmap(lambda machine: getattr(machine, what)())


class LifecycleMachine(RuleBasedStateMachine):
    """Advances, aborts, hurries and cancels a run in any order; whatever happens, every promise is kept.

    Override what is under test: `plugins`, `engine`, `lifecycle` with its `actions`, and the `payload` that they need,
    one or a strategy of them. `schedules` and `limits` say what goes on around. `check` is for promises of your own.
    `environment` and `run` are there from `plugins` and the first step on.
    """

    lifecycle: ClassVar[Lifecycle] = TASK_RUN
    payload: ClassVar[Mapping[str, Any] | st.SearchStrategy[Any]] = {}

    def plugins(self) -> Iterable[Plugin]:
        """Return the plugins under test, new ones for each example; they are disposed when it is over."""
        return ()

    def engine(self) -> Engine | Awaitable[Engine]:
        """Return the engine under test, a new one for each example; by default a mock engine.

        It must do its work on the loop, or in threads that the library started: the clock jumps when nothing is ready,
        and does not wait for other programs.
        """
        return mock_engine(self.environment)

    def actions(self) -> Mapping[str, Action]:
        """Return the actions of the lifecycle's own; those that are missing do as the schedule says."""
        return {}

    def schedules(self) -> st.SearchStrategy[FaultSchedule]:
        """Return the strategy of what goes wrong around; aborts are steps of the machine's own.

        In one of two examples nothing does but what the steps do; `st.just(FaultSchedule())` makes it all. Hooks that
        are plain `def`s run in threads, which are as fast as the host lets them be: with yours among them, or with
        `fault_schedules(threaded=True)`, a failure may not show itself again.
        """
        wild = strategies.fault_schedules(self.lifecycle, max_aborts=0)
        return st.just(FaultSchedule()) | wild

    def limits(self) -> st.SearchStrategy[Limits]:
        """Return the strategy of the run's limits, in seconds of virtual time."""
        return st.just(LIMITS) | strategies.limits()

    def check(self) -> None:
        """Assert what else must hold when the run has ended and everybody has let go, before the plugins' dispose.

        Raises: AssertionError.
        """

    @property
    def trial(self) -> Trial:
        """What moves and judges the run."""
        return self._trial

    @property
    def environment(self) -> RecordingEnvironment:
        """What surrounds the run: a monitor and a store that remember, a folder."""
        return self._trial.environment

    @property
    def run(self) -> TaskRun:
        """The run."""
        return self._trial.run

    def payloads(self) -> st.SearchStrategy[Any]:
        """Return `payload` as a strategy."""
        return self.payload if isinstance(self.payload, st.SearchStrategy) else st.just(self.payload)

    @initialize(
        schedule=_of_machine("schedules"),
        payload=_of_machine("payloads"),
        limits=_of_machine("limits"),
        turns=st.sampled_from(TURNS),
    )
    def set_up(
        self, schedule: FaultSchedule, payload: Mapping[str, Any], limits: Limits, turns: int | None
    ) -> None:
        self._trial = Trial(
            schedule,
            lambda environment: self.plugins(),
            lambda environment: self.engine(),
            payload=payload,
            limits=limits,
            lifecycle=self.lifecycle,
            actions=self.actions(),
        )
        self._trial.__enter__()
        self._began = True
        if turns is not None:  # else it may be aborted before anybody waits for it
            self._trial.wait()
            self._trial.turn(turns)

    @rule()
    def wait(self) -> None:
        self.trial.wait()

    @rule(times=st.integers(1, 12))
    def turn(self, times: int) -> None:
        self.trial.turn(times)

    @rule(seconds=st.sampled_from([0.1, 2.0, 6.0, 101.0]))
    def advance(self, seconds: float) -> None:
        self.trial.advance(seconds)

    @rule(reason=st.sampled_from(REASONS), on_loop=st.booleans())
    def abort(self, reason: ExceptionReason, on_loop: bool) -> None:
        self.trial.abort_on_loop(reason) if on_loop else self.trial.abort(reason)

    @rule()
    def hurry(self) -> None:
        self.trial.hurry()

    @precondition(lambda self: self.trial.owner is not None)
    @rule()
    def cancel_owner(self) -> None:
        self.trial.cancel_owner()

    @precondition(lambda self: self.trial.joined)
    @rule()
    def cancel_joined(self) -> None:
        self.trial.cancel_joined()

    @precondition(lambda self: self.trial.owner is not None)
    @rule()
    def cancel_everything(self) -> None:
        self.trial.cancel_everything()

    @rule()
    def move_illegally(self) -> None:
        self.trial.move_illegally()

    @invariant()
    def no_rule_is_broken(self) -> None:
        assert_sound_so_far(self.run.trace, self.lifecycle)

    @invariant()
    def nobody_complains(self) -> None:
        if self.trial.scene.complaints:
            raise AssertionError("\n".join(self.trial.scene.complaints))

    def teardown(self) -> None:
        if not getattr(self, "_began", False):
            return
        try:
            self.trial.finish()
            assert_kept(self.trial)
            self.check()
            self.trial.dispose()
            if left := self.trial.drain():
                raise AssertionError(f"tasks are left when all is disposed: {', '.join(left)}")
        finally:
            self.trial.__exit__()
