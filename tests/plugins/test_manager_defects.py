"""What goes wrong when plugins are created is one clear error, and nothing that was created stays."""

from importlib.metadata import EntryPoint

import attrs
import pytest

from stagecall.engines import registry
from stagecall.lifecycle.errors import ConfigurationError
from stagecall.plugins import manager as module
from stagecall.plugins.base import Plugin, PluginOptions, PluginProvider
from stagecall.plugins.manager import PluginManager
from stagecall.worker.environment import LocalEnvironment

from .plugin_support import StubEngine


class Releasing(Plugin):
    """Counts how often it was disposed; `breaks` says whether that fails."""

    def __init__(self, breaks: bool = False) -> None:
        self.disposed = 0
        self.breaks = breaks

    async def dispose(self) -> None:
        self.disposed += 1
        if self.breaks:
            raise OSError("cannot let go")


@attrs.frozen
class Giving(PluginProvider):
    """Returns what it has, or raises it."""

    given: object

    def new_plugin(self, options: PluginOptions) -> Plugin:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given  # type: ignore[return-value]  # that is what is tried


async def create(monkeypatch, providers, **config) -> PluginManager:
    monkeypatch.setattr(module, "PLUGINS", {name: Giving(given) for name, given in providers.items()})
    async with LocalEnvironment() as environment:
        return await PluginManager.create(
            PluginOptions(environment, StubEngine(), environment.monitor, config or dict.fromkeys(providers))
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ValueError("no such host"), "plugin 'broken' cannot be created: ValueError: no such host"),
        (None, "the provider of plugin 'broken' must return a Plugin, not None"),
        (ConfigurationError("plugin broken, host: must be a name"), "plugin broken, host: must be a name"),
    ],
)
async def test_plugin_that_cannot_be_created_is_named(monkeypatch, given, message):
    """Whatever a provider does, the operator reads which plugin it was; those before it are disposed."""
    first = Releasing()

    with pytest.raises(ConfigurationError) as refused:
        await create(monkeypatch, {"first": first, "broken": given})

    assert (str(refused.value), first.disposed) == (message, 1)


async def test_error_of_disposing_does_not_hide_why_creation_failed(monkeypatch):
    """The first error stays the error; the second is noted on it."""
    first = Releasing(breaks=True)

    with pytest.raises(ConfigurationError, match="no such host") as refused:
        await create(monkeypatch, {"first": first, "broken": ValueError("no such host")})

    assert refused.value.__notes__ == ["and disposing what had been created failed: OSError: cannot let go"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"env": False}, "plugins.env: must be an object"),
        ({"env": []}, "plugins.env: must be an object"),
        ({"env": {}, "disabled": "env"}, "plugins.disabled: must be a list"),
        ({"env": {}, "disabled": None}, "plugins.disabled: must be a list"),
    ],
)
async def test_entry_of_the_wrong_kind_is_refused(monkeypatch, config, message):
    """What reads as `off` must not enable a plugin, nor a text be taken apart into names."""
    with pytest.raises(ConfigurationError) as refused:
        await create(monkeypatch, {"env": Plugin()}, **config)

    assert str(refused.value).startswith(message)


def test_after_must_be_more_than_one_text():
    """`after = ("env")` is a text, whose letters name no plugins: it would order nothing, in silence."""

    class Hasty(Plugin):
        after = "env"  # type: ignore[assignment]

    with pytest.raises(ConfigurationError, match="plugin 'hasty': after must be a set of names"):
        PluginManager.of([Hasty()])


def test_two_packages_cannot_give_one_name(monkeypatch):
    """A name leads to one place: two packages that claim it are an error, one that is found twice is not."""
    points = [
        EntryPoint("env", value, "a.group") for value in ("one:provider", "one:provider", "two:provider")
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points[:2])
    twice = registry.installed.__wrapped__("a.group")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)

    with pytest.raises(ConfigurationError, match="one:provider and two:provider"):
        registry.installed.__wrapped__("a.group")

    assert twice == {"env": points[0]}


@pytest.mark.parametrize("plugins", ["success", [Plugin], [None]], ids=["text", "class", "none"])
def test_what_is_no_plugin_is_named(plugins):
    """A class or a name in the place of a plugin object is the embedder's mistake, and told as one."""
    with pytest.raises(ConfigurationError, match="plugins must be plugin objects"):
        PluginManager.of(plugins)
