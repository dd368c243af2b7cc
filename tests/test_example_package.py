"""The example package is what an author may copy: it installs by itself, and its tests pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stagecall.testing.plugin_conformance import PluginConformance

EXAMPLE = Path("examples", "thirdparty_plugin")
PAGE = Path("docs", "testing-your-plugin.md")


@pytest.fixture(scope="module")
def copied(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package in a folder of its own, as setuptools writes beside its sources."""
    copy = tmp_path_factory.mktemp("author") / "checksums"
    shutil.copytree(root / EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    return copy


@pytest.fixture(scope="module")
def installed(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, apart from everything else, and without any network."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(target), str(copied)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_tests_of_the_example_pass(copied, installed):
    """The author runs `pytest`: the package is found by its entry point, and passes the kit and its own tests."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))
    } | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=copied,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed, \d+ skipped in ", done.stdout, re.MULTILINE), done.stdout


def test_page_shows_the_package_as_it_is(root):
    """Every file of the package that docs/testing-your-plugin.md shows is shown as it is in the package."""
    text = (root / PAGE).read_text(encoding="utf-8")

    shown = re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    assert shown
    changed = [
        name for name, part in shown if part not in (root / EXAMPLE / name).read_text(encoding="utf-8")
    ]
    assert changed == []


def test_page_lists_every_check(root):
    """The table of docs/testing-your-plugin.md has a row for each check of the kit, and no other."""
    text = (root / PAGE).read_text(encoding="utf-8")

    listed = re.findall(r"^\| `(test_\w+)` \|", text, re.MULTILINE)

    assert sorted(listed) == sorted(PluginConformance.kit_checks)
