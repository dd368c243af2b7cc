"""The explorer takes every order that asyncio's promises leave open, finds the one that fails, and replays it."""

import asyncio
import functools
import math
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from stagecall import run_task
from stagecall.lifecycle.errors import ExceptionReason, LifecycleError
from stagecall.specs.trace import Kind
from stagecall.testing._shrinking import shrink
from stagecall.testing.doubles import Bench, HookRecorder, ScriptedEngine, ScriptedPlugin, path
from stagecall.testing.explorer import (
    DivergedError,
    OrderFailedError,
    UnsoundError,
    explore,
    replay,
)
from stagecall.testing.virtual_time import NothingWillHappenError
from stagecall.worker.task_run import TaskRun

MORE = bool(os.environ.get("STAGECALL_CI"))


def interleaved(tasks, steps):
    """A scenario: so many tasks that go on side by side, with so many steps each; it returns who went when."""

    async def scenario():
        said = []

        async def one(name):
            for _ in range(steps - 1):
                said.append(name)
                await asyncio.sleep(0)
            said.append(name)

        await asyncio.gather(*(one("abcdef"[number]) for number in range(tasks)))
        return "".join(said)

    return scenario


def with_plugins(folder, *plugins, **options):
    """A scenario: a run of plugins that are made anew each time, which must complete."""

    async def scenario():
        with Bench(folder) as bench:
            run = bench(*(make() for make in plugins), **options)
            resolution = await run.wait()
            if not resolution.success:
                raise AssertionError(resolution.cause)
            return resolution.state

    return scenario


@pytest.mark.parametrize(("tasks", "steps"), [(1, 5), (2, 1), (2, 4), (3, 1), (3, 2), (4, 1)])
def test_all_orders_are_enumerated(tasks, steps):
    """Without a bound the orders tried are just those that there are: each interleaving of the tasks once."""
    report = explore(interleaved(tasks, steps), bound=None)

    interleavings = math.factorial(tasks * steps) // math.factorial(steps) ** tasks
    assert (report.orders, len(report.results)) == (interleavings, min(interleavings, 100))
    assert (report.complete, report.sampled, report.failure) == (True, 0, None)


@pytest.mark.parametrize(("bound", "orders"), [(0, 1), (1, 4), (2, 6), (3, 6)])
def test_bound_is_on_departures_from_the_usual_order(bound, orders):
    """Of the six orders of three tasks one is usual, three depart from it once, and two twice."""
    report = explore(interleaved(3, 1), bound=bound, samples=5)

    assert (report.orders, report.complete) == (orders, orders == 6)
    assert report.sampled == (0 if report.complete else 5)


def test_enumeration_is_bounded_and_sampled_beyond():
    """Of more orders than are wanted so many are enumerated, and so many drawn, the same ones for the same seed."""
    first, again, other = [explore(interleaved(4, 3), most=20, samples=30, seed=seed) for seed in (1, 1, 2)]

    assert (first.orders, first.sampled, first.complete) == (20, 30, False)
    assert first.results == again.results != other.results
    assert "20 orders enumerated, 30 sampled, there are more" in str(first)


class Cache:
    """What two plugins share: one fills it, the other one reads it and declares no order."""

    def __init__(self):
        self.entry = None

    def plugins(self):
        async def fill(sandbox):
            await asyncio.sleep(0)
            self.entry = "filled"

        async def read(sandbox):
            for _ in range(2):
                await asyncio.sleep(0)
            if self.entry is None:
                raise LookupError("the cache is empty")

        return [
            lambda: ScriptedPlugin("fills", started=fill),
            lambda: ScriptedPlugin("reads", started=read),
            HookRecorder,
        ]


def planted(folder):
    """A scenario with a bug that the usual order hides: a plugin reads what another one has not yet written."""

    async def scenario():
        return await with_plugins(folder, *Cache().plugins())()

    return scenario


def test_planted_bug_is_found_shrunk_and_replayed(tmp_path):
    """An order in which one hook overtakes another is found, told by its few choices, and fails again by its seed."""
    scenario = planted(tmp_path)

    with pytest.raises(OrderFailedError) as caught:
        explore(scenario)

    failure = caught.value.report.failure
    assert failure is not None
    assert replay(scenario, "usual") == "completed"
    assert len(failure.choices) == 2
    assert {choice.ready[0] for choice in failure.choices} == {"started of plugin fills"}
    assert {choice.ready[choice.taken] for choice in failure.choices} == {"started of plugin reads"}
    with pytest.raises(AssertionError, match="the cache is empty"):
        replay(scenario, failure.seed)
    assert str(caught.value).splitlines()[:4] == [
        f"order {failure.seed} fails: AssertionError: started of plugin reads: "
        "LookupError: the cache is empty (incident incident-1)",
        *(f"  {choice}" for choice in failure.choices),
        f"  to run it again: explorer.replay(scenario, {failure.seed!r})",
    ]
    assert "goes on before started of plugin fills" in str(failure)


def test_planted_bug_is_found_by_sampling_and_shrunk(tmp_path):
    """Beyond the bound a random order finds the bug, and is shrunk to as few choices."""
    enumerated = explore(planted(tmp_path), check=False)

    sampled = explore(planted(tmp_path), bound=0, samples=500, check=False)

    assert sampled.orders == 1
    assert sampled.sampled > 0
    assert enumerated.failure is not None
    assert sampled.failure is not None
    assert len(sampled.failure.choices) == len(enumerated.failure.choices) == 2


def test_order_that_is_declared_is_kept(tmp_path):
    """With `after` the same pair is sound, in every order that there is."""

    async def scenario():
        fills, reads, recorder = Cache().plugins()
        reads = reads()
        reads.after = frozenset({"fills"})
        return await with_plugins(tmp_path, fills, lambda: reads, recorder)()

    report = explore(scenario, bound=None, most=20_000)

    assert (report.failure, list(report.results)) == (None, ["'completed'"])
    assert report.complete


def test_seed_replays_in_another_process(tmp_path):
    """A seed means the same order in a fresh Python with other hashes."""
    code = (
        "import sys, asyncio; from pathlib import Path; from stagecall.testing.explorer import *\n"
        "async def scenario():\n"
        "    said = []\n"
        "    async def one(name):\n"
        "        said.append(name); await asyncio.sleep(0); said.append(name)\n"
        "    await asyncio.gather(*map(one, 'abc'))\n"
        "    return ''.join(said)\n"
        "print(replay(scenario, sys.argv[1]))"
    )
    report = explore(interleaved(3, 2), bound=None)
    result, seed = list(report.results.items())[-1]

    said = {
        subprocess.run(
            [sys.executable, "-c", code, seed],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": hashes},
        ).stdout.strip()
        for hashes in ("1", "2")
    }

    assert said == {result.strip("'")}


def note(said, name, future):
    """What a callback of a future does that says it was called."""
    said.append(name)


def test_plain_callbacks_keep_their_order():
    """Callbacks of a future and of the loop come in the order in which they were scheduled, whatever tasks do."""

    async def scenario():
        said: list[str] = []
        loop = asyncio.get_running_loop()

        async def one(name):
            await asyncio.sleep(0)
            loop.call_soon(said.append, f"{name}1")
            loop.call_soon(said.append, f"{name}2")
            await asyncio.sleep(0)

        future = loop.create_future()
        for name in ("f0", "f1", "f2"):
            future.add_done_callback(functools.partial(note, said, name))
        tasks = [asyncio.create_task(one(name)) for name in "ab"]
        future.set_result(None)
        await asyncio.gather(*tasks)
        return " ".join(said)

    report = explore(scenario, bound=None)

    assert report.complete
    assert report.orders > 1
    assert set(report.results) == {"'f0 f1 f2 a1 a2 b1 b2'", "'f0 f1 f2 b1 b2 a1 a2'"}


def test_no_step_overtakes_a_callback_scheduled_with_it():
    """Who registered with a future before a task waited for it is called before that task goes on."""

    async def scenario():
        future, said = asyncio.get_running_loop().create_future(), []
        future.add_done_callback(lambda _: said.append("callback"))

        async def wait(name):
            await future
            said.append(name)

        async def other():
            await asyncio.sleep(1)
            await asyncio.sleep(0)  # ready when the future is given its result, so that there is a choice

        tasks = [asyncio.create_task(wait(name)) for name in "ab"]
        waiter = asyncio.create_task(other())
        await asyncio.sleep(1)
        future.set_result(None)
        await asyncio.gather(*tasks, waiter)
        return " ".join(said)

    report = explore(scenario, bound=None)

    assert report.complete
    assert set(report.results) == {"'callback a b'", "'callback b a'"}


def test_usual_order_is_that_of_asyncio():
    """Without departures steps and callbacks come just as on a loop of asyncio's own."""

    async def scenario():
        said: list[str] = []
        loop = asyncio.get_running_loop()

        async def one(name, steps):
            for step in range(steps):
                if name == "a":
                    loop.call_soon(said.append, f"a{step} soon")
                await asyncio.sleep(0)
                said.append(f"{name}{step}")

        counts = [("a", 3), ("b", 1), ("c", 2), ("d", 4)]
        tasks = [asyncio.create_task(one(name, steps)) for name, steps in counts]
        loop.call_soon(tasks[0].cancel)
        tasks[1].add_done_callback(lambda _: said.append("b is done"))
        await asyncio.wait(tasks)
        return said

    usual = replay(scenario, "usual")

    assert usual == asyncio.run(scenario())
    assert len(usual) > 6


def test_a_scheduled_cancellation_is_no_step():
    """`call_soon(task.cancel)` is a plain callback: what was scheduled before it is not overtaken by it."""

    async def scenario():
        said = []

        async def one():
            said.append("begun")
            await asyncio.sleep(1)

        task = asyncio.create_task(one())
        asyncio.get_running_loop().call_soon(task.cancel)
        other = asyncio.create_task(asyncio.sleep(0))
        await asyncio.wait([task, other])
        return said, task.cancelled()

    report = explore(scenario, bound=None)

    assert report.complete
    assert list(report.results) == ["(['begun'], True)"]


def test_timers_come_in_the_order_of_time():
    """Only what is ready at the same time changes places: time passes as it does."""

    async def scenario():
        said = []

        async def one(name, seconds):
            await asyncio.sleep(seconds)
            said.append(name)

        await asyncio.gather(one("late", 2), one("soon", 1), one("soon too", 1))
        return said

    report = explore(scenario, bound=None)

    assert set(report.results) == {"['soon', 'soon too', 'late']", "['soon too', 'soon', 'late']"}


def test_threads_are_heard_in_the_same_order_each_time(tmp_path):
    """However fast its thread is, what a `def` hook says comes in the order in which the hooks were called."""

    def scenario():
        said: list[str | None] = []
        ready = threading.Event()

        def slow(sandbox):
            ready.wait(10)

        def quick(sandbox):
            ready.set()

        async def last(sandbox):
            await asyncio.sleep(0)

        def plugin(name, hook):
            return lambda: ScriptedPlugin(name, started=hook)

        async def driven():
            with Bench(tmp_path) as bench:
                run = bench(plugin("slow", slow)(), plugin("quick", quick)(), plugin("last", last)())
                await run.wait()
                said.extend(
                    event.plugin for event in run.trace if (event.call, event.kind) == ("started", "return")
                )
                return said

        return driven()

    report = explore(scenario, bound=1)

    assert report.orders > 3
    assert set(report.results) == {"['last', 'slow', 'quick']", "['last', 'quick', 'slow']"}
    assert report.results["['last', 'slow', 'quick']"] == "usual"


def test_a_deadlock_is_a_failure():
    """Where nothing will ever happen in some order, that order fails, and what had to be is told."""

    async def scenario():
        asked, given = asyncio.Event(), asyncio.Condition()

        async def give():
            await asyncio.sleep(0)
            async with given:
                given.notify()

        async def take():
            async with given:
                asked.set()
                await given.wait()

        await asyncio.gather(take(), give())

    with pytest.raises(OrderFailedError) as caught:
        explore(scenario)

    assert isinstance(caught.value.__cause__, NothingWillHappenError)


def test_tasks_that_are_left_and_errors_nobody_asked_for_are_failures():
    """A scenario that returns is not sound yet: what stays behind and what the loop complains of count."""
    kept = []

    async def leaves():
        kept.append(asyncio.create_task(asyncio.sleep(1000), name="forgotten"))

    async def complains():
        asyncio.get_running_loop().call_soon([].pop)
        await asyncio.sleep(1)

    errors = []
    for scenario in (leaves, complains):
        with pytest.raises(OrderFailedError) as caught:
            explore(scenario)
        errors.append(caught.value.__cause__)

    assert [type(error) for error in errors] == [UnsoundError, UnsoundError]
    assert list(map(str, errors)) == ["task left behind: forgotten", "pop from empty list"]


def test_failure_in_the_usual_order_needs_no_choice():
    """A scenario that fails anyway is told so: no order is to blame."""

    async def scenario():
        raise ZeroDivisionError("division")

    with pytest.raises(OrderFailedError, match="order usual fails: ZeroDivisionError: division") as caught:
        explore(scenario)

    assert "it is the usual order" in str(caught.value)
    assert caught.value.report.orders == 1


def test_scenario_that_is_not_the_same_each_time():
    """Choices that come and go make every seed worthless, which is said."""
    counts = iter([3, 1, 3])

    async def scenario():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(next(counts))))

    with pytest.raises(DivergedError, match="not the same each time"):
        explore(scenario)


def test_seed_of_another_scenario():
    """A seed that does not fit is refused, and so is what is none."""
    with pytest.raises(DivergedError, match="order 7:1 cannot be taken"):
        replay(interleaved(2, 1), "7:1")
    with pytest.raises(ValueError, match="'nonsense' is no seed"):
        replay(interleaved(2, 1), "nonsense")


async def test_no_exploring_inside_a_loop():
    """Each order has a loop of its own, so a running one is refused before anything is run."""
    with pytest.raises(LifecycleError, match="explore runs loops of its own"):
        explore(interleaved(2, 1))
    with pytest.raises(LifecycleError, match="replay runs loops of its own"):
        replay(interleaved(2, 1), "usual")


@pytest.mark.parametrize("needed", [{}, {4: 1}, {4: 2, 9: 1}, {1: 3, 2: 3, 3: 3}])
def test_shrinking_ends_at_what_is_needed(needed):
    """Whatever else departs, the departures that remain are those that are needed, none larger than it must be."""
    start = dict.fromkeys(range(1, 12), 3)

    def fails(departures):
        return departures if all(departures.get(n, 0) >= taken for n, taken in needed.items()) else None

    assert shrink(start, fails) == needed


def test_shrinking_leaves_out_what_cannot_be_smaller():
    """Where only the very same departures will do, the others are left out all the same, few tries for each."""
    tried = []

    def fails(departures):
        tried.append(departures)
        same = departures.get(40) == 3 and set(departures.values()) == {3}
        return departures if same else None

    shrunk = shrink(dict.fromkeys(range(1, 65), 3), fails)

    assert shrunk == {40: 3}
    assert len(tried) < 100


class Hasty(TaskRun):
    """Goes on as soon as one hook of a stage has returned."""

    async def _call_hooks(self, stage, hook):
        called = [one for one in self.participants if hook in one.hooks]
        if hook != "started" or len(called) < 2:
            await super()._call_hooks(stage, hook)
            return
        all_of_them, self.participants = self.participants, called[:1]
        background = asyncio.ensure_future(called[1].target.started(self.sandbox))
        await super()._call_hooks(stage, hook)
        self.participants = all_of_them
        if not background.done():
            self.record(Kind.CALL, called[1].name, "started")
        await background


async def pause(*arguments):
    """What a hook does that lets others go on."""
    await asyncio.sleep(0)
    return True


HOOKS = ("build_sandbox", "started", "stopped", "finished", "exception")


def test_broken_driver_is_found_by_the_rules(tmp_path, monkeypatch):
    """A driver that loses a hook's return only when that is slower than another one fails in such an order."""
    monkeypatch.setattr("stagecall.worker.runtime.TaskRun", Hasty)

    async def scenario():
        bench = Bench(tmp_path, broken_on_purpose=True)
        run = bench(*(ScriptedPlugin(name, started=pause) for name in ("a", "b")))
        await run.wait()

    report = explore(scenario, check=False)

    assert report.failure is not None
    assert isinstance(report.failure.error, UnsoundError)
    assert "rule " in str(report.failure.error)


def test_the_driver_keeps_all_rules_in_every_order(tmp_path):
    """Three plugins whose hooks go on in any order, one after another: the run completes and keeps every rule."""
    busy: dict[str, Any] = dict.fromkeys(HOOKS, pause)
    plugins = [
        lambda: ScriptedPlugin("a", **busy),
        lambda: ScriptedPlugin("b", after=["a"], **busy),
        lambda: ScriptedPlugin("c", **busy),
    ]

    report = explore(with_plugins(tmp_path, *plugins), bound=3 if MORE else 1)

    assert report.failure is None
    assert list(report.results) == ["'completed'"]
    assert report.orders > (1000 if MORE else 15)


def test_an_abort_in_any_order(tmp_path):
    """An abort that comes at any step of the hooks: the rules hold, and only one of both decides."""
    ways = set()

    async def scenario():
        with Bench(tmp_path) as bench:
            busy: dict[str, Any] = dict.fromkeys(HOOKS, pause)
            engine = ScriptedEngine(holds=True)
            run = bench(ScriptedPlugin("a", **busy), ScriptedPlugin("b", **busy), engine=engine)

            async def abort():
                while run.sandbox is None:  # noqa: ASYNC110 (the loop is virtual, and there is no event to wait for)
                    await asyncio.sleep(0)
                engine.sandboxes[0].finish()
                for _ in range(3):
                    await asyncio.sleep(0)
                return run.abort(ExceptionReason.CANCELED)

            resolution, decided = await asyncio.gather(run.wait(), abort())
            assert decided == (resolution.reason is ExceptionReason.CANCELED)
            ways.add(" ".join(path(run.trace)))
            return resolution.state

    report = explore(scenario, bound=3 if MORE else 2, most=3000 if MORE else 400, samples=100)

    assert report.failure is None
    assert len(ways) >= 3


def test_the_default_plugins_in_any_order():
    """The plugins that ship, on the mock engine, become the same in every order."""

    async def scenario():
        payload = {"function": "write-log", "argument": "hello"}
        return (await run_task({"payload": payload}, engine="mock")).state

    report = explore(scenario, bound=2 if MORE else 1, most=2000 if MORE else 60, samples=20)

    assert (list(report.results), report.failure) == (["'completed'"], None)


@pytest.mark.soak
@pytest.mark.parametrize("turns", range(0, 40, 4))
def test_an_abort_in_very_many_orders(tmp_path, turns):
    """An abort in any turn of a run with threads, background work and a report: the rules hold in all orders tried."""

    async def scenario():
        with Bench(tmp_path) as bench:
            busy: dict[str, Any] = dict.fromkeys((*HOOKS, "dispose"), pause)

            async def started(sandbox):
                spawner.context.spawn(pause())

            spawner = ScriptedPlugin("spawner", started=started, stopped=lambda result_set: True)
            plugins = [ScriptedPlugin("a", **busy), ScriptedPlugin("b", after=["a"], **busy), spawner]
            run = bench(*plugins, report=pause)

            async def abort():
                for _ in range(turns):
                    await asyncio.sleep(0)
                return run.abort(ExceptionReason.CANCELED)

            resolution, decided = await asyncio.gather(run.wait(), abort())
            assert decided == (resolution.reason is ExceptionReason.CANCELED)

    report = explore(scenario, most=5000, samples=2000)

    print(report)
    assert report.failure is None
