"""Recipes for engines whose tasks are commands of a POSIX system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .recipes import FILE_CONTENT, READY, EngineRecipes, Payload

_WRITE = f"""\
for name in "$@"; do
  case $name in */*) mkdir -p "${{name%/*}}" ;; esac
  printf '%s' '{FILE_CONTENT.decode()}' >"$name"
done
"""

_BIND = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"

_WRITE_ODD = f"""\
set -e
while [ $# -gt 0 ]; do
  case $2 in */*) mkdir -p "${{2%/*}}" ;; esac
  case $1 in
    fifo) mkfifo "$2" ;;
    socket) python3 -c '{_BIND}' "$2" ;;
    link) ln -s /etc/passwd "$2" ;;
    *) printf '%s' '{FILE_CONTENT.decode()}' >"$2" ;;
  esac
  case $1 in locked) chmod 0 "$2" ;; esac
  shift 2
done
"""


class CommandRecipes(EngineRecipes):
    """Writes the tasks as shell scripts: `runs` is then the one recipe that is left to write.

    Put it before the kit: `class TestMine(CommandRecipes, EngineConformance)`. Requests and volumes depend on
    what a sandbox has inside; their recipes stay to be written where the engine offers them.
    """

    def runs(self, command: Sequence[str]) -> Payload:
        """Return the payload of a task that runs a command, given as words, and succeeds if it exits with 0."""
        raise self._missing("runs")

    def prints(self, text: str, success: bool = True) -> Payload:
        """Return the payload of a task that writes a line, and then succeeds or fails."""
        return self._script("printf '%s\\n' \"$1\"; exit $2", text, "0" if success else "1")

    def silent(self) -> Payload:
        """Return the payload of a task that writes nothing, and succeeds."""
        return self._script(":")

    def lasts(self) -> Payload:
        """Return the payload of a task that goes on for minutes, or ends well on SIGTERM."""
        return self._script(f"trap 'kill $!; exit 0' TERM; echo {READY}; sleep 1000 & wait $!")

    def writes_files(self, names: Sequence[str]) -> Payload:
        """Return the payload of a task that writes files below its working folder."""
        return self._script(_WRITE, *names)

    def writes_odd_files(self, kinds: Mapping[str, str]) -> Payload:
        """Return the payload of a task that leaves what may be no plain file; for sockets it needs `python3`."""
        return self._script(_WRITE_ODD, *(word for name, kind in kinds.items() for word in (kind, name)))

    def prints_variable(self, name: str) -> Payload:
        """Return the payload of a task that writes the value of an environment variable, or fails."""
        return self._script('exec printenv "$1"', name)

    def _script(self, script: str, *arguments: str) -> Payload:
        return self.runs(["/bin/sh", "-c", script, "sh", *arguments])
