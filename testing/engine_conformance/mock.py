"""Recipes for the mock engine, which does everything: an example, and what the broken engines are based on."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import ClassVar

from ...engines.base import Engine, EngineOptions
from ...engines.mock import provider
from .recipes import READY, EngineRecipes, Payload, ShellCommand

BRIEFLY = 1
"""In milliseconds: a task without any delay ends in the very moment in which somebody waits for it."""


class MockRecipes(EngineRecipes):
    """Put it before the kit: `class TestMock(MockRecipes, EngineConformance)`."""

    shell: ClassVar[ShellCommand] = ShellCommand(
        ("print-hello",), b"print-hello\n", b"Hello World", b"No error!"
    )
    failing_shell: ClassVar[Sequence[str]] = ("exit-false",)
    lasting_shell: ClassVar[Sequence[str]] = ("sleep", "300")
    impossible_variables: ClassVar[Sequence[str]] = ("", "two words")

    def engine_factory(self, options: EngineOptions) -> Engine | Awaitable[Engine]:
        """Return a mock engine."""
        return provider.new_engine(options)

    def prints(self, text: str, success: bool = True) -> Payload:
        """Return the payload of a task that writes a line; one that fails writes it as an error."""
        function = "write-log" if success else "write-error-log"
        return {"function": function, "argument": text, "delay": BRIEFLY}

    def silent(self) -> Payload:
        """Return the payload of a task that does nothing."""
        return {"function": "true", "delay": BRIEFLY}

    def lasts(self) -> Payload:
        """Return the payload of a task that takes five minutes."""
        return {"function": "write-log-sleep", "argument": READY, "delay": 300_000}

    def writes_files(self, names: Sequence[str]) -> Payload:
        """Return the payload of a task that writes files."""
        return {"function": "write-files", "argument": " ".join(names)}

    def writes_odd_files(self, kinds: Mapping[str, str]) -> Payload:
        """Return the payload of a task that leaves what may be no plain file."""
        words = (f"{kind}:{name}" for name, kind in kinds.items())
        return {"function": "write-odd-files", "argument": " ".join(words)}

    def prints_variable(self, name: str) -> Payload:
        """Return the payload of a task that writes the value of a variable."""
        return {"function": "print-env-var", "argument": name}

    def fetches(self, url: str) -> Payload:
        """Return the payload of a task that asks a proxy."""
        return {"function": "ping-proxy", "argument": url}

    def writes_volume(self, name: str, text: str) -> Payload:
        """Return the payload of a task that writes to a volume."""
        return {"function": "write-volume", "argument": f"{self.mountpoint}/{name}:{text}"}

    def reads_volume(self, name: str) -> Payload:
        """Return the payload of a task that reads from a volume."""
        return {"function": "read-volume", "argument": f"{self.mountpoint}/{name}"}
