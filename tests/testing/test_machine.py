"""The machine lets good plugins, engines and lifecycles pass, and finds what breaks only in an unlucky order."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from stagecall.engines.base import Engine
from stagecall.lifecycle.barrier import Barrier
from stagecall.lifecycle.driver import Run
from stagecall.lifecycle.limits import Limits
from stagecall.plugins.base import Plugin, PluginOptions, TaskPlugin, TaskPluginOptions
from stagecall.plugins.chainoftrust import ChainOfTrustPlugin
from stagecall.plugins.chainoftrust import plugin as chainoftrust
from stagecall.plugins.registry import PLUGINS
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle, Stage
from stagecall.testing.chaos import FaultSchedule, PluginFaults
from stagecall.testing.chaos.trial import mock_engine
from stagecall.testing.doubles import LIMITS, ScriptedEngine, task_plugin_class
from stagecall.testing.machine import LifecycleMachine
from stagecall.testing.strategies import behaviours
from stagecall.testing.virtual_time import LivelockError
from stagecall.worker.task_run import TaskRun

from ..support.sabotage import does_not_fence, stops_disposing_at_the_first_error

FEW = settings(max_examples=30, stateful_step_count=10, database=None, derandomize=True)
FIND = settings(
    max_examples=400,
    stateful_step_count=10,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""Enough to find each of the mistakes below; it need not be made simple."""


def found(machine: type[LifecycleMachine], sentence: str) -> None:
    """Assert that the machine fails with this."""
    with pytest.raises(Exception, match=sentence) as caught:
        run_state_machine_as_test(machine, settings=FIND)
    assert isinstance(caught.value, AssertionError)


class Own(Plugin):
    """A plugin under test, with one hook; `disposed` counts."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        self.hooks = hooks
        self.disposed = 0

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        hooks: dict[str, Any] = {
            name: partial(function, options.context) for name, function in self.hooks.items()
        }
        return task_plugin_class(**hooks)()

    def dispose(self) -> None:
        self.disposed += 1


class OurPlugins(LifecycleMachine):
    """Every plugin that ships, together."""

    payload: ClassVar[Any] = st.fixed_dictionaries(
        {"function": st.sampled_from(["true", "false", "write-log", "write-files"])},
        optional={
            "argument": st.just("a/b c"),
            "delay": st.sampled_from([0, 4000]),
            "env": st.just({"NAME": "value"}),
            "maxRunTime": st.sampled_from([2, "1 minute"]),
            "artifacts": st.just(
                [
                    {"type": "file", "path": "c", "name": "public/c"},
                    {"type": "directory", "path": "a", "name": "public/a"},
                ]
            ),
        },
    )

    def plugins(self) -> Iterable[Plugin]:
        environment = self.environment
        options = PluginOptions(environment, mock_engine(environment), environment.monitor)
        shipped = [one for one in PLUGINS.all().values() if type(one).__module__.startswith("stagecall.")]
        assert len(shipped) > 5
        signing = ChainOfTrustPlugin(
            Ed25519PrivateKey.from_private_bytes(bytes(32))
        )  # its provider reads a file
        others = [one for one in shipped if one is not chainoftrust.provider]
        return [signing, *(provider.new_plugin(options) for provider in others)]  # type: ignore[list-item]


def test_good_plugins_pass():
    """Plugins that keep their promises pass, whatever goes on around them."""
    run_state_machine_as_test(OurPlugins, settings=settings(stateful_step_count=10))


def test_everything_that_is_overridden_is_used():
    """Plugins, engine, payload, lifecycle, actions, limits and the promises of one's own."""
    seen: set[str] = set()
    engines: list[ScriptedEngine] = []
    plugins: list[Own] = []

    async def note(context, sandbox):
        seen.add("hook")

    class Mine(LifecycleMachine):
        lifecycle: ClassVar[Lifecycle] = TASK_RUN.insert(Stage("scan", action="scan"), after="build")
        payload: ClassVar[Any] = {"engine": "mine"}

        def plugins(self) -> Iterable[Plugin]:
            plugins.append(Own(started=note))
            return plugins[-1:]

        async def engine(self) -> Engine:  # made on the loop
            assert self.environment.folder.exists()
            engines.append(ScriptedEngine())
            return engines[-1]

        def actions(self) -> Any:
            async def scan(run: TaskRun) -> None:
                seen.add("action")

            return {"scan": scan}

        def schedules(self) -> Any:
            return st.just(FaultSchedule())

        def limits(self) -> Any:
            return st.just(LIMITS)

        def check(self) -> None:
            seen.add("check")
            assert plugins[-1].disposed == 0
            assert self.run.info.task.payload == {"engine": "mine"}
            assert self.trial.limits is LIMITS
            moved = {event.stage for event in self.run.trace}
            assert ("start_sandbox" in engines[-1].asked) is ("start" in moved)

    run_state_machine_as_test(Mine, settings=FEW)

    assert seen == {"hook", "action", "check"}
    assert {plugin.disposed for plugin in plugins} == {1}


class Swallows(LifecycleMachine):
    def plugins(self) -> Iterable[Plugin]:
        async def started(context, sandbox):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                await asyncio.sleep(30)

        return [Own(started=started)]


class FailsWhenAborted(LifecycleMachine):
    def schedules(self) -> st.SearchStrategy[FaultSchedule]:
        return st.just(FaultSchedule())

    def plugins(self) -> Iterable[Plugin]:
        async def started(context, sandbox):
            await asyncio.sleep(3)
            assert not context.cancelled

        return [Own(started=started)]


class LeavesATask(LifecycleMachine):
    def plugins(self) -> Iterable[Plugin]:
        async def exception(context, reason):
            LEFT.append(asyncio.ensure_future(asyncio.sleep(1e9)))

        return [Own(exception=exception)]


class LeavesAFolder(LifecycleMachine):
    def plugins(self) -> Iterable[Plugin]:
        async def started(context, sandbox):
            self.environment.temporary_folder("left-")

        return [Own(started=started)]


class BreaksAPromiseOfItsOwn(LifecycleMachine):
    def check(self) -> None:
        assert self.run.resolution is not None
        assert self.run.resolution.state != "exception", "no run may end so"


LEFT: list[asyncio.Task[None]] = []


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (Swallows, "started of plugin own did not end when it was cancelled"),
        (FailsWhenAborted, "started of plugin own failed with a defect: AssertionError"),
        (LeavesATask, "tasks are left when all is disposed: .*sleep"),
        (LeavesAFolder, "folders are left: left-"),
        (BreaksAPromiseOfItsOwn, "no run may end so"),
    ],
)
def test_bad_plugin_is_found(machine, sentence):
    """A plugin that breaks a promise only when it is aborted at the wrong moment is found, and named."""
    found(machine, sentence)

    LEFT.clear()


def never_abandons(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Barrier, "_abandon", lambda self, call: None)


def changes_its_mind(patch: pytest.MonkeyPatch) -> None:
    report = TaskRun.report

    async def indecisive(self: TaskRun) -> None:
        await report(self)
        self.resolution = None

    patch.setattr(TaskRun, "report", indecisive)


def forgets_the_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskRun, "sandbox_abort", lambda self: None)


def swallows_the_cancellation(patch: pytest.MonkeyPatch) -> None:
    interrupted = Run.interrupted

    def forgetful(self: Run, error: asyncio.CancelledError) -> None:
        interrupted(self, error)
        self._cancelled = None

    patch.setattr(Run, "interrupted", forgetful)


class AnyRun(LifecycleMachine):
    payload: ClassVar[Any] = {"function": "true", "delay": 3000}

    def limits(self) -> st.SearchStrategy[Limits]:
        return st.just(LIMITS)


class StubbornRun(AnyRun):
    """Beside a plugin with every hook, some of which cannot be cancelled."""

    def schedules(self) -> st.SearchStrategy[FaultSchedule]:
        hooks = {hook: behaviours(["ok", "stubborn"]) for hook in TASK_RUN.hooks if hook != "new_task_plugin"}
        faults = st.builds(PluginFaults, st.just("red"), st.fixed_dictionaries(hooks))
        return st.builds(FaultSchedule, st.tuples(faults))


@pytest.mark.parametrize(
    ("sabotage", "machine"),
    [
        (stops_disposing_at_the_first_error, AnyRun),
        (does_not_fence, StubbornRun),
        (never_abandons, StubbornRun),
        (changes_its_mind, AnyRun),
        (forgets_the_abort, AnyRun),
        (swallows_the_cancellation, AnyRun),
    ],
)
def test_broken_driver_is_found(monkeypatch, sabotage, machine):
    """A driver that is broken where only an unlucky order comes by is found by the rules or by who took part."""
    with monkeypatch.context() as patch:
        sabotage(patch)

        with pytest.raises((AssertionError, LivelockError)):
            run_state_machine_as_test(machine, settings=FIND)


def test_machine_is_its_own_when_nothing_is_overridden():
    """Without anything under test it drives the mock engine."""
    run_state_machine_as_test(LifecycleMachine, settings=FEW)
