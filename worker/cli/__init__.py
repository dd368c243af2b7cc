"""The command `stagecall`: runs tasks, draws and checks lifecycles and runs, lists engines and plugins.

Only this package imports click and rich, which the extra `worker` installs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `arguments` are those of the process by default."""
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # while modules were imported: later `guarded` takes it
        print("stagecall: interrupted", file=sys.stderr)
        return 4


def _main(arguments: Sequence[str]) -> int:
    for module in ("click", "rich"):
        try:
            import_module(module)
        except ModuleNotFoundError:
            print(
                f"stagecall: the command line needs {module}: pip install 'stagecall[worker]'",
                file=sys.stderr,
            )
            return 2
    from .app import run_command

    return run_command(arguments)
