"""A runtime is put together from names or objects, says what cannot be used, and disposes what it created."""

import pytest

from stagecall.engines.base import EngineProvider
from stagecall.engines.registry import ENGINES
from stagecall.lifecycle.errors import ConfigurationError, LifecycleError
from stagecall.lifecycle.resolution import Resolution
from stagecall.plugins.base import Plugin, PluginProvider
from stagecall.plugins.manager import PluginManager
from stagecall.plugins.registry import PLUGINS
from stagecall.specs.schemas import SchemaConflictError
from stagecall.specs.task import TaskDefinition, TaskDefinitionError
from stagecall.testing.doubles import HookRecorder, ScriptedEngine, ScriptedPlugin
from stagecall.worker.environment import LocalEnvironment
from stagecall.worker.runtime import DEFAULT_PLUGINS, Runtime, run_task, run_task_sync

TASK = {"payload": {"function": "true"}}


class Held(Plugin):
    """Tells when it is disposed, which fails if `breaks`."""

    def __init__(self, name, disposed, breaks=False):
        self._name = name
        self.disposed = disposed
        self.breaks = breaks

    @property
    def name(self):
        return self._name

    async def dispose(self):
        self.disposed.append(self._name)
        if self.breaks:
            raise OSError(f"{self._name} cannot let go")


class HeldEngine(ScriptedEngine):
    """The same for an engine."""

    def __init__(self, disposed):
        super().__init__()
        self.disposed = disposed

    async def dispose(self):
        self.disposed.append("engine")


class HeldEnvironment(LocalEnvironment):
    """The same for the environment that a runtime makes for itself."""

    disposed: list[str]

    async def close(self):
        self.disposed.append("environment")
        await super().close()


class Giving(PluginProvider):
    """Gives what it was made with, or raises it."""

    def __init__(self, given):
        self.given = given

    def new_plugin(self, options):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class GivingEngine(EngineProvider):
    """Gives an engine, by an awaitable."""

    def __init__(self, given):
        self.given = given

    async def new_engine(self, options):
        return self.given


@pytest.fixture
def disposed(monkeypatch):
    """What was disposed, in order, of plugins, engine and environment that tell."""
    told: list[str] = []
    monkeypatch.setitem(PLUGINS._registered, "held", Giving(Held("held", told)))
    monkeypatch.setitem(PLUGINS._registered, "broken", Giving(Held("broken", told, breaks=True)))
    monkeypatch.setitem(PLUGINS._registered, "impossible", Giving(OSError("no such device")))
    monkeypatch.setitem(ENGINES._registered, "held", GivingEngine(HeldEngine(told)))
    monkeypatch.setattr(HeldEnvironment, "disposed", told, raising=False)
    monkeypatch.setattr("stagecall.worker.runtime.LocalEnvironment", HeldEnvironment)
    return told


# Created from what


async def test_created_from_names():
    """Engine and plugins are found by name, and the schema is that of all of them."""
    async with await Runtime.create("mock", {"success": {}, "env": {}}) as runtime:
        resolution = await runtime.new_run({"payload": {"function": "true", "env": {"A": "1"}}}).wait()

        assert resolution == Resolution("completed")
        assert [member.name for member in runtime.manager.members] == ["success", "env"]
        assert runtime.schema.owners("env") == ("plugin env",)
        assert runtime.schema.owners("function") == ("engine",)


async def test_created_from_objects():
    """Objects that exist already are used as they are, in their order, a manager for its members."""
    engine, recorder = ScriptedEngine(), HookRecorder()
    manager = PluginManager.of([ScriptedPlugin("a"), recorder])

    async with await Runtime.create(engine, [manager, ScriptedPlugin("b")]) as runtime:
        await runtime.new_run({"payload": {}}).wait()

        assert runtime.engine is engine
        assert [member.name for member in runtime.manager.members] == ["a", "hookrecorder", "b"]
        assert [call[0] for call in recorder.calls][-1] == "dispose"


async def test_default_plugins_are_enabled_where_none_are_named():
    """Who says nothing gets what most tasks want."""
    async with await Runtime.create("mock") as runtime:
        assert [member.name for member in runtime.manager.members] == list(DEFAULT_PLUGINS)


# What cannot be used


@pytest.mark.parametrize(
    ("engine", "plugins", "config", "message"),
    [
        ("mok", {}, {}, "no engine is called 'mok'; did you mean 'mock'"),
        ("mock", {"sucess": {}}, {}, "no plugin is called 'sucess'; did you mean 'success'"),
        ("mock", {}, {"maxConcurrency": 0}, r"^engines\.mock\.maxConcurrency: "),
        ("mock", {}, {"maxConcurency": 1}, r"^engines\.mock\.maxConcurency: "),
        ("mock", {"maxruntime": {"perTaskLimit": "perhaps"}}, {}, r"^plugins\.maxruntime\.perTaskLimit: "),
        ("mock", {"success": {"loud": True}}, {}, r"^plugins\.success\.loud: "),
        ("mock", [ScriptedPlugin("a"), ScriptedPlugin("a")], {}, "two plugins are called 'a'"),
        ("mock", [ScriptedPlugin("a", after={"a"})], {}, "plugin 'a' comes after itself"),
        (ScriptedEngine(), {}, {"maxConcurrency": 1}, "engine_config is for engines given by name"),
    ],
)
async def test_configuration_error_names_what_and_where(engine, plugins, config, message):
    """The operator is told which name or which value, by its path."""
    with pytest.raises(ConfigurationError, match=message):
        await Runtime.create(engine, plugins, engine_config=config)


@pytest.mark.parametrize(
    ("plugins", "owners"),
    [
        ([ScriptedPlugin("a", schema={"x": {"type": "string"}}),
          ScriptedPlugin("b", schema={"x": {"type": "integer"}})], ("plugin a", "plugin b")),
        ([ScriptedPlugin("a", schema={"engine": {"type": "integer"}})], ("engine", "plugin a")),
    ],
)  # fmt: skip
async def test_conflict_of_schemas_names_both_owners(plugins, owners):
    """A payload property belongs to one; what is wrong is known before any task runs."""
    with pytest.raises(SchemaConflictError) as error:
        await Runtime.create(ScriptedEngine(), plugins)

    for owner in owners:
        assert owner in str(error.value)


async def test_bad_task_is_refused_before_anything_runs():
    """What is no task definition makes no run."""
    async with await Runtime.create("mock", {}) as runtime:
        with pytest.raises(TaskDefinitionError, match="payload"):
            runtime.new_run({})


# What is disposed


async def test_created_parts_are_disposed_in_reverse(disposed):
    """Plugins go before the engine they use, the environment last."""
    async with await Runtime.create("held", {"success": {}, "held": {}}) as runtime:
        assert await runtime.new_run({"payload": {}}).wait() == Resolution("completed")
        assert disposed == []

    assert disposed == ["held", "engine", "environment"]


async def test_parts_are_disposed_although_one_raises(disposed):
    """An error of one keeps no other from being disposed, and is raised at the end."""
    runtime = await Runtime.create("held", {"held": {}, "broken": {}})

    with pytest.raises(OSError, match="broken cannot let go"):
        await runtime.dispose()

    assert disposed == ["broken", "held", "engine", "environment"]


async def test_parts_are_disposed_when_a_later_one_fails(disposed):
    """Nothing stays of a runtime that could not be put together; the error names the plugin."""
    with pytest.raises(ConfigurationError, match="plugin 'impossible' cannot be created: OSError: no such"):
        await Runtime.create("held", {"held": {}, "impossible": {}})

    assert disposed == ["held", "engine", "environment"]


async def test_disposing_again_does_nothing(disposed):
    """Each part is disposed once."""
    runtime = await Runtime.create("held", {"held": {}})

    await runtime.dispose()
    await runtime.dispose()

    assert disposed == ["held", "engine", "environment"]


async def test_parts_put_together_by_hand_stay(disposed):
    """Who brings objects to the constructor disposes them."""
    environment = LocalEnvironment()
    async with Runtime(HeldEngine(disposed), PluginManager.of([Held("a", disposed)]), environment):
        pass

    assert disposed == []


# Runs


async def test_run_ids_count_the_attempts():
    """By default the first one, else as the definition says, unless the caller knows better."""
    async with await Runtime.create("mock", {"success": {}}) as runtime:
        again = TaskDefinition.parse({**TASK, "runId": 3})

        assert runtime.new_run(TASK).info.run_id == 0
        assert runtime.new_run(again).info.run_id == 3
        assert runtime.new_run(again, run_id=4).info.run_id == 4
        assert runtime.new_run(TASK).info.task_id != runtime.new_run(TASK).info.task_id


@pytest.mark.parametrize(
    ("function", "resolution"), [("true", Resolution("completed")), ("false", Resolution("failed"))]
)
async def test_run_task_takes_one_task_through(disposed, function, resolution):
    """It returns the resolution, and has disposed everything then."""
    assert await run_task({"payload": {"function": function}}, engine="mock", plugins={"success": {}}) == (
        resolution
    )
    assert disposed == ["environment"]


def test_run_task_sync_needs_no_loop():
    """A program without asyncio gets the same resolution."""
    assert run_task_sync(TASK, engine="mock", plugins={"success": {}}) == Resolution("completed")


async def test_run_task_sync_is_refused_inside_a_loop():
    """It would block all else that runs there."""
    with pytest.raises(LifecycleError, match="await run_task instead"):
        run_task_sync(TASK, engine="mock", plugins={"success": {}})
