"""Names that a mock sandbox builder takes, refuses, and takes only once."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.engines.base import Volume, VolumeOptions
from stagecall.engines.errors import NamingConflictError
from stagecall.engines.mock import MockVolume
from stagecall.lifecycle.errors import MalformedPayloadError

from .mock_support import House


async def handler(request):
    raise AssertionError("never called")


async def set_variable(builder, name):
    await builder.set_environment_variable(name, "value")


async def attach_volume(builder, name):
    await builder.attach_volume(name, MockVolume(), read_only=False)


async def attach_proxy(builder, name):
    await builder.attach_proxy(name, handler)


ATTACH = pytest.mark.parametrize("attach", [set_variable, attach_volume, attach_proxy])


@ATTACH
@pytest.mark.parametrize("name", ["bad d", " bad", "can't have space", ""])
async def test_names_with_spaces_are_malformed(tmp_path, attach, name):
    """The error quotes the name."""
    builder = await House(tmp_path).builder()

    with pytest.raises(MalformedPayloadError, match=re.escape(repr(name))):
        await attach(builder, name)


@ATTACH
async def test_second_use_of_a_name_is_a_conflict(tmp_path, attach):
    """The first use stands, and other names can still be used."""
    builder = await House(tmp_path).builder()
    await attach(builder, "name")

    with pytest.raises(NamingConflictError, match="'name' is taken already"):
        await attach(builder, "name")

    await attach(builder, "other")


async def test_names_of_different_kinds_do_not_conflict(tmp_path):
    """A variable, a mount point and a host may be called alike."""
    builder = await House(tmp_path).builder()

    for attach in (set_variable, attach_volume, attach_proxy):
        await attach(builder, "name")


@ATTACH
async def test_side_by_side_one_of_equal_names_wins(tmp_path, attach):
    """Of many uses of one name at the same time exactly one succeeds."""
    builder = await House(tmp_path).builder()

    results = await asyncio.gather(*(attach(builder, "name") for _ in range(5)), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), *[NamingConflictError] * 4]


async def test_first_value_of_a_variable_stands(tmp_path):
    """A refused second value changes nothing."""
    house = House(tmp_path)

    async def prepare(builder):
        await builder.set_environment_variable("NAME", "first")
        with pytest.raises(NamingConflictError):
            await builder.set_environment_variable("NAME", "second")

    result = await house.result(prepare, function="print-env-var", argument="NAME")

    assert (result.success, house.log()) == (True, "first\n")


@given(name=st.from_regex(r"[a-z]{3,22}", fullmatch=True))
def test_host_names_that_always_work_are_taken(tmp_path_factory, name):
    """Names matching `[a-z]{3,22}` are what every engine takes."""

    async def attach():
        await attach_proxy(await House(tmp_path_factory.getbasetemp()).builder(), name)

    asyncio.run(attach())


@pytest.mark.parametrize("name", ["ab", "a" * 23, "Proxy", "proxy.com", "proxy1", "proxy\n", "próxy"])
async def test_host_names_that_may_not_work_elsewhere_are_malformed(tmp_path, name):
    """A plugin that passes here passes with every engine."""
    builder = await House(tmp_path).builder()

    with pytest.raises(MalformedPayloadError, match=re.escape("[a-z]{3,22}")):
        await attach_proxy(builder, name)


async def test_volumes_of_other_engines_are_refused(tmp_path):
    """Handing over a volume of another engine is a plugin's defect."""

    class OtherVolume(Volume):
        async def dispose(self):
            pass

    builder = await House(tmp_path).builder()

    with pytest.raises(TypeError, match="not a OtherVolume"):
        await builder.attach_volume("there", OtherVolume(), read_only=True)


async def test_runs_share_nothing(tmp_path):
    """A name taken in one run is free in the next."""
    house = House(tmp_path)
    volume = await house.engine.new_volume(VolumeOptions())

    for _ in range(2):
        builder = await house.builder()
        await builder.attach_volume("there", volume, read_only=False)
        await set_variable(builder, "NAME")
