"""Checks of what a plugin declares: its hooks, its schemas, and that making it does nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pytest

from ...lifecycle.leaks import take
from ...plugins._method_checks import check_methods
from ...plugins.base import CREATION, PluginOptions, TaskPlugin
from ...plugins.manager import PluginManager
from ...specs.lifecycle import TASK_RUN
from ...specs.schemas import MergedSchema, Schema
from ...worker.runtime import DEFAULT_PLUGINS
from ..conformance import needs
from .kit import PluginKit, assert_sound_plugin
from .stand import PluginFactory, schema_of

RUN_COST = 4
"""How many of the examples that hypothesis has in mind cost as much as a run."""


class DeclarationChecks(PluginKit):
    """What a plugin says of itself holds."""

    async def test_hooks_are_declared_by_the_class(self, plugin_factory: PluginFactory) -> None:
        """Hooks are methods of the class, under their names and with their arguments: no other is ever called."""
        hooks = {name: stage.arguments for name, stage in TASK_RUN.hooks.items() if name != CREATION}
        async with self.stand(plugin_factory) as stand:
            assert_on_class(stand.plugin, {CREATION})
            for payload in self.payloads:
                view = await stand.run(payload)

                for one in view.run.participants:
                    check_methods(type(one.target), TaskPlugin, hooks)
                    assert_on_class(one.target, hooks.keys())

    @pytest.mark.parametrize("verdict", ["succeeds", "fails"])
    async def test_hooks_return_what_they_promise(self, plugin_factory: PluginFactory, verdict: str) -> None:
        """Every hook ends without an error of its own and returns what it should, whatever became of the task."""
        async with self.stand(plugin_factory) as stand:
            task = self.task if verdict == "succeeds" else {"function": "false"}
            for payload in self.payloads:
                view = await stand.run(payload, engine=stand.engine(**task))

                assert_sound_plugin(view, f"with the payload {payload} and a task that {verdict}")

    async def test_payload_schema_stays_the_same(self, plugin_factory: PluginFactory) -> None:
        """The schema is sound, and the same each time it is asked for: a worker asks once, and for all runs."""
        async with self.stand(plugin_factory) as stand:
            first = schema_of(stand.plugin)
            MergedSchema.merge({"the plugin": first})

            again, of_another = schema_of(stand.plugin), schema_of(await stand.make())

            assert (again, of_another) == (first, first), "payload_schema must give the same each time"

    async def test_payload_schema_merges_with_those_shipped(self, plugin_factory: PluginFactory) -> None:
        """No property is declared otherwise by a plugin that ships with the library, so that both can be enabled."""
        async with self.stand(plugin_factory) as stand:
            options = PluginOptions(stand.environment, stand.engine(), stand.monitor, DEFAULT_PLUGINS)
            shipped = await PluginManager.create(options)
            others = [one for one in shipped.members if type(one.plugin) is not type(stand.plugin)]

            schemas = {f"plugin {one.name}": one.plugin.payload_schema() for one in others}
            MergedSchema.merge({"the plugin under test": schema_of(stand.plugin), **schemas})

    @needs("generated-payloads")
    def test_every_valid_payload_can_be_run(self, plugin_factory: PluginFactory) -> None:
        """Whatever the schema lets pass may be malformed by the plugin's own words, but is never its defect."""
        schemas: list[Schema] = []

        async def ask() -> None:
            async with self.stand(plugin_factory) as stand:
                schemas.append(schema_of(stand.plugin))

        async def run(payload: Mapping[str, Any]) -> None:
            async with self.stand(plugin_factory) as stand:
                assert_sound_plugin(await stand.run(payload), f"with the payload {payload}")

        self.drive(ask())

        _for_payloads(schemas[0], self.values, lambda payload: self.drive(run(payload)))

    @needs("closed-payload")
    async def test_payload_schema_refuses_what_it_does_not_name(self, plugin_factory: PluginFactory) -> None:
        """A misspelt property is refused at any depth: an object names its properties, or rules for all of them."""
        async with self.stand(plugin_factory) as stand:
            open_objects = list(_open_objects(schema_of(stand.plugin)))

            assert not open_objects, (
                f"payload.{', payload.'.join(open_objects)}: takes any property; give it a schema, "
                "or keysrules and valuesrules"
            )

    async def test_config_schema_stays_the_same(self, plugin_factory: PluginFactory) -> None:
        """The schema of the configuration is sound, and the same each time it is asked for."""
        subject = plugin_factory()
        if not isinstance(subject, tuple):
            pytest.skip("plugin_factory gives plugins, no provider with a configuration")
        provider, _ = subject

        first, again = provider.config_schema(), provider.config_schema()

        assert isinstance(first, Mapping), (
            f"config_schema must be a plain def that returns a mapping, not {first!r}"
        )
        MergedSchema.merge({"the configuration": first})
        assert first == again, "config_schema must give the same each time"

    async def test_every_plugin_is_made_afresh(self, plugin_factory: PluginFactory) -> None:
        """Two workers get two plugins, as each disposes its own."""
        async with self.stand(plugin_factory) as stand:
            another = await stand.make()

            assert another is not stand.plugin, "plugin_factory, or the provider, gives the same plugin twice"

    @needs("inert-construction")
    async def test_construction_acquires_nothing(self, plugin_factory: PluginFactory) -> None:
        """Making a plugin opens no file and starts no thread, task or process: it may never be used, nor disposed."""
        async with self.stand(plugin_factory) as stand:
            before = take([stand.folder])

            made = await stand.make()

            acquired = [str(leak) for leak in before.compare()]
            assert not acquired, f"making {type(made).__name__} acquires {', '.join(acquired)}"


def _for_payloads(schema: Schema, values: Mapping[str, Any], check: Callable[[Any], None]) -> None:
    """Call `check` with payloads that hypothesis draws from a schema; with the only one there is if that is empty."""
    if not schema:
        check({})
        return
    from hypothesis import given, settings

    from ..strategies import payloads

    @settings(max_examples=max(1, settings().max_examples // RUN_COST), deadline=None, database=None)
    @given(payloads(schema, values=values))
    def each(payload: Mapping[str, Any]) -> None:
        check(payload)

    each()


def assert_on_class(target: object, hooks: Collection[str]) -> None:
    """Assert that none of the hooks is set on the object."""
    hidden = sorted(set(hooks) & getattr(target, "__dict__", {}).keys())
    assert not hidden, (
        f"{type(target).__name__} sets {', '.join(hidden)} on the object, where nothing calls it: "
        "hooks are methods of the class"
    )


def _open_objects(schema: Schema, where: str = "") -> Iterator[str]:
    for name, rules in schema.items():
        yield from _open_rules(rules, f"{where}{name}")


def _open_rules(rules: Any, where: str) -> Iterator[str]:
    types = rules.get("type", ())
    types = (types,) if isinstance(types, str) else tuple(types)
    if "dict" in types and not rules.keys() & {"schema", "keysrules", "valuesrules", "anyof", "allowed"}:
        yield where
    if "schema" in rules:
        yield from (
            _open_objects(rules["schema"], f"{where}.")
            if "dict" in types
            else _open_rules(rules["schema"], f"{where}[]")
        )
    for nested in ("valuesrules", "keysrules"):
        if nested in rules:
            yield from _open_rules(rules[nested], f"{where}.*")
    for several in ("items", "anyof"):
        for inner in rules.get(several, ()):
            yield from _open_rules(inner, where)
