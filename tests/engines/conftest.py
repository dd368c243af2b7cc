"""What tests of engines that start processes may use."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from stagecall.engines.process.config import ContainmentKind

from .process_support import House, alive, no_cgroup

MakeHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def make_house(tmp_path) -> AsyncIterator[MakeHouse]:
    """`await make_house(containment, **config)` is an engine; at the end nothing that it ran may be alive."""
    houses: list[House] = []

    async def make(containment: ContainmentKind = ContainmentKind.NONE, **config) -> House:
        if containment is ContainmentKind.CGROUP and (reason := await no_cgroup()):
            pytest.skip(reason)
        folder = tmp_path / f"house-{len(houses)}"
        folder.mkdir()
        house = await House.make(folder, {"containment": containment.value, **config})
        houses.append(house)
        return house

    yield make
    for house in houses:
        await house.close()
    assert alive(tmp_path) == []
