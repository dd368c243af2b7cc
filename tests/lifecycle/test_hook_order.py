"""Which hooks are called, and in what order."""

import asyncio

import pytest

from stagecall.lifecycle.errors import ConfigurationError, ExceptionReason, MalformedPayloadError
from stagecall.plugins.manager import PluginManager
from stagecall.specs.trace import Event, Kind
from stagecall.testing.doubles import ScriptedPlugin, hooks, outcomes, path
from stagecall.testing.virtual_time import virtual_time


def timed(name, seen, after=(), seconds=1.0):
    """A plugin that tells when its `started` begins and ends, in virtual seconds."""

    async def started(sandbox):
        begin = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        seen[name] = (begin, asyncio.get_running_loop().time())

    return ScriptedPlugin(name, after=after, started=started)


@virtual_time
async def test_hooks_run_side_by_side_unless_ordered(make_run):
    """Only plugins that declare `after` wait, in whatever order they were declared."""
    seen: dict[str, tuple[float, float]] = {}

    await make_run(timed("late", seen, {"early"}), timed("early", seen), timed("free", seen)).wait()

    assert seen == {"early": (0, 1), "free": (0, 1), "late": (1, 2)}


@virtual_time
async def test_order_holds_through_a_plugin_without_the_hook(make_run):
    """c after b after a: c waits for a, although b in between does not have this hook."""
    seen: dict[str, tuple[float, float]] = {}

    await make_run(timed("c", seen, {"b"}), ScriptedPlugin("b", after={"a"}), timed("a", seen)).wait()

    assert seen == {"a": (0, 1), "c": (1, 2)}


@virtual_time
async def test_absent_names_are_ignored(make_run):
    """A plugin may come after one that is not enabled."""
    seen: dict[str, tuple[float, float]] = {}

    await make_run(timed("a", seen, {"absent"}), timed("b", seen, {"absent", "a"})).wait()

    assert seen == {"a": (0, 1), "b": (1, 2)}


@pytest.mark.parametrize("after", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_circle_is_refused(after):
    """Plugins that wait for each other would never be called: the error names the circle."""
    plugins = [ScriptedPlugin(name, after={earlier}) for name, earlier in after.items()]

    with pytest.raises(
        ConfigurationError, match=f"'a' comes after itself, through {', '.join(sorted(after))}"
    ):
        PluginManager.of(plugins)


@virtual_time
async def test_siblings_of_a_failed_hook_are_not_cancelled(make_run):
    """Each hook of the stage comes to its own end, those that come after the failed one as well."""

    async def broken(sandbox):
        raise MalformedPayloadError("no")

    seen: dict[str, tuple[float, float]] = {}
    run = make_run(
        ScriptedPlugin("broken", started=broken),
        timed("slow", seen, seconds=3),
        timed("late", seen, {"broken"}),
    )

    resolution = await run.wait()

    assert resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert seen == {"slow": (0, 3), "late": (0, 1)}
    assert outcomes(run.trace, "started") == {"broken": "failed", "slow": "ok", "late": "ok"}


@virtual_time
async def test_dispose_comes_in_reverse_one_by_one(make_run):
    """The plugin declared last is disposed first, and one that raises keeps no other from it."""
    seen = []

    def plugin(name):
        async def dispose():
            seen.append(f"{name} begins")
            await asyncio.sleep(1)
            seen.append(f"{name} ends")
            if name == "b":
                raise OSError("cannot let go")

        return ScriptedPlugin(name, dispose=dispose)

    run = make_run(plugin("a"), plugin("b"), plugin("c"))

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert seen == ["c begins", "c ends", "b begins", "b ends", "a begins", "a ends"]
    assert outcomes(run.trace, "dispose") == {"c": "ok", "b": "failed", "a": "ok"}


@virtual_time
async def test_hooks_not_overridden_are_never_called(make_run):
    """A plugin without hooks costs no call but its creation, and `dispose` is no exception to that."""
    run = make_run(ScriptedPlugin("idle"), ScriptedPlugin("one", finished=lambda success: None))

    await run.wait()

    called = [(plugin, call) for plugin, call, _ in hooks(run.trace) if plugin != "-"]
    assert called == [("idle", "new_task_plugin"), ("one", "new_task_plugin"), ("one", "finished")]


@virtual_time
async def test_observers_see_every_move_before_any_hook(make_run):
    """When a hook runs, the observers know its stage; and what they saw is the whole trace."""
    moves: list[str] = []
    events = []

    def observer(event):
        events.append(event)
        if event.kind is Kind.MOVE:
            moves.append(event.stage)

    seen = {}

    def hook(stage):
        async def look(*arguments):
            seen[stage] = moves[-1]
            return True

        return look

    stages = {
        "build_sandbox": "build",
        "started": "started",
        "stopped": "stopped",
        "finished": "finished",
        "dispose": "dispose",
    }
    plugin = ScriptedPlugin(
        new_task_plugin=lambda options: seen.update(prepare=moves[-1]), **_hooks(stages, hook)
    )
    run = make_run(plugin, observers=[observer])

    await run.wait()

    assert seen == {stage: stage for stage in ("prepare", *stages.values())}
    assert events == run.trace.events
    assert moves == path(run.trace)


def _hooks(stages, hook):
    return {name: hook(stage) for name, stage in stages.items()}


@virtual_time
async def test_raising_observer_is_removed_and_reported(make_run):
    """It sees nothing more, the others see everything, and the run takes no harm."""
    broken: list[Event] = []
    sound: list[Event] = []

    def breaks(event):
        broken.append(event)
        raise RuntimeError("cannot draw")

    run = make_run(ScriptedPlugin(), observers=[breaks, sound.append])

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert [event.kind for event in broken] == [Kind.RUN]
    assert sound == run.trace.events
    assert [event.get("error") for event in run.trace.of(Kind.OBSERVER)] == ["RuntimeError: cannot draw"]
    assert [name for name, _ in make_run.monitor.errors] == ["RuntimeError"]
