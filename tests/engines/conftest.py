"""What tests of engines that start processes may use."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from stagecall.engines.process.config import ContainmentKind

from .process_support import House, alive, no_cgroup, until

MakeHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def make_house(tmp_path) -> AsyncIterator[MakeHouse]:
    """`await make_house(containment, **config)` is an engine; at the end nothing that it ran may be alive."""
    houses: list[House] = []
    kinds: set[ContainmentKind] = set()

    async def make(containment: ContainmentKind = ContainmentKind.NONE, **config) -> House:
        if containment is ContainmentKind.CGROUP and (reason := await no_cgroup()):
            pytest.skip(reason)
        folder = tmp_path / f"house-{len(houses)}"
        folder.mkdir()
        house = await House.make(folder, {"containment": containment.value, **config})
        houses.append(house)
        kinds.add(containment)
        return house

    yield make
    for house in houses:
        await house.close()
    if ContainmentKind.NONE in kinds:  # the kernel ends a process group in its own time
        await until(lambda: not alive(tmp_path), "the end of the process group")
    assert alive(tmp_path) == []
