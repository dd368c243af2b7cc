"""Starts processes, directly or behind a gate: a shell that waits until everything was made ready.

The gate is the stdin of the shell, a trampoline. While it waits there the worker puts it into its control
group and limits it. A line then opens the gate, and the shell becomes the command. If the worker dies
instead, the shell comes to the end of its stdin and exits: no command ever runs uncontained.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ...lifecycle.errors import ExceptionReason, MalformedPayloadError, TaskExceptionError
from .environment import check_command, find_executable
from .limits import NO_LIMITS, Limits

SHELL = "/bin/sh"

_TRAMPOLINE = """\
read -r STAGECALL_GATE || exit 1
STAGECALL_INPUT=$1; shift
while [ "$1" != -- ]; do export "$1"; shift; done; shift
exec "$@"{}
"""

_EARLY = ("GLIBC_TUNABLES", "GCONV_PATH", "ENV", "BASH_ENV", "IFS", "PS4")
"""Variables that a shell or its loader obeys, beside those that begin with LD_."""
_NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@attrs.frozen
class Program:
    """What is to be run: `executable` is where `command[0]` was found, `folder` the working folder.

    stdin comes from the file `stdin`, from a pipe if that is None, or with a `terminal`, the path of a tty,
    from that.
    """

    command: tuple[str, ...]
    executable: str
    folder: str
    environment: Mapping[str, str]
    limits: Limits = NO_LIMITS
    stdin: str | None = os.devnull
    terminal: str | None = None

    @classmethod
    def of(
        cls,
        command: tuple[str, ...],
        folder: str,
        environment: Mapping[str, str],
        limits: Limits,
        stdin: str | None,
    ) -> Program:
        """Return a program once its executable was found. Raises: MalformedPayloadError."""
        executable = find_executable(command[0], folder, environment["PATH"])
        return cls(command, executable, folder, environment, limits, stdin)

    def instead(self, command: tuple[str, ...]) -> Program:
        """Return another command in the same place. Raises: MalformedPayloadError."""
        check_command(command)
        return self.of(command, self.folder, self.environment, self.limits, self.stdin)

    @property
    def piped(self) -> bool:
        """Whether stdin is a pipe."""
        return self.stdin is None and self.terminal is None


@attrs.frozen
class Outputs:
    """The descriptors that a program's output goes to; they stay the caller's."""

    stdout: int
    stderr: int


@attrs.define
class Started:
    """A process just started: `stdin` is its pipe's writing end, if it has one; a trampoline's gate."""

    pid: int
    stdin: int | None = None

    def open_gate(self, keep: bool) -> None:
        """Let the trampoline go on; `keep` the pipe as the program's stdin, or close it."""
        assert self.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile, which its exit tells
            os.write(self.stdin, b"\n")
        if not keep:
            self.close()

    def close(self) -> None:
        """Close the pipe; a trampoline whose gate was not opened exits."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None


@contextlib.contextmanager
def room_on_host() -> Iterator[None]:
    """Turn an OSError into a TaskExceptionError (resource-unavailable)."""
    try:
        yield
    except OSError as error:
        raise TaskExceptionError(
            ExceptionReason.RESOURCE_UNAVAILABLE, f"the host cannot start another process: {error}"
        ) from error


def start_directly(program: Program, outputs: Outputs) -> Started:
    """Start a program that needs neither gate nor terminal: the fastest way.

    Raises: MalformedPayloadError if it cannot be executed, OSError if the host has no room for it.
    """
    if program.stdin is None:
        return _with_pipe(lambda stdin: _execute(program, stdin, outputs))
    stdin = os.open(program.stdin, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Started(_execute(program, stdin, outputs))
    finally:
        os.close(stdin)


def start_gated(
    program: Program, outputs: Outputs, *, through: Sequence[str] = (), keep: Sequence[int] = ()
) -> Started:
    """Start a program that waits at its gate; `through` are the words of a command to start it by.

    That command gets the descriptors `keep` as well. Raises: MalformedPayloadError if the command is too
    long, OSError if the host has no room for it.
    """
    early, late = _split(program.environment)
    words = [*through, *_trampoline(program, late)]
    return _with_pipe(lambda stdin: _popen(words, words[0], program.folder, early, stdin, outputs, keep))


def _trampoline(program: Program, late: Mapping[str, str]) -> list[str]:
    if program.terminal is not None:
        # Opened by the leader of a session that has none, it becomes its controlling terminal.
        source, redirection = program.terminal, ' <>"$STAGECALL_INPUT"'
    elif program.stdin is not None:
        source, redirection = program.stdin, ' <"$STAGECALL_INPUT"'
    else:
        source, redirection = "", ""
    first, *others = program.command
    # The shell would take a leading dash for an option of `exec`.
    name = program.executable if first.startswith("-") else first
    exports = [f"{variable}={value}" for variable, value in late.items()]
    return [SHELL, "-c", _TRAMPOLINE.format(redirection), SHELL, source, *exports, "--", name, *others]


def _split(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Part the variables that a trampoline would obey itself: they must not act before the gate is open."""
    late = {name: value for name, value in environment.items() if name.startswith("LD_") or name in _EARLY}
    return {name: value for name, value in environment.items() if name not in late}, late


def _with_pipe(start: Callable[[int], int]) -> Started:
    read_end, write_end = os.pipe()
    try:
        return Started(start(read_end), write_end)
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)


def _execute(program: Program, stdin: int, outputs: Outputs) -> int:
    words: Sequence[str] = program.command
    try:
        return _popen(words, program.executable, program.folder, program.environment, stdin, outputs)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        if error.errno != errno.ENOEXEC:
            raise MalformedPayloadError(
                f"the command {words[0]!r} cannot be executed: {error.strerror}: {program.executable}"
            ) from error
    # A script without `#!` is one for the shell, as every shell has it.
    words = (SHELL, program.executable, *program.command[1:])
    return _popen(words, SHELL, program.folder, program.environment, stdin, outputs)


def _popen(
    words: Sequence[str],
    executable: str,
    folder: str,
    environment: Mapping[str, str],
    stdin: int,
    outputs: Outputs,
    keep: Sequence[int] = (),
) -> int:
    """Start a process that leads a session of its own; return its number.

    Popen does that by vfork, however big this process is, as long as it is given no preexec_fn.
    """
    try:
        process = subprocess.Popen(
            words,
            executable=executable,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=outputs.stdout,
            stderr=outputs.stderr,
            pass_fds=keep,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise MalformedPayloadError("the command and its environment are too long for this host") from error
    process.returncode = 0  # it is reaped by its number, not through this object
    return process.pid
