"""Every example that a reader can copy is run: docstrings of the package, README and docs."""

import contextlib
import doctest
import importlib
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagecall.engines.registry import ENGINES
from stagecall.plugins.registry import PLUGINS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(autouse=True)
def reader_folder(tmp_path, monkeypatch):
    """Examples run where a reader has `examples/`, with the package in it installed, and leave nothing behind."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "thirdparty_plugin" / "src")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What an example registers is known to that example only."""
    for registry in (ENGINES, PLUGINS):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def main_module(monkeypatch) -> types.ModuleType:
    """A fresh `__main__`, so that an example behaves as the script or the session it would be."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def python_blocks(text: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks of Python of a page, each with the number of its first line, counted from 0."""
    inside, start, block = "", 0, ""
    for number, line in enumerate(text.splitlines(keepends=True)):
        if not line.startswith("```"):
            block += line
        elif inside:
            if inside == "python":
                yield start, block
            inside = ""
        else:
            inside, start, block = line.strip("` \n") or "text", number + 1, ""


def run_session(block: str, namespace: dict[str, object], page: str, line: int) -> str:
    """Run a block of `>>>` lines in the namespace; return what differed, or an empty text."""
    session = doctest.DocTestParser().get_doctest(block, namespace, page, page, line)
    report = io.StringIO()
    doctest.DocTestRunner(optionflags=FLAGS).run(session, out=report.write, clear_globs=False)
    namespace.update(session.globs)  # what one session makes the next may use
    return report.getvalue()


def test_docstring_examples_give_what_they_show(shipped_module):
    """The examples in a module's docstrings print what stands below them."""
    module = importlib.import_module(shipped_module)

    with contextlib.redirect_stdout(io.StringIO()) as report:
        results = doctest.testmod(module, optionflags=FLAGS)

    assert results.failed == 0, report.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_examples_run_in_order(page, main_module):
    """The Python blocks of a page run as one program; those with `>>>` print what they show."""
    namespace = vars(main_module)

    differences = []
    for line, block in python_blocks(page.read_text(encoding="utf-8")):
        if block.startswith(">>>"):
            differences.append(run_session(block, namespace, page.name, line))
        else:
            exec(compile("\n" * line + block, page, "exec"), namespace)

    assert "".join(differences) == ""


def test_stale_session_is_reported():
    """A `>>>` example that prints something else than it shows is a difference, found in the page's line."""
    difference = run_session(">>> 1 + 1\n3\n", {}, "page.md", 41)

    assert "line 42" in difference
    assert "Expected:\n    3\nGot:\n    2\n" in difference


def test_blocks_of_other_languages_are_not_python():
    """Only blocks fenced as `python` are run."""
    text = "```python\na = 1\n```\n```console\n$ rm x\n```\n```\nplain\n```\n```python\nb = 2\n```\n"

    assert list(python_blocks(text)) == [(1, "a = 1\n"), (10, "b = 2\n")]
