"""Imports run one way, every module has one name, and `import stagecall` stays light."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import stagecall

LAYERS = ["specs", "lifecycle", "engines", "plugins", "worker", "testing"]

HEAVY = {
    "aiohttp",
    "asyncio",
    "attrs",
    "cattrs",
    "cerberus",
    "click",
    "rich",
    "subprocess",
    "transitions",
    "yaml",
}

IMPORT_ALL = """
import importlib, pkgutil, sys, stagecall
for module in pkgutil.walk_packages(stagecall.__path__, "stagecall."):
    importlib.import_module(module.name)
"""

FILES = """
for name, module in sorted(sys.modules.items()):
    if file := getattr(module, "__file__", None):
        print(name, file)
"""


def imports(source: str, package: str) -> list[str]:
    """The absolute names that a module's imports may load, wherever in it they stand."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level + (node.module or "")
            home = importlib.util.resolve_name(dots, package) if node.level else dots
            names += [home, *(f"{home}.{alias.name}" for alias in node.names)]
    return names


def layer(module: str) -> int:
    """Where a module stands in the order of imports; the root, which has a name of each, is above all."""
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else len(LAYERS)


def package_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    return module if spec.submodule_search_locations is not None else module.rpartition(".")[0]


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def python_files(root: Path) -> list[Path]:
    """Every Python file of the repository, those beside the package too."""
    ours = [root / name for name in (*LAYERS, "tests", "docs", "examples", "bench")]
    return [*root.glob("*.py"), *(file for folder in ours for file in folder.rglob("*.py"))]


def run(code: str, *flags: str, cwd: Path | None = None) -> str:
    """What a fresh Python prints when it runs the code."""
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_run_one_way(shipped_module):
    """specs <- lifecycle <- engines <- plugins <- worker <- testing: no module imports from a later layer."""
    ours = [
        name
        for name in imports(source_of(shipped_module), package_of(shipped_module))
        if name.startswith("stagecall.")
    ]

    upwards = [name for name in ours if layer(name) > layer(shipped_module)]

    assert upwards == []


@pytest.mark.parametrize(
    ("source", "upwards"),
    [
        ("from ..worker import runtime", True),
        ("def f():\n    import stagecall.testing", True),
        ("from .. import plugins", True),
        ("from ..lifecycle.run import Run", False),
        ("from .base import Engine", False),
        ("from . import base", False),
    ],
)
def test_one_way_check_sees_every_form_of_import(source, upwards):
    """Imports of any form, at the top or in a function, are resolved to the modules they load."""
    names = imports(source, package="stagecall.engines")

    assert (
        any(layer(name) > layer("stagecall.engines.mock") for name in names if name.startswith("stagecall."))
        is upwards
    )


def test_every_layer_of_the_order_is_a_package():
    """A folder renamed without its layer would drop out of the check."""
    root = Path(stagecall.__file__).parent

    packages = {file.parent.name for file in root.glob("*/__init__.py")}

    assert packages == set(LAYERS)


def test_nobody_imports_a_module_under_a_second_name(root):
    """`import lifecycle` works from the root, and would give other classes than `stagecall.lifecycle`."""
    found = [
        f"{file.relative_to(root)}: {name}"
        for file in python_files(root)
        for name in imports(file.read_text(encoding="utf-8"), package="stagecall.any.where.at.all")
        if name.partition(".")[0] in LAYERS
    ]

    assert found == []


def test_package_imports_itself_relatively(shipped_module):
    """Code inside the package never spells `stagecall` in an import, so the tree works under any name."""
    nodes = ast.walk(ast.parse(source_of(shipped_module)))

    absolute = [
        ast.unparse(node)
        for node in nodes
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] == "stagecall"
        )
        or (
            isinstance(node, ast.Import)
            and any(alias.name.split(".")[0] == "stagecall" for alias in node.names)
        )
    ]

    assert absolute == []


def test_every_file_is_loaded_under_one_name(root):
    """No file is loaded twice, even from the very folder where a second name would work."""
    lines = run(IMPORT_ALL + FILES, cwd=root).splitlines()

    names: dict[str, list[str]] = {}
    for name, _, file in (line.partition(" ") for line in lines):
        names.setdefault(file, []).append(name)

    ours = {
        file: loaded
        for file, loaded in names.items()
        if file.startswith(f"{root}/") and not file.startswith(sys.prefix)
    }
    assert ours
    assert [
        loaded for loaded in ours.values() if len(loaded) > 1 or not f"{loaded[0]}.".startswith("stagecall.")
    ] == []


def test_pytest_loads_the_package_under_its_own_name(root):
    """The test runner too, whatever it collects, has every shipped module as `stagecall...` only."""
    shipped = {root / "__init__.py", *(file for name in LAYERS for file in (root / name).rglob("*.py"))}

    loaded = {
        name: file
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file) in shipped
    }

    assert "stagecall" in loaded
    assert [name for name in loaded if not f"{name}.".startswith("stagecall.")] == []


def test_importing_the_package_is_light():
    """`import stagecall` loads its own `__init__` and none of what only some of its names need."""
    code = "import sys; before = set(sys.modules); import stagecall; print(*(set(sys.modules) - before))"

    loaded = set(run(code, "-I").split())

    assert {name for name in loaded if name.startswith("stagecall")} == {"stagecall"}
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("module", ["testing", "testing.chaos", "testing.doubles", "testing.virtual_time"])
def test_what_ships_for_tests_needs_no_test_tool(module):
    """The package of test tools loads neither hypothesis nor pytest, which only some of its modules need."""
    code = f"import sys, stagecall.{module}; print(*sys.modules)"

    loaded = {name.partition(".")[0] for name in run(code, "-I").split()}

    assert loaded & {"hypothesis", "pytest", "_pytest"} == set()


def test_every_public_name_can_be_imported():
    """The lazy table leads to an object for each name of `__all__`, and the object's module agrees."""
    found = {name: getattr(stagecall, name) for name in stagecall.__all__}

    assert all(found.values())
    assert set(stagecall.__all__) <= set(dir(stagecall))


def test_lazy_names_are_the_typed_names(root):
    """The type checker sees the same names from the same modules as the lazy table gives."""
    tree = ast.parse((root / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))

    seen = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == stagecall._HOMES
    assert {*seen, "__version__"} == set(stagecall.__all__)


def test_unknown_name_is_an_attribute_error():
    """A misspelt name says so, and names the package."""
    misspelt = "run_tusk"

    with pytest.raises(AttributeError) as caught:
        getattr(stagecall, misspelt)

    assert str(caught.value) == "module 'stagecall' has no attribute 'run_tusk'"
