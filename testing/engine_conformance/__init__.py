"""The conformance kit for engines: what the interface promises, as checks that every engine can be put through.

Subclass `EngineConformance` in a test module, override `engine_factory` and the recipes, and pytest collects the
checks. Each one makes a fresh engine, and fails too if anything is left of it afterwards: a process, an open file or
socket, a thread, a task of the loop, a file or folder.

>>> class TestTiny(EngineConformance):
...     capabilities = frozenset({"kill"})
...     def engine_factory(self, options): ...
...     def prints(self, text, success=True): ...
>>> sorted(TestTiny.flags.keys() - TestTiny.capabilities)
['archive', 'artifacts', 'displays', 'environment', 'odd_files', 'proxies', 'shells', 'volumes']
"""

from __future__ import annotations

from .artifacts import ArtifactChecks
from .commands import CommandRecipes
from .displays import DisplayChecks
from .ends import EndChecks
from .environment import EnvironmentChecks, LogChecks
from .mock import MockRecipes
from .proxies import ProxyChecks
from .races import RaceChecks
from .recipes import FILE_CONTENT, READY, EngineRecipes, Payload, ShellCommand
from .rig import Prepare, Rig, SandboxRun
from .rooms import RoomChecks
from .shells import ShellChecks
from .volumes import VolumeChecks

__all__ = [
    "FILE_CONTENT",
    "READY",
    "CommandRecipes",
    "EngineConformance",
    "EngineRecipes",
    "MockRecipes",
    "Payload",
    "Prepare",
    "Rig",
    "SandboxRun",
    "ShellCommand",
]


class EngineConformance(
    ArtifactChecks,
    EnvironmentChecks,
    LogChecks,
    ProxyChecks,
    VolumeChecks,
    ShellChecks,
    DisplayChecks,
    EndChecks,
    RaceChecks,
    RoomChecks,
    kit=True,
):
    """All that the interface of engines promises, checked on yours: see `EngineRecipes` for what it must be told."""
