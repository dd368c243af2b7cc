"""Runs in a process of its own, above a command and below the worker, and adopts what the command orphans.

Called with a descriptor and the words of a command. Writes to the descriptor a line with the command's
number, and when that has ended a line with its wait status and 1 if other processes are left, else 0. Then it
waits for those, and exits with 0 once there is none: which proves that nothing is left.
"""

import contextlib
import ctypes
import os
import sys

_PR_SET_CHILD_SUBREAPER = 36

_IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ, which the command is to get as usual; the import of `signal` takes too long."""


def main() -> None:
    """Start the command and outlive it."""
    status = int(sys.argv[1])
    os.set_inheritable(status, False)
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("stagecall: this kernel lets no process adopt orphans")
    words = sys.argv[2:]
    command = os.posix_spawn(words[0], words, _environment(), setsid=True, setsigdef=_IGNORED_BY_PYTHON)
    _let_go_of_streams()
    _report(status, str(command))
    ended = _wait_for(command)
    _report(status, f"{ended} {int(_others_left())}")
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _environment() -> dict[bytes, bytes]:
    """Return the environment as it was given: in some locales Python adds a variable to `os.environ`."""
    with open("/proc/self/environ", "rb") as file:
        entries = file.read().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


def _let_go_of_streams() -> None:
    """Hold neither the command's stdin open nor its output."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _report(status: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker is gone, or has stopped to listen
        os.write(status, f"{text}\n".encode())


def _wait_for(command: int) -> int:
    """Reap orphans until the command has ended; return its wait status."""
    while True:
        pid, ended = os.wait()
        if pid == command:
            return ended


def _others_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
    os._exit(0)
