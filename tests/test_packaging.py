"""What is installed is what is in the tree, complete and importable."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import stagecall

UNSHIPPED = {"tests", "docs", "examples", "bench", "news", "build", "dist"}
TEMPLATES = {".html", ".css", ".js", ".yml", ".yaml", ".json", ".jinja", ".typed"}

IMPORT_ALL = """
import importlib, pkgutil, sys, stagecall
for module in pkgutil.walk_packages(stagecall.__path__, "stagecall."):
    importlib.import_module(module.name)
for name in sorted(sys.modules):
    if name.partition(".")[0] == "stagecall":
        print(name, sys.modules[name].__file__)
"""

FIND_ALL = """
import importlib, sys
for target in sys.argv[1:]:
    module, _, name = target.partition(":")
    try:
        found = importlib.import_module(module)
        if name:
            getattr(found, name)
    except (ImportError, AttributeError) as error:
        print(target, error)
"""


@pytest.fixture(scope="module")
def setup_cfg(root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; built from a copy, since setuptools writes beside its sources."""
    copy = tmp_path_factory.mktemp("source") / "any name.1"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".?*", "build", "*.egg-info", "__pycache__"))
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(built), str(copy)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = built.glob("stagecall-*.whl")
    zipfile.ZipFile(archive).extractall(unpacked)
    return unpacked


def folders(root: Path) -> list[Path]:
    """The folders of the tree that could be shipped, relative to the root."""
    found = []
    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if name.isidentifier() and name != "__pycache__"]
        if Path(folder) == root:
            names[:] = sorted(set(names) - UNSHIPPED)
        found.append(Path(folder).relative_to(root))
    return found


def test_listed_packages_are_the_folders_that_are_packages(root, setup_cfg):
    """`packages` in setup.cfg names every folder that has an `__init__.py`, and no other."""
    listed = setup_cfg["options"]["packages"].split()

    in_tree = [
        ".".join(("stagecall", *folder.parts))
        for folder in folders(root)
        if (root / folder / "__init__.py").exists()
    ]

    assert listed == sorted(in_tree)


def test_every_folder_with_code_is_a_package(root):
    """A folder of modules without an `__init__.py` would not be shipped."""
    forgotten = [
        str(folder)
        for folder in folders(root)
        if list((root / folder).glob("*.py")) and not (root / folder / "__init__.py").exists()
    ]

    assert forgotten == []


def test_wheel_holds_every_file_of_the_packages(root, wheel):
    """Modules, `py.typed` and templates are in the wheel, and nothing else is."""
    in_tree = {
        str(file.relative_to(root))
        for folder in folders(root)
        for file in (root / folder).iterdir()
        if file.suffix == ".py" or (folder.parts and file.suffix in TEMPLATES) or file.name == "py.typed"
    }

    in_wheel = {
        str(file.relative_to(wheel / "stagecall"))
        for file in (wheel / "stagecall").rglob("*")
        if file.is_file()
    }

    assert in_wheel == in_tree
    assert "py.typed" in in_wheel


def test_every_module_of_the_wheel_can_be_imported(wheel, tmp_path):
    """Each shipped module imports from the wheel alone, far from the repository."""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    imported = {line.split(" ", 1)[1] for line in done.stdout.splitlines()}
    assert imported == {str(file) for file in (wheel / "stagecall").rglob("*.py")}


def test_entry_points_name_something_that_exists(wheel, setup_cfg):
    """Each command, engine and plugin of the metadata is a module that is shipped, or an object in one."""
    (metadata,) = wheel.glob("stagecall-*.dist-info")
    parser = configparser.ConfigParser()
    parser.read(metadata / "entry_points.txt", encoding="utf-8")
    targets = [target for group in parser.sections() for target in parser[group].values()]
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(
        [sys.executable, "-c", FIND_ALL, *targets],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert set(parser.sections()) == set(setup_cfg["options.entry_points"])
    assert (done.stdout, done.stderr) == ("", "")


def test_version_has_one_source(setup_cfg):
    """`stagecall.__version__` is the version of setup.cfg, read from the installed metadata."""
    assert stagecall.__version__ == setup_cfg["metadata"]["version"]


def test_makefile_installs_extras_that_exist(root, setup_cfg):
    """`make demo` and `make test` ask pip for extras of setup.cfg; pip only warns about an unknown one."""
    asked = {
        extra
        for extras in re.findall(r"'\.\[(.+?)\]'", (root / "Makefile").read_text())
        for extra in extras.split(",")
    }

    assert asked
    assert asked <= set(setup_cfg["options.extras_require"])
