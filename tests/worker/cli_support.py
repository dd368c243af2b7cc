"""The command in a process of its own: beside pipes, or in a terminal whose screen a test can look at."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

BOUND = 60.0
"""Seconds after which a test gives up on what it waits for."""

COMMAND = [sys.executable, "-m", "stagecall"]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a person at a terminal that knows colours, wherever the tests run."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    return {**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **changes}


@attrs.frozen
class Done:
    """How the command ended."""

    code: int
    out: str
    err: str


def stagecall(*arguments: str, cwd: Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment() if env is None else env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@attrs.define
class Terminal:
    """A command in a terminal: what it printed, and what that looks like."""

    process: subprocess.Popen[bytes]
    master: int
    columns: int
    output: bytes = b""

    def read_until(self, arrived: Callable[["Terminal"], bool]) -> None:
        """Read what the command prints until `arrived`, or fail."""
        end = time.monotonic() + BOUND
        while not arrived(self):
            assert time.monotonic() < end, f"waited in vain; the screen is {self.screen}"
            if not self._read(0.05) and self.process.poll() is not None and not self._read(0.5):
                assert arrived(self), f"the command has ended; the screen is {self.screen}"

    def _read(self, seconds: float) -> bool:
        readable, _, _ = select.select([self.master], [], [], seconds)
        try:
            data = os.read(self.master, 65536) if readable else b""
        except OSError:  # the last process that had the terminal open is gone
            data = b""
        self.output += data
        return bool(data)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        self.read_until(lambda _: self.process.poll() is not None)
        while self._read(0.2):
            pass
        return self.process.wait(BOUND)

    @property
    def screen(self) -> list[str]:
        """The lines as they stand, without colours; scrolled off ones included."""
        return picture(self.output.decode("utf-8", "replace"))

    def shows(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.screen)


@contextmanager
def terminal(
    *arguments: str, cwd: Path, columns: int = 100, rows: int = 30, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run the command in a terminal of its own; Ctrl-C typed into it reaches the command."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *COMMAND, *arguments],
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master, columns)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)


_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the controlling one of the new session, and becomes the command."""


def picture(text: str) -> list[str]:
    """Return what a terminal shows of `text`; sequences that the command may not use are refused."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;:]*[A-Za-z]|[^\x1b]|\x1b", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
        elif part == "\x1b[J":
            lines = [*lines[:row], lines[row][:column]]
        elif re.fullmatch(r"\x1b\[[0-9;:]*m", part):
            continue
        else:
            assert part.isprintable() or part == "\t", f"the terminal got {part!r}"
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
            column += 1
    return lines
