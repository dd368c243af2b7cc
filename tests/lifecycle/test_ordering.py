"""Whatever engine and plugins do, and whenever a run is aborted or cancelled: every rule holds, and dispose
comes once, last.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from stagecall.engines.base import EngineOptions
from stagecall.engines.mock import provider
from stagecall.lifecycle.barrier import _LEFT_BEHIND
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.lifecycle.limits import Limits
from stagecall.lifecycle.machine import IllegalMoveError, move
from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.manager import PluginManager
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import RecordingEnvironment, assert_sound, outcomes
from stagecall.testing.virtual_time import VirtualLoop, expecting_threads
from stagecall.worker.runtime import Runtime

from ..support.chaos import CALM, WILD, ChaosEngine, ChaosPlugin, Deed, Foreign, Scene
from ..support.invented import INVENTED

EVER = 100_000.0
"""Seconds after which a run has ended, or waits for its sandbox."""

NAMES = ("red", "green", "blue")
ENGINE_CALLS = (
    "new_sandbox_builder",
    "start_sandbox",
    "wait_for_result",
    "abort_sandbox",
    "dispose:builder",
    "dispose:sandbox",
    "dispose:result_set",
)

seconds = st.sampled_from([0.0, 0.5, 3.0, 40.0, 150.0])
calm = st.builds(Deed, st.sampled_from(CALM), seconds, threaded=st.booleans())
wild = st.builds(
    Deed, st.sampled_from(WILD), seconds, threaded=st.booleans(), inner=st.sampled_from((*CALM, *WILD))
)
deeds = st.one_of(calm, calm, wild)
limits = st.builds(
    Limits,
    cancel_grace=st.sampled_from([0.0, 5.0]),
    abandon_grace=st.sampled_from([0.0, 1.0]),
    hook_timeout=st.sampled_from([0.0, 100.0, 100.0, 100.0]),
    dispose_budget=st.sampled_from([0.0, 20.0, 20.0]),
    dispose_total=st.sampled_from([0.0, 50.0, 50.0]),
    report_budget=st.just(10.0),
)
reasons = st.sampled_from([ExceptionReason.CANCELED, ExceptionReason.WORKER_SHUTDOWN])


@st.composite
def casts(draw: st.DrawFn, lifecycle: Lifecycle) -> list[dict[str, Any]]:
    """What up to three plugins are made with, in any order, each with any of the hooks and any others before it."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, 3))]
    hooks = [hook for hook in lifecycle.hooks if hook != "new_task_plugin"]
    told: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        told.append(
            {
                "plugin_name": name,
                "deeds": {hook: draw(deeds) for hook in draw(st.sets(st.sampled_from(hooks)))},
                "creation": draw(deeds),
                "after": draw(st.frozensets(st.sampled_from((*names[:place], "absent")))),
                "accepts_invalid_payload": draw(st.booleans()),
            }
        )
    return draw(st.permutations(told))


payloads = st.fixed_dictionaries(
    {"function": st.sampled_from(["true", "true", "false", "write-log", "malformed-payload-after-start"])},
    optional={
        "delay": st.sampled_from([0, 20, 30_000, "soon"]),
        "red": st.sampled_from([1, "no number"]),
        "unknown": st.just(1),
    },
)


class AnyOrder(RuleBasedStateMachine):
    """Advance, abort, cancel and hurry a run in any order: it only ever moves along the table, and dispose
    comes once, last.
    """

    lifecycle = TASK_RUN

    @initialize(
        data=st.data(),
        payload=st.one_of(st.just({"function": "true"}), payloads),
        engine=st.one_of(st.just({}), st.dictionaries(st.sampled_from(ENGINE_CALLS), deeds, max_size=2)),
        limits=limits,
        report=st.none() | deeds,
        scan=deeds,
        broken_observer=st.booleans(),
    )
    def set_up(
        self,
        data: st.DataObject,
        payload: dict[str, Any],
        engine: dict[str, Deed],
        limits: Limits,
        report: Deed | None,
        scan: Deed,
        broken_observer: bool,
    ) -> None:
        cast = data.draw(casts(self.lifecycle))  # all is drawn before anything is acquired
        self.threads = expecting_threads()
        self.threads.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = VirtualLoop()
        self.scene = Scene()
        surroundings = RecordingEnvironment(Path(self.folder.name))
        mock = provider.new_engine(EngineOptions(surroundings, surroundings.monitor, {}))
        self.plugins = [ChaosPlugin(self.scene, **one, lifecycle=self.lifecycle) for one in cast]
        runtime = Runtime(
            ChaosEngine(self.scene, mock, engine),
            PluginManager.of(self.plugins),
            surroundings,
            limits=limits,
            lifecycle=self.lifecycle,
            actions={"scan": lambda run: self.scene.act(scan, run.context)},
        )
        self.mock = mock
        self.seen: list[Any] = []
        self.reports: list[Resolution] = []

        async def reporter(resolution: Resolution) -> None:
            self.reports.append(resolution)
            await self.scene.act(report or Deed(), None)

        self.run = runtime.new_run(
            {"payload": payload},
            observers=[_Broken(), self.seen.append] if broken_observer else [self.seen.append],
            report=reporter if report is not None else None,
        )
        self.scene.run = self.run
        self.owner: asyncio.Task[Resolution] | None = None
        self.joined: list[asyncio.Task[Resolution]] = []
        self.dropped: list[asyncio.Task[Resolution]] = []
        self.cancelled = False
        self.swept = False

    @rule()
    def wait(self) -> None:
        waiter = self.loop.create_task(self.run.wait())
        self.loop.turn()  # the first to begin owns the run
        if self.owner is None:
            self.owner = waiter
        else:
            self.joined.append(waiter)

    @rule(times=st.integers(1, 12))
    def turn(self, times: int) -> None:
        self.loop.turn(times)

    @rule(seconds=st.sampled_from([0.1, 2.0, 6.0, 101.0]))
    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule(reason=reasons, on_loop=st.booleans())
    def abort(self, reason: ExceptionReason, on_loop: bool) -> None:
        if on_loop:
            self.loop.call_soon(self.run.abort, reason)
            self.loop.turn()
        else:  # no loop runs in this thread now, so it is any thread
            decided = self.run.resolution is not None or self.run.aborted is not None
            assert self.run.abort(reason) is not decided

    @rule()
    def hurry(self) -> None:
        self.loop.call_soon(self.run.hurry)
        self.loop.turn()

    @precondition(lambda self: self.owner is not None)
    @rule()
    def cancel_owner(self) -> None:
        self.cancelled |= self.owner is not None and self.owner.cancel()

    @precondition(lambda self: self.joined)
    @rule()
    def cancel_joined(self) -> None:
        self.joined[-1].cancel()
        self.dropped.append(self.joined.pop())

    @precondition(lambda self: self.owner is not None)
    @rule()
    def cancel_everything(self) -> None:
        self.cancelled |= self.owner is not None and not self.owner.done()
        self.swept = True
        self.dropped += self.joined
        self.joined.clear()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    @rule()
    def move_illegally(self) -> None:
        here, events = self.run.stage, len(self.run.trace)
        for stage in self.lifecycle.stages:
            if (here, stage.name) not in set(self.lifecycle.edges()):
                try:
                    move(self.run, self.lifecycle, stage.name)
                except IllegalMoveError:
                    pass
                else:
                    raise AssertionError(f"{here} -> {stage.name} was let through")
        assert (self.run.stage, len(self.run.trace)) == (here, events)

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        try:
            if self.owner is None:
                self.wait()
            self.end()
            self.check()
        finally:
            self.scene.release()
            self.loop.close()
            self.folder.cleanup()
            self.threads.__exit__(None, None, None)

    def end(self) -> None:
        assert self.owner is not None
        self.loop.advance(EVER)
        if not self.owner.done():
            assert self.loop.problems == []
            assert self.run.stage == "waiting", (self.run._barrier.open, self.run._barrier._timer)
            self.run.abort(ExceptionReason.WORKER_SHUTDOWN)
            self.loop.advance(EVER)
        assert self.owner.done(), self.run.stage
        assert [task for task in self.joined if not task.done()] == []
        assert_sound(self.run.trace, self.lifecycle)  # before anything comes late
        self.scene.release()
        self.loop.expect_again()
        while tasks := asyncio.all_tasks(self.loop) | {t for t in _LEFT_BEHIND if t.get_loop() is self.loop}:
            self.loop.run_until_complete(asyncio.wait(tasks))

    def check(self) -> None:
        trace = self.run.trace
        assert_sound(trace, self.lifecycle)
        assert self.scene.complaints == []
        assert [w.name for w in self.scene.made if w.disposed != 1] == []
        assert {what: count for what, count in self.scene.held.items() if count} == {}
        assert self.mock._running == 0
        if outcomes(trace, "dispose:temporary_folder") in ({}, {"-": "ok"}):  # it had the time for it
            assert list(Path(self.folder.name).iterdir()) == []
        assert self.seen == trace.events
        assert self.reports in ([], [self.run.resolution])
        assert self.loop.problems == []
        if not self.swept:
            told = sum(event.get("severity") == "non_fatal" for event in trace.of(Kind.ERROR)) > 0
            assert [plugin.told for plugin in self.plugins] == [int(told)] * len(self.plugins)
        self.check_waiters()

    def check_waiters(self) -> None:
        assert self.owner is not None
        told = [event.get("message") for event in self.run.trace.of(Kind.ERROR)]
        foreign = any(": Foreign" in message or ": BaseExceptionGroup" in message for message in told)
        for waiter in self.dropped:
            assert waiter.cancelled() or isinstance(waiter.exception(), (Foreign, type(None)))
        for waiter in (self.owner, *self.joined):
            if waiter is self.owner and self.cancelled:
                assert waiter.cancelled()
            elif foreign:
                assert isinstance(waiter.exception(), Foreign)
            else:
                assert waiter.result() == self.run.resolution


class _Broken:
    """An observer that fails at the third event."""

    def __init__(self) -> None:
        self.left = 2

    def __call__(self, event: Any) -> None:
        if not self.left:
            raise asyncio.CancelledError
        self.left -= 1


class AnyOrderOfInvented(AnyOrder):
    """The same for a lifecycle with two invented stages: an embedder's own table comes with the same guarantees."""

    lifecycle = INVENTED


AnyOrder.TestCase.settings = settings(stateful_step_count=12, report_multiple_bugs=False)
AnyOrderOfInvented.TestCase.settings = AnyOrder.TestCase.settings
TestAnyOrder = AnyOrder.TestCase
TestAnyOrderOfInvented = AnyOrderOfInvented.TestCase
