"""`python bench`: measure every row, or those named with `--only`; see README.md.

This file is run as a program, from whatever folder. So it first makes the folder it lies in the package `bench`,
without putting that or the repository on the module path, where they would give modules second names.
"""

import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent


def make_package() -> None:
    """Let `import bench.x` find the modules of this folder, and plain `import x` no longer."""
    package = ModuleType("bench", "Measures what the design promises about speed and size.")
    package.__path__ = [str(FOLDER)]
    sys.modules["bench"] = package
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != FOLDER]


if __name__ == "__main__":
    make_package()
    from bench.program import main

    sys.exit(main(sys.argv[1:]))
