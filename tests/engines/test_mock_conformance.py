"""The mock engine keeps all that the interface of engines promises."""

from typing import ClassVar

from stagecall.testing.engine_conformance import EngineConformance, MockRecipes


class TestMock(MockRecipes, EngineConformance):
    """The mock engine does everything."""


class TestMockOfTwo(MockRecipes, EngineConformance):
    """So does one that runs two sandboxes at once at most."""

    config: ClassVar = {"maxConcurrency": 2}
