"""`python bench`: measure every row, or those named with `--only`.

This file is run as a program, from whatever folder; so it first loads the folder it lies in as the package
`bench`, without putting the folder or the repository on the module path, where they would give modules second names.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def load_package() -> None:
    """Make `import bench` find this folder."""
    spec = spec_from_file_location("bench", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
    assert spec is not None
    assert spec.loader is not None
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != FOLDER]
    sys.modules["bench"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["bench"])


if __name__ == "__main__":
    load_package()
    from bench.program import main

    sys.exit(main(sys.argv[1:]))
