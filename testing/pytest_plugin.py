"""The pytest plugin, which every pytest session loads where stagecall is installed: so it imports next to nothing.

It looks after conformance kits (`conformance.py`): checks that need what a subject cannot do are skipped with the name
of the flag, a class that lost a check of its kit is not collected, departures are shown at the end of the report.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from .conformance import Conformance
    from .doubles import Bench

MARKER = "stagecall_conformance"
DEPARTURE = "stagecall_departure"
"""The name of the property by which reports carry departures, also from the processes of pytest-xdist."""

# What these assert is shown in full, as if it stood in the user's own test module.
pytest.register_assert_rewrite(
    "stagecall.testing.conformance",
    "stagecall.testing.engine_conformance",
    "stagecall.testing.plugin_conformance",
    "stagecall.testing.store_conformance",
)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and keep what is to be told at the end."""
    config.addinivalue_line("markers", f"{MARKER}: a check of one of stagecall's conformance kits")
    config.pluginmanager.register(Departures(), "stagecall-departures")


def pytest_report_header() -> str:
    """Return the line that says which stagecall the tests run with."""
    return f"stagecall: {version('stagecall')}"


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> None:
    """Refuse to collect a class that uses a kit and has lost some of its checks since it was made."""
    if (kit := kit_of(obj)) is not None and (wrong := _conformance().defects(kit)):
        raise collector.CollectError("; ".join(wrong))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the checks of a kit, and let their reports carry where their class departs from it."""
    if (kit := kit_of(getattr(item, "cls", None))) is None:
        return
    if _check(item) in kit.kit_checks:
        item.add_marker(MARKER)
    for check, why in kit.departures.items():
        item.user_properties.append((DEPARTURE, f"{kit.__name__} departs from {check}: {why}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a check that needs what its subject cannot do, before any fixture is made for it."""
    if (kit := kit_of(getattr(item, "cls", None))) is not None and (
        reason := _conformance().skip_reason(kit, _check(item))
    ):
        pytest.skip(reason)


class Departures:
    """Gathers the departures that reports carry, and shows each once at the end."""

    def __init__(self) -> None:
        self.told: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the departures of a report."""
        self.told.update((str(text), None) for name, text in report.user_properties if name == DEPARTURE)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show them."""
        if self.told:
            terminalreporter.section("departures from conformance kits")
            for text in sorted(self.told):
                terminalreporter.line(text)


@pytest.fixture
def stagecall_run_virtually() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """`stagecall_run_virtually(coroutine)` runs it on a loop whose timers take no time, and returns its result."""
    from .virtual_time import run_virtually

    return run_virtually


@pytest.fixture
def stagecall_make_run(tmp_path: Path) -> Iterator[Bench]:
    """`stagecall_make_run(plugin, ...)` is a run of these plugins, ready to be waited for; see `doubles.Bench`.

    When the test is over each run that was begun must have ended, kept every rule, and left no folder behind.
    """
    from .doubles import Bench

    folder = tmp_path / "stagecall-runs"
    folder.mkdir()
    with Bench(folder) as bench:
        yield bench


@pytest.fixture
def stagecall_no_leaks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Fail the test with what its body leaves behind: processes, descriptors, sockets, threads, tasks, files.

    The value is the folder in which, meanwhile, `tempfile` creates what is not told where to be; it is audited too.
    """
    from .leaks import audited

    folder = tmp_path_factory.mktemp("stagecall-no-leaks")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    test = request.node.obj
    request.node.obj = audited(test, folder)
    yield folder
    request.node.obj = test


def kit_of(obj: object) -> type[Conformance] | None:
    """Return the class if it is or uses a kit; without the module that all kits import, nothing does."""
    conformance = sys.modules.get(f"{__package__}.conformance")
    if conformance is None or not inspect.isclass(obj) or not issubclass(obj, conformance.Conformance):
        return None
    return cast("type[Conformance]", obj)


def _conformance() -> ModuleType:
    return sys.modules[f"{__package__}.conformance"]


def _check(item: pytest.Item) -> str:
    return getattr(item, "originalname", None) or item.name
