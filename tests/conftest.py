"""What every test may use: the shipped modules, programs of the system, the root of the repository."""

import os
import pkgutil
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import stagecall
from stagecall.testing.doubles import Bench

# More examples on demand: `make test ARGS=--hypothesis-profile=ci`, and where STAGECALL_CI is set.
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True, derandomize=False)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("dev"), max_examples=1000)
hypothesis.settings.load_profile("ci" if os.environ.get("STAGECALL_CI") else "dev")

ROOT = Path(__file__).parent.parent


def shipped_modules(
    package: str = "stagecall", folder: Path = Path(stagecall.__file__).parent
) -> Iterator[str]:
    """Yield the dotted name of every module of the package, without importing any."""
    yield package
    for module in pkgutil.iter_modules([str(folder)], f"{package}."):
        if module.ispkg:
            yield from shipped_modules(module.name, folder / module.name.rpartition(".")[2])
        else:
            yield module.name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Call a test that asks for `shipped_module` once for each module of the package."""
    if "shipped_module" in metafunc.fixturenames:
        metafunc.parametrize("shipped_module", sorted(shipped_modules()))


class RootIsNoTestPackage:
    """Keeps pytest from importing the root's `__init__.py`, which is the package's, under another name."""

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RootIsNoTestPackage())
    # A shell ignores these for what it starts in the background, nohup the last: so would all that the tests start.
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGQUIT: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    for number, handler in usual.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the journals of commands that tests run out of the state folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository, which is the package's folder too."""
    return ROOT


@pytest.fixture(scope="session")
def need() -> Callable[..., str]:
    """`need("chromium", "chrome")` is the path of the first such program; without one the test is skipped.

    In CI (`STAGECALL_CI=1`), which installs them, it fails instead: a test nobody runs protects nobody.
    """

    def find(*programs: str) -> str:
        for program in programs:
            if path := shutil.which(program):
                return path
        missing = f"needs {' or '.join(programs)}, which is not installed"
        if os.environ.get("STAGECALL_CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    return find


@pytest.fixture
def closing_line(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """`closing_line(text)` has a line written when the whole session ends, also one that was spread over workers."""

    def write(text: str) -> None:
        record_property("closing line", text)

    return write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write what tests have counted."""
    lines = {
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "closing line" and report.when == "call"
    }
    if lines:
        terminalreporter.section("what was counted")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Bench]:
    """`make_run(plugin, ...)` is a run of these plugins on a scripted engine, ready to be waited for.

    When the test is over, each run that was begun must have ended, and every rule judges its trace; no run may have
    left a folder.
    """
    folder = tmp_path / "runs"
    folder.mkdir()
    with Bench(folder) as bench:
        yield bench
