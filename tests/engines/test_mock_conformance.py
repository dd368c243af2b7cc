"""The mock engine keeps all that the interface of engines promises."""

import os
from typing import ClassVar

from stagecall.testing.engine_conformance import EngineConformance, MockRecipes

ORDERS = 300 if os.environ.get("STAGECALL_CI") else 60
"""How many orders of wait, kill and abort are tried."""


class TestMock(MockRecipes, EngineConformance):
    """The mock engine does everything."""

    race_examples = ORDERS


class TestMockOfTwo(MockRecipes, EngineConformance):
    """So does one that runs two sandboxes at once at most."""

    race_examples = ORDERS
    config: ClassVar = {"maxConcurrency": 2}
