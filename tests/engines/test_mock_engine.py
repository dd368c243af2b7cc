"""The mock engine: its schemas, its limit, its page."""

import pytest

from stagecall.engines.base import Capabilities, VolumeOptions
from stagecall.engines.errors import MaxConcurrencyExceededError
from stagecall.engines.mock import FUNCTIONS, MockEngine, Payload, provider
from stagecall.engines.registry import ENGINES
from stagecall.lifecycle.errors import MalformedPayloadError
from stagecall.specs.schemas import MergedSchema

from .mock_support import House


def test_functions_are_those_of_the_payload_page():
    """Every function that a payload may name is there, and the engine's page explains it."""
    page = MockEngine.__doc__ or ""

    assert set(FUNCTIONS) == {
        "true",
        "false",
        "write-volume",
        "read-volume",
        "get-url",
        "ping-proxy",
        "write-log",
        "write-error-log",
        "write-log-sleep",
        "write-files",
        "write-odd-files",
        "print-env-var",
        "malformed-payload-initial",
        "malformed-payload-after-start",
        "fatal-internal-error",
        "nonfatal-internal-error",
        "stopNow-sleep",
    }
    assert [function for function in FUNCTIONS if f"`{function}`" not in page] == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"delay": 0, "function": "true", "argument": ""},
        {"delay": 300_000, "function": "stopNow-sleep", "argument": "x" * 255},
    ],
)
async def test_sound_payloads_are_accepted(tmp_path, payload):
    """Every property is optional, and the bounds belong to what is allowed."""
    schema = MergedSchema.merge({"engine mock": House(tmp_path).engine.payload_schema()})

    assert list(schema.violations(payload)) == []


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"delay": -1}, "payload.delay"),
        ({"delay": 300_001}, "payload.delay"),
        ({"delay": 1.5}, "payload.delay"),
        ({"delay": True}, "payload.delay"),
        ({"function": "set-volume"}, "payload.function"),
        ({"argument": "x" * 256}, "payload.argument"),
        ({"argument": 1}, "payload.argument"),
        ({"arguments": ""}, "payload.arguments"),
    ],
)
async def test_unsound_payloads_are_refused(tmp_path, payload, path):
    """What is out of bounds, of another type or unknown is a violation at its path."""
    schema = MergedSchema.merge({"engine mock": House(tmp_path).engine.payload_schema()})

    assert [violation.path for violation in schema.violations(payload)] == [path]


def test_payload_has_the_defaults_that_the_schema_documents(tmp_path):
    """A payload without a property gets the default of its documentation."""
    schema = House(tmp_path).engine.payload_schema()

    assert Payload() == Payload(**{name: rules["meta"]["default"] for name, rules in schema.items()})


@pytest.mark.parametrize(
    ("config", "paths"),
    [({}, []), ({"maxConcurrency": 1}, []), ({"maxConcurrency": 0}, ["config.maxConcurrency"])],
)
def test_configuration_is_checked(config, paths):
    """`maxConcurrency` is optional and at least 1."""
    schema = MergedSchema.merge({"engine mock": provider.config_schema()})

    assert [violation.path for violation in schema.violations(config, root="config")] == paths


def test_provider_is_found_by_its_name():
    """The entry point `mock` leads to the provider."""
    assert ENGINES["mock"] is provider


async def test_volumes_take_no_options(tmp_path):
    """There is nothing to choose about a volume in memory."""
    engine = House(tmp_path).engine

    assert engine.volume_schema() == {}
    assert (await engine.new_volume(VolumeOptions())).entries == {}


async def test_malformed_initial_payload_gets_no_builder(tmp_path):
    """The argument is the message of the error, and no place is taken."""
    house = House(tmp_path, {"maxConcurrency": 1})

    with pytest.raises(MalformedPayloadError) as caught:
        await house.builder(function="malformed-payload-initial", argument="no such thing", delay=1)

    assert caught.value.messages == ("no such thing",)
    await house.builder()


async def test_capabilities_tell_the_limit(tmp_path):
    """The configured limit is a capability; without one there is none."""
    assert House(tmp_path).engine.capabilities() == Capabilities(None)
    assert House(tmp_path, {"maxConcurrency": 3}).engine.capabilities() == Capabilities(3)


async def end_by_itself(house, builder):
    await (await builder.start_sandbox()).wait_for_result()


async def end_killed(house, builder):
    await (await builder.start_sandbox()).kill()


async def end_aborted(house, builder):
    await (await builder.start_sandbox()).abort()


async def end_discarded(house, builder):
    await builder.discard()


@pytest.mark.parametrize("end", [end_by_itself, end_killed, end_aborted, end_discarded])
async def test_one_more_than_the_limit_has_to_wait_for_an_end(tmp_path, end):
    """A builder takes a place until its sandbox has ended, however that comes about, or it is discarded."""
    house = House(tmp_path, {"maxConcurrency": 2})
    first, _second = await house.builder(), await house.builder()

    with pytest.raises(MaxConcurrencyExceededError) as caught:
        await house.builder()
    await end(house, first)
    await house.builder()

    assert caught.value.limit == 2
    with pytest.raises(MaxConcurrencyExceededError):
        await house.builder()
