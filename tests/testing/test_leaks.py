"""The fixture `stagecall_no_leaks` fails a test for what its body leaves behind, and for nothing else."""

import re

import pytest

from stagecall.testing import leaks

pytest_plugins = ["pytester"]

LEAKY = """
    import asyncio, os, socket, subprocess, tempfile, threading, time

    import pytest
    from hypothesis import given, settings, strategies

    from stagecall.testing import leaks

    pytestmark = pytest.mark.usefixtures("stagecall_no_leaks")
    leaks.SETTLE_SECONDS = 0.1
    KEPT = []


    @pytest.fixture
    def end():
        yield
        KEPT[-1].kill()
        KEPT[-1].wait()


    def test_process(end):
        KEPT.append(subprocess.Popen(["sleep", "1006"]))


    def test_descriptor():
        KEPT.append(open(os.devnull))


    def test_socket():
        KEPT.append(socket.create_server(("127.0.0.1", 0)))


    def test_thread():
        threading.Thread(target=time.sleep, args=(1000,), name="lost", daemon=True).start()


    def test_file(stagecall_no_leaks):
        assert tempfile.mkdtemp().startswith(str(stagecall_no_leaks))
        assert os.environ["TMPDIR"] == str(stagecall_no_leaks)


    async def test_task():
        KEPT.append(asyncio.create_task(asyncio.sleep(1000), name="lost"))


    @settings(max_examples=3, database=None, deadline=None)
    @given(strategies.integers())
    def test_property(number):
        KEPT.append(open(os.devnull))


    class TestMethod:
        def test_method(self):
            KEPT.append(open(os.devnull))
"""

CLEAN = """
    import asyncio, os, subprocess, tempfile, threading

    import pytest
    from hypothesis import given, settings, strategies

    pytestmark = pytest.mark.usefixtures("stagecall_no_leaks")


    @pytest.fixture
    def held():
        with open(os.devnull) as file:
            yield file


    def test_everything(held):
        subprocess.run(["true"])
        with tempfile.TemporaryDirectory(), open(os.devnull):
            threading.Thread(target=print).start()


    @pytest.mark.parametrize("number", [1, 2])
    async def test_on_a_loop(held, number):
        asyncio.create_task(asyncio.sleep(0.01))
        await asyncio.to_thread(print)


    @settings(max_examples=3, database=None, deadline=None)
    @given(strategies.integers())
    async def test_property(number):
        await asyncio.sleep(0)


    class TestMethod:
        async def test_method(self, held):
            self.seen = held


    def test_error_of_its_own():
        file = open(os.devnull)
        file.close()
        raise ZeroDivisionError
"""


@pytest.fixture
def run(pytester):
    """`run(text)` runs a test module in a program of its own."""

    def run_text(text: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        options = (
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
        )
        return pytester.runpytest_subprocess(*options, "-o", "asyncio_mode=auto", timeout=120)

    return run_text


def test_planted_leaks_are_named(run):
    """A test that leaves something behind fails, and the error says what."""
    result = run(LEAKY)

    result.assert_outcomes(failed=8)
    told = re.findall(
        r"^E +stagecall\S*LeakError: left behind by what was audited: (\w+) (.*)$", str(result.stdout), re.M
    )
    assert [kind for kind, _ in told] == [
        *("process", "descriptor", "socket", "thread", "file", "task", "descriptor", "descriptor"),
    ]
    assert "sleep 1006" in told[0][1]
    assert told[5][1].startswith("lost (sleep), waiting at ")


def test_clean_tests_pass(run):
    """What is gone by the end, what fixtures hold, and an error of the test's own are no leaks."""
    result = run(CLEAN)

    result.assert_outcomes(passed=5, failed=1)
    result.stdout.no_fnmatch_line("*LeakError*")


async def test_audited_functions_stay_what_they_are():
    """A wrapped test has the name and kind of the test, takes its fixtures and returns what it returns."""

    async def test_something(fixture: int) -> int:
        return fixture

    audited = leaks.audited(test_something)

    assert audited.__name__ == "test_something"
    assert await audited(fixture=3) == 3
