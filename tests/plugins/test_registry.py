"""Providers are found by name: those that were registered, and those that installed packages bring."""

from importlib.metadata import EntryPoint

import pytest

from stagecall.engines import registry as module
from stagecall.engines.base import EngineProvider
from stagecall.engines.registry import ENGINES, Registry, engines, register_engine
from stagecall.lifecycle.errors import ConfigurationError
from stagecall.plugins.base import Plugin, PluginOptions, PluginProvider
from stagecall.plugins.registry import PLUGINS, plugins, register


class Provider(PluginProvider):
    def new_plugin(self, options: PluginOptions) -> Plugin:
        return Plugin()


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(PLUGINS, "_registered", {})
    monkeypatch.setattr(ENGINES, "_registered", {})


def test_built_in_ones_come_through_entry_points():
    """Nothing registers by import: the package's own engines and plugins are found as anybody's are."""
    assert set(engines()) == {"mock", "process", "script"}
    assert set(plugins()) == {
        "artifacts",
        "chainoftrust",
        "env",
        "livelog",
        "logprefix",
        "maxruntime",
        "success",
        "tasklog",
    }
    assert all(isinstance(provider, EngineProvider) for provider in engines().values())
    assert all(isinstance(provider, PluginProvider) for provider in plugins().values())


def test_registered_one_is_found_beside_the_installed():
    """A program may register a provider of its own."""
    provider = Provider()

    register("mine", provider)

    assert plugins()["mine"] is provider
    assert "success" in plugins()


@pytest.mark.parametrize("name", ["mine", "success"])
def test_second_use_of_a_name_is_refused(name):
    """Neither a registered nor an installed name can be taken again."""
    register("mine", Provider())

    with pytest.raises(ConfigurationError, match=f"the plugin '{name}' is there already; names must differ"):
        register(name, Provider())


def test_engine_names_are_taken_too():
    """What holds for plugins holds for engines."""
    with pytest.raises(ConfigurationError, match="the engine 'mock' is there already"):
        register_engine("mock", ENGINES["mock"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mokc", "no engine is called 'mokc'; did you mean 'mock'?"),
        ("kvm", "no engine is called 'kvm'; there are mock, process, script"),
    ],
)
def test_unknown_name_is_told_with_the_known_ones(name, message):
    """The nearest name is proposed, or all of them."""
    with pytest.raises(ConfigurationError) as caught:
        ENGINES[name]

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:provider", "engine 'broken' cannot be loaded: ModuleNotFoundError"),
        ("json:no_such_name", "engine 'broken' cannot be loaded: AttributeError"),
        (
            "json:dumps",
            "engine 'broken': the entry point 'json:dumps' must lead to an instance of EngineProvider",
        ),
    ],
)
def test_entry_point_that_leads_nowhere_is_named(monkeypatch, value, message):
    """A package that installs a broken entry point is told apart from all others, and only when it is asked for."""
    points = {"broken": EntryPoint("broken", value, "stagecall.engines")}
    monkeypatch.setattr(module, "installed", lambda group: points)
    registry: Registry[EngineProvider] = Registry("engine", "stagecall.engines", EngineProvider)

    assert registry.names() == ["broken"]
    with pytest.raises(ConfigurationError) as caught:
        registry["broken"]

    assert str(caught.value).startswith(message)
