"""What the engine kit tells whoever uses it: of engines that hang or leave something, of recipes that are wrong."""

import asyncio
import os
import tempfile

import pytest

from stagecall.engines.mock import MockEngine
from stagecall.lifecycle.leaks import LeakError
from stagecall.testing.conformance import skip_reason
from stagecall.testing.engine_conformance import CommandRecipes, EngineConformance, MockRecipes
from stagecall.testing.engine_conformance.expect import expect_error, read_at_least


class MockKit(MockRecipes, EngineConformance):
    """The kit on the mock engine; not collected, as it is no `Test...`."""


async def test_engine_that_hangs_is_told(monkeypatch):
    """A check that takes too long is ended, and says that it was."""
    monkeypatch.setattr(MockKit, "bound", 0.05)

    with pytest.raises(AssertionError) as caught:
        async with MockKit().rig() as rig:
            await rig.finish(MockKit().lasts())

    assert str(caught.value) == "the engine hangs: a check took longer than 0.05 s"


async def test_engine_that_hangs_in_the_end_is_told(monkeypatch):
    """So is one whose own end takes too long."""

    async def forever(self):
        await asyncio.Event().wait()

    monkeypatch.setattr(MockKit, "bound", 0.05)
    monkeypatch.setattr(MockEngine, "dispose", forever)

    with pytest.raises(
        AssertionError, match=r"the engine hangs: ending a sandbox or the engine took longer than 0\.05 s"
    ):
        async with MockKit().rig():
            pass


async def test_timeout_of_the_engine_is_no_hang():
    """An engine's own TimeoutError is what it is."""
    with pytest.raises(TimeoutError, match="the host does not answer"):
        async with MockKit().rig():
            raise TimeoutError("the host does not answer")


async def test_what_is_left_is_named(monkeypatch):
    """Each thing that an engine leaves behind is named, its temporary files and those of its runs included."""
    monkeypatch.setattr(MockKit, "settling", 0.01)
    pipe: list[int] = []

    async def leave_things():
        async with MockKit().rig() as rig:
            pipe.extend(os.pipe())
            os.close(tempfile.mkstemp(prefix="forgotten-")[0])
            rig.environment.temporary_folder("neglected-")

    with pytest.raises(LeakError) as caught:
        await leave_things()

    for end in pipe:
        os.close(end)
    told = str(caught.value)
    assert told.count("pipe:") == 2
    assert "forgotten-" in told
    assert "neglected-" in told


async def test_first_error_counts(monkeypatch):
    """Where a check fails, its own error comes out, however badly what it left can be ended."""
    monkeypatch.setattr(MockKit, "settling", 0.01)

    async def fail():
        async with MockKit().rig() as rig:
            await rig.start(MockKit().lasts())
            rig.engine = None  # type: ignore[assignment]  # nobody can dispose it
            raise AssertionError("a promise was broken")

    with pytest.raises(AssertionError, match="a promise was broken"):
        await fail()


async def test_rig_goes_with_all_that_was_begun(tmp_path, monkeypatch):
    """Sandboxes that a check began are aborted, builders discarded, logs and folders removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with MockKit().rig() as rig:
        running = await rig.start(MockKit().lasts())
        await rig.build(MockKit().silent())
        running.context.log("something")

    assert list(tmp_path.iterdir()) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_recipe_that_breaks_the_schema_is_told():
    """A payload that the engine's own schema refuses is the recipe's fault, and the error names the property."""
    async with MockKit().rig() as rig:
        with pytest.raises(
            ValueError, match=r"a recipe's payload breaks .* payload\.functon: unknown property"
        ):
            await rig.build({"functon": "true"})


@pytest.mark.parametrize(
    "recipe",
    [
        lambda kit: kit.engine_factory(None),
        lambda kit: kit.prints("text"),
        lambda kit: kit.silent(),
        lambda kit: kit.lasts(),
        lambda kit: kit.writes_files(["a"]),
        lambda kit: kit.writes_odd_files({"a": "fifo"}),
        lambda kit: kit.prints_variable("A"),
        lambda kit: kit.fetches("http://proxy/"),
        lambda kit: kit.writes_volume("a", "text"),
        lambda kit: kit.reads_volume("a"),
    ],
)
def test_recipe_that_is_missing_is_named(recipe):
    """Whoever forgets a recipe is told which, and what can be done about it."""
    with pytest.raises(
        NotImplementedError,
        match=r"EngineConformance has no `\w+`: override it, or leave what needs it out of `capabilities`",
    ):
        recipe(EngineConformance())


def test_command_recipes_are_built_on_one():
    """With commands there is one recipe left to write, and the error names it."""
    with pytest.raises(NotImplementedError, match="`runs`"):
        CommandRecipes().prints("text")


def test_failures_leaves_out_what_is_skipped():
    """Without pytest too, checks of what an engine does not do are not run."""

    class WithoutProxies(MockKit):
        capabilities = EngineConformance.capabilities - {"proxies"}

    failures = WithoutProxies.failures(["test_proxy_ping", "test_not_supported", "test_log_hit"])

    assert skip_reason(WithoutProxies, "test_proxy_ping")
    assert {check: str(error).partition(":")[0] for check, error in failures.items()} == {
        "test_not_supported": "'proxies' is none of the engine's capabilities"
    }


def test_every_check_says_what_it_is_for():
    """The docstring of a check is the promise that it holds the engine to."""
    silent = [name for name, check in EngineConformance.kit_checks.items() if not check.__doc__]

    assert silent == []


async def test_expected_error_has_to_come():
    """No error, and one of another class, are told apart from the one that was promised."""

    async def returns():
        return 42

    async def raises():
        raise ValueError("something else")

    with pytest.raises(AssertionError, match="the rule: wanted KeyError, it returned 42"):
        await expect_error(KeyError, returns(), "the rule")
    with pytest.raises(
        AssertionError, match=r"the rule: wanted KeyError, it raised ValueError\('something else'\)"
    ):
        await expect_error(KeyError, raises(), "the rule")


async def test_stream_is_read_until_there_is_enough():
    """Reading stops at enough bytes, or at the end."""

    class Stream:
        def __init__(self):
            self.pieces = [b"ab", b"c", b"d", b""]

        async def read(self, limit=65536):
            return self.pieces.pop(0)

    assert await read_at_least(Stream(), 3) == b"abc"
    assert await read_at_least(Stream(), 9) == b"abcd"
