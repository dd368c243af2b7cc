"""The engine `process` keeps what the interface of engines promises, under each containment that can be had."""

import os
from typing import ClassVar

import pytest

from stagecall.engines.process import provider
from stagecall.testing.engine_conformance import CommandRecipes, EngineConformance

from .process_support import no_cgroup

ORDERS = 60 if os.environ.get("STAGECALL_CI") else 8
"""How many orders of wait, kill and abort are tried: each starts a process."""


class TestProcessInGroup(CommandRecipes, EngineConformance):
    """Tasks are processes of the host, which sees neither volumes nor proxies nor displays of theirs."""

    capabilities = EngineConformance.capabilities - {"proxies", "volumes", "displays"}
    config: ClassVar = {"containment": "none", "killGrace": 5}
    impossible_variables = ("", "two words", "1st", "a=b", "STAGECALL_X")
    race_examples = ORDERS

    def engine_factory(self, options):
        return provider.new_engine(options)

    def runs(self, command):
        return {"command": list(command)}


class TestProcessMarked(TestProcessInGroup):
    """Supervised, and found by their marker."""

    config: ClassVar = {"containment": "marker", "killGrace": 5}


class TestProcessInCgroup(TestProcessInGroup):
    """In a control group, where the host allows to make one."""

    config: ClassVar = {"containment": "cgroup", "killGrace": 5}

    async def engine_factory(self, options):
        if reason := await no_cgroup():
            pytest.skip(reason)
        return await provider.new_engine(options)
