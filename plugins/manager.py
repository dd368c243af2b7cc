"""The plugin manager: creates the plugins that are enabled, and is a plugin that stands for all of them.

A worker hands its members to the driver one by one, which calls their hooks side by side and traces each.
Where the manager is used as an ordinary plugin, inside another manager or in a test, its task plugin fans the
hooks out by itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..lifecycle.calls import Call
from ..lifecycle.errors import ConfigurationError
from ..lifecycle.resolution import describe
from ..specs.schemas import MergedSchema
from .base import EVERY_OTHER, Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from .registry import PLUGINS

if TYPE_CHECKING:
    from ..engines.base import ResultSet, Sandbox, SandboxBuilder, Schema
    from ..lifecycle.errors import ExceptionReason

DISABLED = "disabled"

_DISABLED_SCHEMA: Schema = {
    DISABLED: {
        "type": "list",
        "schema": {"type": "string"},
        "meta": {"description": "plugins not to enable"},
    }
}


@attrs.frozen
class Member:
    """A plugin under the name it has in traces.

    `after` names the members whose hooks come first, directly or through others.
    """

    name: str
    plugin: Plugin
    after: frozenset[str]


def plugin_manager_config_schema() -> Schema:
    """Return the schema of the `plugins` section.

    An entry enables a plugin and configures it, `disabled` names exceptions.

    >>> sorted(plugin_manager_config_schema())[:2]
    ['artifacts', 'chainoftrust']
    """
    schema: dict[str, Mapping[str, Any]] = dict(_DISABLED_SCHEMA)
    for name, provider in PLUGINS.all().items():
        schema[name] = {"type": "dict", "nullable": True, "schema": provider.config_schema()}
    return schema


class PluginManager(Plugin):
    """All plugins of a worker, in order of declaration.

    >>> manager = PluginManager.of([Plugin()])
    >>> [member.name for member in manager.members]
    ['plugin']
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)

    @classmethod
    def of(cls, plugins: Iterable[Plugin] | Mapping[str, Plugin]) -> PluginManager:
        """Return a manager of plugins that exist already; a manager among them is replaced by its members.

        Raises: ConfigurationError for what is no plugin, two plugins of one name, or `after` in a circle.
        """
        if isinstance(plugins, str):
            raise ConfigurationError(f"plugins must be plugin objects or a mapping, not the text {plugins!r}")
        for plugin in plugins.values() if isinstance(plugins, Mapping) else (plugins := list(plugins)):
            if not isinstance(plugin, Plugin):
                raise ConfigurationError(f"plugins must be plugin objects; {plugin!r} is none")
        named = (
            plugins.items() if isinstance(plugins, Mapping) else [(plugin.name, plugin) for plugin in plugins]
        )
        flat: list[tuple[str, Plugin]] = []
        for name, plugin in named:
            if isinstance(plugin, PluginManager):
                flat += [(member.name, member.plugin) for member in plugin.members]
            else:
                flat.append((name, plugin))
        return cls(_in_order(flat))

    @classmethod
    async def create(cls, options: PluginOptions) -> PluginManager:
        """Create the plugins that `options.config` enables.

        If one fails, those that were created are disposed.

        Raises: ConfigurationError that names every violation of the configuration with its path, an unknown
        plugin, or the plugin that failed.
        """
        config = {
            name: {} if value is None else value for name, value in options.config.items() if name != DISABLED
        }
        disabled = _disabled(options.config)
        providers = {name: PLUGINS[name] for name in config if name not in disabled}
        schemas = {
            name: {name: {"type": "dict", "schema": one.config_schema()}} for name, one in providers.items()
        }
        enabled = {name: config[name] for name in providers}
        violations = MergedSchema.merge(schemas).violations(enabled, root="plugins")
        if violations:
            raise ConfigurationError("; ".join(map(str, violations)))
        created: dict[str, Plugin] = {}
        try:
            for name, provider in providers.items():
                monitor = options.monitor.bind(plugin=name)
                own = attrs.evolve(options, monitor=monitor, config=enabled[name])
                created[name] = await _new_plugin(name, provider, own)
            return cls.of(created)
        except BaseException as error:
            await _dispose_after(error, created.values())
            raise

    @property
    def name(self) -> str:
        """What the manager is called where it stands for its members."""
        return "plugins"

    def payload_schema(self) -> Schema:
        """Return the merged schema of all members. Raises: SchemaConflictError that names both owners."""
        schemas = {f"plugin {member.name}": member.plugin.payload_schema() for member in self.members}
        return dict(MergedSchema.merge(schemas).properties)

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin:
        """Return a task plugin that calls the hooks of every member's.

        Each member gets its own part of the payload.
        """
        created: list[tuple[str, TaskPlugin]] = []
        try:
            for member in self.members:
                part = {
                    n: v for n, v in (options.payload or {}).items() if n in member.plugin.payload_schema()
                }
                payload = None if options.payload is None else part
                own = attrs.evolve(options, payload=payload)
                made = await _called(member.plugin.new_task_plugin, own)
                if made is not None:
                    created.append((member.name, made))
        except BaseException as error:
            await _dispose_after(error, [one for _, one in reversed(created)])
            raise
        return _Group(created)

    async def report_idle(self, seconds: float) -> None:
        """Tell every member."""
        await _side_by_side([member.plugin.report_idle for member in self.members], seconds)

    async def report_non_fatal_error(self) -> None:
        """Tell every member."""
        await _side_by_side([member.plugin.report_non_fatal_error for member in self.members])

    def documentation(self) -> str:
        """Return the pages of all members."""
        return "\n\n".join(f"# {member.name}\n\n{member.plugin.documentation()}" for member in self.members)

    async def dispose(self) -> None:
        """Dispose every member, the last declared first; errors of one do not keep the others from it."""
        await _dispose_all(member.plugin for member in reversed(self.members))


class _Group(TaskPlugin):
    """The task plugins of one run as one."""

    def __init__(self, members: Sequence[tuple[str, TaskPlugin]]) -> None:
        self._members = members

    async def build_sandbox(self, builder: SandboxBuilder) -> None:
        await self._each("build_sandbox", builder)

    async def started(self, sandbox: Sandbox) -> None:
        await self._each("started", sandbox)

    async def stopped(self, result_set: ResultSet) -> bool:
        verdicts = await self._each("stopped", result_set)
        for name, verdict in verdicts.items():
            if not isinstance(verdict, bool):
                raise TypeError(f"stopped of plugin {name} must return True or False, not {verdict!r}")
        return all(verdicts.values())

    async def finished(self, success: bool) -> None:
        await self._each("finished", success)

    async def exception(self, reason: ExceptionReason) -> None:
        await self._each("exception", reason)

    async def dispose(self) -> None:
        await _dispose_all(member for _, member in reversed(self._members))

    async def _each(self, hook: str, *arguments: Any) -> dict[str, Any]:
        hooks = {name: getattr(one, hook) for name, one in self._members if hook in one.hook_names}
        values = await _side_by_side(hooks.values(), *arguments)
        return dict(zip(hooks, values, strict=True))


async def _side_by_side(functions: Iterable[Callable[..., Any]], *arguments: Any) -> list[Any]:
    """Call all at once; when all have ended, return their values, or raise their errors as a group."""
    ended = await asyncio.gather(*(_contained(function, *arguments) for function in functions))
    _raise([error for _, error in ended if error is not None])
    return [value for value, _ in ended]


async def _dispose_all(those: Iterable[Plugin | TaskPlugin]) -> None:
    """Dispose one after the other, each whatever became of the others."""
    errors = [error for one in those if (error := (await _contained(one.dispose))[1]) is not None]
    _raise(errors)


async def _dispose_after(error: BaseException, those: Iterable[Plugin | TaskPlugin]) -> None:
    """Dispose what was created before `error`, which stays the error; what else goes wrong is noted on it."""
    try:
        await _dispose_all(those)
    except Exception as another:
        error.add_note(f"and disposing what had been created failed: {describe(another)}")


async def _new_plugin(name: str, provider: PluginProvider, options: PluginOptions) -> Plugin:
    try:
        made = provider.new_plugin(options)
        plugin = await made if inspect.isawaitable(made) else made
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"plugin {name!r} cannot be created: {describe(error)}") from error
    if not isinstance(plugin, Plugin):
        raise ConfigurationError(f"the provider of plugin {name!r} must return a Plugin, not {plugin!r}")
    return plugin


def _disabled(config: Mapping[str, Any]) -> frozenset[str]:
    given = {name: config[name] for name in config if name == DISABLED}
    violations = MergedSchema.merge({"the plugin manager": _DISABLED_SCHEMA}).violations(
        given, root="plugins"
    )
    if violations:
        raise ConfigurationError("; ".join(map(str, violations)))
    return frozenset(config.get(DISABLED, ()))


async def _contained(function: Callable[..., Any], *arguments: Any) -> tuple[Any, BaseException | None]:
    """Return the value or the error, as a SystemExit that leaves a task would end the program."""
    try:
        return await _called(function, *arguments), None
    except BaseException as error:
        return None, error


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call as the driver does: a plain `def` in a thread, and not what a base class only has for show."""
    if getattr(function, "__func__", None) in _IDLE:
        return None
    return await Call("hook", None, function, arguments).invoke()


_IDLE = {
    Plugin.new_task_plugin,
    Plugin.report_idle,
    Plugin.report_non_fatal_error,
    Plugin.dispose,
    TaskPlugin.dispose,
}


def _raise(errors: Sequence[BaseException]) -> None:
    if errors:
        raise BaseExceptionGroup("several plugins failed", errors) if len(errors) > 1 else errors[0]


def _in_order(plugins: Sequence[tuple[str, Plugin]]) -> list[Member]:
    direct: dict[str, frozenset[str]] = {}
    for name, plugin in plugins:
        if name in direct:
            raise ConfigurationError(f"two plugins are called {name!r}; give one of them another name")
        if isinstance(plugin.after, str):
            raise ConfigurationError(
                f"plugin {name!r}: after must be a set of names, such as frozenset({{{plugin.after!r}}})"
            )
        direct[name] = plugin.after
    direct = _without_stars(direct)
    members = [Member(name, plugin, _closure(name, direct)) for name, plugin in plugins]
    for member in members:
        if member.name in member.after:
            raise ConfigurationError(
                f"plugin {member.name!r} comes after itself, through {', '.join(sorted(member.after))}"
            )
    return members


def _without_stars(direct: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return whom each plugin names, with names where it said EVERY_OTHER."""
    named = {name: after - EVERY_OTHER for name, after in direct.items()}
    later = {name: {other for other in named if name in _closure(other, named)} for name in named}
    return {
        name: frozenset(named.keys() - later[name] - {name}) if direct[name] >= EVERY_OTHER else after
        for name, after in named.items()
    }


def _closure(name: str, direct: Mapping[str, frozenset[str]]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        new = {earlier for earlier in direct[waiting.pop()] if earlier in direct} - reached
        reached |= new
        waiting += new
    return frozenset(reached)
