"""What the author of an engine tells the kit: how to make the engine, what it offers, how tasks are written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import attrs

from ...engines.base import Engine, EngineOptions
from ..conformance import Conformance, skip_reason
from .rig import Rig, rig_of

Payload = Mapping[str, Any]
"""The engine's own properties of a task's payload."""

FILE_CONTENT = b"Hello World"
"""What is in every file that `writes_files` makes a task write."""


READY = "ready"
"""What a task that lasts writes first."""


@attrs.frozen
class ShellCommand:
    """A command for `new_shell`, what it writes, and the line on the default shell's stdin that does the same."""

    command: Sequence[str]
    line: bytes
    stdout: bytes
    stderr: bytes


class EngineRecipes(Conformance):
    """How the kit gets at an engine: `engine_factory`, and a recipe for each kind of task that it needs.

    A recipe returns a payload that satisfies the engine's own schema. One is needed only by the checks of what
    the engine can do; what is not in `capabilities` must be refused, which the kit checks too.
    """

    flags: ClassVar[Mapping[str, str]] = {
        "artifacts": "result sets have files and folders",
        "odd_files": "tasks can leave what is no plain file: fifos, sockets, symbolic links, files that are locked",
        "archive": "result sets have an archive of the whole sandbox",
        "environment": "tasks have environment variables",
        "kill": "a task can be ended with a result",
        "proxies": "tasks reach handlers through host names",
        "volumes": "tasks have volumes",
        "shells": "commands can be run beside a task",
        "displays": "a task has displays",
    }

    bound: ClassVar[float] = 30.0
    """For how many seconds a check may wait for the engine."""
    config: ClassVar[Mapping[str, Any]] = {}
    """What the engine is configured with: `EngineOptions.config`."""
    settling: ClassVar[float] = 5.0
    """For how many seconds what was ended may be seen: the kernel ends processes and sockets in its own time."""
    race_examples: ClassVar[int | None] = None
    """How many orders of wait, kill and abort are tried; by default as many as hypothesis is set to."""
    mountpoint: ClassVar[str] = "/volume"
    """Where volumes are mounted."""
    impossible_variables: ClassVar[Sequence[str]] = ("",)
    """Names that no environment variable of the engine can have."""
    shell: ClassVar[ShellCommand] = ShellCommand(
        ("/bin/sh", "-c", "printf 'Hello World'; printf 'No error!' >&2"),
        b"printf 'Hello World'; printf 'No error!' >&2\n",
        b"Hello World",
        b"No error!",
    )
    """A command that succeeds."""
    failing_shell: ClassVar[Sequence[str]] = ("/bin/sh", "-c", "exit 3")
    """A command that fails."""
    lasting_shell: ClassVar[Sequence[str]] = ("/bin/sh", "-c", "exec sleep 1000")
    """A command that goes on for minutes: it is aborted."""
    unknown_shell: ClassVar[Sequence[str]] = ("/no-such-command",)
    """A command that there is not."""

    def engine_factory(self, options: EngineOptions) -> Engine | Awaitable[Engine]:
        """Return a fresh engine, as its provider's `new_engine` does."""
        raise self._missing("engine_factory")

    def prints(self, text: str, success: bool = True) -> Payload:
        """Return the payload of a task that writes a line to its output, and then succeeds or fails."""
        raise self._missing("prints")

    def silent(self) -> Payload:
        """Return the payload of a task that writes nothing, and succeeds."""
        raise self._missing("silent")

    def lasts(self) -> Payload:
        """Return the payload of a task that writes the line READY to its output, and goes on for minutes.

        A task that can be asked to end, as by a signal, then ends at once and well: also so it has been killed.
        """
        raise self._missing("lasts")

    def writes_files(self, names: Sequence[str]) -> Payload:
        """Return the payload of a task that writes FILE_CONTENT to each of these files, and succeeds.

        The names are relative, with forward slashes; missing folders are made.
        """
        raise self._missing("writes_files")

    def writes_odd_files(self, kinds: Mapping[str, str]) -> Payload:
        """Return the payload of a task that leaves something of a kind under each of these names, and succeeds.

        A kind is `file` (with FILE_CONTENT), `fifo`, `socket`, `link` (symbolic, to a file that the host has) or
        `locked` (a file that its owner may not read). The names are as for `writes_files`.
        """
        raise self._missing("writes_odd_files")

    def prints_variable(self, name: str) -> Payload:
        """Return the payload of a task that writes the value of an environment variable as a line to its output.

        It fails if there is no such variable.
        """
        raise self._missing("prints_variable")

    def fetches(self, url: str) -> Payload:
        """Return the payload of a task that gets a URL and copies the answer to its output as it comes.

        It fails unless the status is 2xx.
        """
        raise self._missing("fetches")

    def writes_volume(self, name: str, text: str) -> Payload:
        """Return the payload of a task that writes a text to the file `<mountpoint>/<name>`, or fails."""
        raise self._missing("writes_volume")

    def reads_volume(self, name: str) -> Payload:
        """Return the payload of a task that copies the file `<mountpoint>/<name>` to its output, or fails."""
        raise self._missing("reads_volume")

    def rig(self) -> AbstractAsyncContextManager[Rig]:
        """A fresh engine in surroundings of its own, of which nothing may be left afterwards.

        Raises: AssertionError if the engine hangs, LeakError if it leaves something behind.
        """
        return rig_of(self)

    def drive(self, check: Coroutine[Any, Any, None]) -> None:
        """Run a check to its end, on a loop of its own; each rig that it makes is bounded by itself."""
        asyncio.run(check)

    @classmethod
    def failures(cls, checks: Iterable[str] | None = None) -> dict[str, Exception]:
        """Run checks without pytest, all by default; return those that the engine fails, each with its error.

        Those that need what is not in `capabilities` are left out. Not for use beside a running loop.
        """
        failed: dict[str, Exception] = {}
        for check in sorted(cls.kit_checks) if checks is None else checks:
            if skip_reason(cls, check) is None:
                try:
                    getattr(cls(), check)()
                except Exception as error:
                    failed[check] = error
        return failed

    def _missing(self, recipe: str) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no `{recipe}`: override it, "
            "or leave what needs it out of `capabilities`"
        )
