"""The engine `script` keeps what the interface of engines promises."""

import os
from typing import ClassVar

from stagecall.engines.script import provider
from stagecall.testing.engine_conformance import CommandRecipes, EngineConformance

from .process_support import PYTHON

RUNNER = """
import json, os, sys
command = json.load(sys.stdin)["words"]
os.makedirs("artifacts", exist_ok=True)
os.chdir("artifacts")
os.execvp(command[0], command)
"""
"""A script that runs whatever command the payload holds, where the files that it writes become artifacts."""


class TestScript(CommandRecipes, EngineConformance):
    """A script is a process of the host, with all that this brings; it gets its payload on stdin."""

    capabilities = EngineConformance.capabilities - {"proxies", "volumes", "displays"}
    config: ClassVar = {
        "command": [PYTHON, "-I", "-S", "-c", RUNNER],
        "schema": {"words": {"type": "list", "required": True, "schema": {"type": "string"}}},
        "containment": "none",
        "killGrace": 5,
    }
    impossible_variables = ("", "two words", "1st", "a=b", "STAGECALL_X")
    race_examples = 60 if os.environ.get("STAGECALL_CI") else 5

    def engine_factory(self, options):
        return provider.new_engine(options)

    def runs(self, command):
        return {"words": list(command)}
