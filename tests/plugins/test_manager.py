"""The plugin manager: the order of its members, what configuration enables, and all of them as one plugin."""

import asyncio

import pytest

from stagecall.lifecycle.errors import ConfigurationError
from stagecall.plugins.base import EVERY_OTHER, Plugin, PluginOptions
from stagecall.plugins.manager import PluginManager, plugin_manager_config_schema
from stagecall.plugins.registry import plugins
from stagecall.specs.schemas import SchemaConflictError
from stagecall.testing.doubles import HookRecorder, ScriptedEngine, ScriptedPlugin, hooks
from stagecall.testing.virtual_time import virtual_time


def options(make_run, **config) -> PluginOptions:
    return PluginOptions(make_run.environment, ScriptedEngine(), make_run.monitor, config)


def after(manager: PluginManager) -> dict[str, set[str]]:
    return {member.name: set(member.after) for member in manager.members}


def test_after_reaches_through_others_and_ignores_absent_names():
    """A member comes after those it names and after those that they do, as far as they are there."""
    manager = PluginManager.of(
        [
            ScriptedPlugin("a"),
            ScriptedPlugin("b", after={"a", "absent"}),
            ScriptedPlugin("c", after={"b"}),
            ScriptedPlugin("d"),
        ]
    )

    assert after(manager) == {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": set()}


def test_every_other_means_those_that_do_not_come_later_themselves():
    """Who comes after every other one comes after all, those left out that come after it, directly or not."""
    manager = PluginManager.of(
        [
            ScriptedPlugin("a"),
            ScriptedPlugin("last", after=EVERY_OTHER),
            ScriptedPlugin("b", after={"a"}),
            ScriptedPlugin("later", after={"last"}),
            ScriptedPlugin("latest", after={"later"}),
        ]
    )

    assert after(manager) == {
        "a": set(),
        "last": {"a", "b"},
        "b": {"a"},
        "later": {"last", "a", "b"},
        "latest": {"later", "last", "a", "b"},
    }


def test_only_one_can_come_after_every_other():
    """Two that both want to come last are refused, with the names of both."""
    with pytest.raises(ConfigurationError, match=r"'one' comes after itself, through .*two"):
        PluginManager.of([ScriptedPlugin("one", after=EVERY_OTHER), ScriptedPlugin("two", after=EVERY_OTHER)])


def test_two_plugins_of_one_name_are_refused():
    """Names tell plugins apart in traces and errors, so they must differ; a mapping gives others."""
    with pytest.raises(
        ConfigurationError, match="two plugins are called 'one'; give one of them another name"
    ):
        PluginManager.of([ScriptedPlugin("one"), ScriptedPlugin("one")])

    manager = PluginManager.of({"one": ScriptedPlugin("one"), "two": ScriptedPlugin("one")})
    assert [member.name for member in manager.members] == ["one", "two"]


def test_manager_among_the_plugins_is_replaced_by_its_members():
    """Nesting changes nothing but how plugins are put together."""
    inner = PluginManager.of([ScriptedPlugin("b"), ScriptedPlugin("c")])

    manager = PluginManager.of([ScriptedPlugin("a"), inner, ScriptedPlugin("d")])

    assert [member.name for member in manager.members] == ["a", "b", "c", "d"]


async def test_configuration_enables_in_its_order(make_run):
    """An entry enables a plugin, null is an entry, and `disabled` names exceptions."""
    manager = await PluginManager.create(
        options(
            make_run, success=None, env={"extra": {"A": "1"}}, tasklog={}, disabled=["tasklog", "artifacts"]
        )
    )

    assert [member.name for member in manager.members] == ["success", "env"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sucess": {}}, "no plugin is called 'sucess'; did you mean 'success'?"),
        ({"success": {"strict": True}}, "plugins.success.strict: unknown property"),
        ({"env": {"extra": 5}}, "plugins.env.extra: must be an object, not a number"),
    ],
)
async def test_wrong_configuration_is_named_with_its_path(make_run, config, message):
    """The operator reads which plugin, which property, and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        await PluginManager.create(options(make_run, **config))

    assert str(caught.value).startswith(message)


def test_configuration_schema_has_every_plugin():
    """The `plugins` section knows every installed plugin, and `disabled`."""
    assert set(plugin_manager_config_schema()) == {"disabled", *plugins()}


def test_payload_schema_is_that_of_all_members():
    """Payload properties are merged; two plugins that disagree are both named."""
    one, two = (
        ScriptedPlugin("one", schema={"a": {"type": "string"}}),
        ScriptedPlugin("two", schema={"b": {"type": "float"}}),
    )
    other = ScriptedPlugin("other", schema={"a": {"type": "float"}})

    assert set(PluginManager.of([one, two]).payload_schema()) == {"a", "b"}
    with pytest.raises(
        SchemaConflictError, match='"a" is declared differently by plugin one and plugin other'
    ):
        PluginManager.of([one, other]).payload_schema()


class Nested(Plugin):
    """Puts a manager where a run cannot see its members."""

    def __init__(self, *members: Plugin) -> None:
        self.manager = PluginManager.of(members)

    def payload_schema(self):
        return self.manager.payload_schema()

    def new_task_plugin(self, options):
        return self.manager.new_task_plugin(options)


@virtual_time
async def test_as_one_plugin_it_calls_the_hooks_of_all(make_run):
    """Members of a manager that is used as a plugin get every hook, and their own part of the payload only."""
    recorder = HookRecorder()
    own = ScriptedPlugin("own", schema={"mine": {"type": "string"}})
    run = make_run(Nested(recorder, own, Plugin()), payload={"mine": "x", "engine": "y"}, exit_code=1)

    resolution = await run.wait()

    assert resolution.state == "failed"
    assert own.options[0].payload == {"mine": "x"}
    assert recorder.calls == [
        ("build_sandbox",),
        ("started",),
        ("stopped",),
        ("finished", False),
        ("dispose",),
    ]
    assert [call for call in hooks(run.trace) if call[0] != "-"] == [
        ("nested", hook, "ok")
        for hook in ("new_task_plugin", "build_sandbox", "started", "stopped", "finished", "dispose")
    ]


@virtual_time
async def test_as_one_plugin_it_isolates_its_members(make_run):
    """Members run side by side, in threads if they are plain `def`; one that fails, or exits, stops no other."""
    seen = []

    def exits(sandbox):
        raise SystemExit(3)

    async def slow(sandbox):
        await asyncio.sleep(10)
        seen.append("slow")

    def fails():
        raise OSError("cannot let go")

    run = make_run(
        Nested(
            ScriptedPlugin("a", started=exits, dispose=lambda: seen.append("dispose")),
            ScriptedPlugin("b", started=slow, dispose=fails),
        )
    )

    resolution = await run.wait()

    assert resolution.cause.startswith("started of plugin nested: SystemExit: 3")
    assert seen == ["slow", "dispose"]


@virtual_time
async def test_as_one_plugin_it_raises_several_errors_as_a_group(make_run):
    """Nothing that went wrong in a member is lost."""

    def fails(sandbox):
        raise OSError("first")

    async def fails_too(sandbox):
        raise KeyError("second")

    run = make_run(Nested(ScriptedPlugin("a", started=fails), ScriptedPlugin("b", started=fails_too)))

    resolution = await run.wait()

    assert "ExceptionGroup: several plugins failed (2 sub-exceptions)" in resolution.cause
    (failure,) = run.failures
    assert [type(error) for error in failure.error.exceptions] == [OSError, KeyError]


@virtual_time
async def test_as_one_plugin_it_takes_bools_only(make_run):
    """A member whose `stopped` returns no bool is a defect, as for the driver."""
    run = make_run(Nested(ScriptedPlugin("vague", stopped=lambda result_set: None)))

    resolution = await run.wait()

    assert "TypeError: stopped of plugin vague must return True or False, not None" in resolution.cause


@virtual_time
async def test_as_one_plugin_it_disposes_what_was_made_before_one_failed(make_run):
    """A member that cannot be made leaves none of the others behind."""
    seen = []

    def fails(options):
        raise OSError("no")

    run = make_run(
        Nested(
            ScriptedPlugin("a", dispose=lambda: seen.append("a")),
            ScriptedPlugin("b", dispose=lambda: seen.append("b")),
            ScriptedPlugin("c", new_task_plugin=fails),
        )
    )

    resolution = await run.wait()

    assert resolution.cause.startswith("new_task_plugin of plugin nested: OSError: no")
    assert seen == ["b", "a"]


async def test_members_are_told_and_disposed_each_whatever_the_others_do():
    """What goes wrong in one member keeps no other from hearing, and is raised in the end."""
    heard = []

    class Member(Plugin):
        def __init__(self, number: int, broken: bool) -> None:
            self.number, self.broken = number, broken

        @property
        def name(self) -> str:
            return f"member{self.number}"

        def report_idle(self, seconds: float) -> None:
            self.hear(seconds)

        async def dispose(self) -> None:
            self.hear("dispose")

        def hear(self, what: object) -> None:
            heard.append((self.number, what))
            if self.broken:
                raise OSError(self.name)

    manager = PluginManager.of([Member(1, True), Member(2, False), Plugin(), Member(3, True)])

    with pytest.raises(ExceptionGroup, match="several plugins failed"):
        await manager.report_idle(2.5)
    with pytest.raises(ExceptionGroup, match="several plugins failed"):
        await manager.dispose()
    await manager.report_non_fatal_error()

    assert sorted(heard[:3]) == [(1, 2.5), (2, 2.5), (3, 2.5)]
    assert heard[3:] == [(3, "dispose"), (2, "dispose"), (1, "dispose")]
