"""Kits lose no check in silence: what is left out is skipped by the name of a flag, or declared, or refused."""

import asyncio
import subprocess
import sys

import pytest

from stagecall.testing.conformance import Conformance, defects, missing, needs, skip_reason
from stagecall.testing.doubles import HookRecorder

pytest_plugins = ["pytester"]

KIT = """
import pytest

from stagecall.testing.conformance import Conformance, needs

class BirdConformance(Conformance, kit=True):
    flags = {"flies": "it can fly", "sings": "it can sing"}

    @pytest.fixture
    def bird(self):
        raise AssertionError("no fixture is made for a check that is skipped")

    def test_walks(self): pass

    @needs("flies", "sings")
    def test_sings_in_flight(self, bird): pass

    async def test_sleeps(self): pass
"""


@pytest.fixture
def run(pytester):
    """`run(option, ...)` is a pytest session of its own, with nothing configured but what must be."""
    return lambda *options: pytester.runpytest("-o", "asyncio_default_fixture_loop_scope=function", *options)


class BirdConformance(Conformance, kit=True):
    flags = {"flies": "it can fly"}

    def test_walks(self):
        pass

    @needs("flies")
    def test_flies(self):
        pass

    async def test_sleeps(self):
        await asyncio.sleep(0)
        raise AssertionError("woke up")


def test_all_flags_are_capabilities_unless_said_otherwise():
    """A subject is taken to do everything; what it leaves out is what its checks are skipped for."""

    class TestPenguin(BirdConformance):
        capabilities = BirdConformance.capabilities - {"flies"}

    assert BirdConformance.capabilities == {"flies"}
    assert missing(BirdConformance, "test_flies") == ()
    assert (
        skip_reason(TestPenguin, "test_flies") == "TestPenguin.capabilities leaves out 'flies' (it can fly)"
    )
    assert skip_reason(TestPenguin, "test_walks") is None


def test_async_check_is_run_by_the_kit():
    """An async check needs no plugin for asyncio: called, it runs to its end."""
    with pytest.raises(AssertionError, match="woke up"):
        BirdConformance().test_sleeps()  # type: ignore[unused-coroutine]  # made plain by the kit


def test_async_check_is_bounded():
    """An async check that hangs fails."""

    class Hanging(Conformance, kit=True):
        bound = 0.01

        async def test_hangs(self):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        Hanging().test_hangs()  # type: ignore[unused-coroutine]


class Waddles:
    """What a class may have its checks replaced by, without a word of its own."""

    def test_walks(self):
        pass


@pytest.mark.parametrize(
    ("bases", "body", "complaint"),
    [
        (
            (BirdConformance,),
            {"test_walks": lambda self: None},
            "TestX overrides or removes test_walks of BirdConformance; "
            'declare it: departures = {"test_walks": "why"}',
        ),
        (
            (BirdConformance,),
            {"test_walks": None},
            "TestX overrides or removes test_walks of BirdConformance; "
            'declare it: departures = {"test_walks": "why"}',
        ),
        (
            (Waddles, BirdConformance),
            {},
            "TestX overrides or removes test_walks of BirdConformance; "
            'declare it: departures = {"test_walks": "why"}',
        ),
        (
            (BirdConformance,),
            {"test_walks": None, "departures": {"test_walks": " "}},
            "TestX.departures must say why test_walks departs from the kit, not ' '",
        ),
        (
            (BirdConformance,),
            {"departures": {"test_walks": "too cold"}},
            "TestX.departures names test_walks, but the check is as the kit has it: "
            "override it, set it to None, or drop the departure",
        ),
        (
            (BirdConformance,),
            {"capabilities": frozenset({"flie"})},
            "TestX.capabilities: unknown flag 'flie'; did you mean \"flies\"?",
        ),
        (
            (BirdConformance,),
            {"capabilities": "flies"},
            "TestX.capabilities must be a set of flags, not the text 'flies'",
        ),
    ],
)
def test_what_is_not_declared_fails_when_the_class_is_made(bases, body, complaint):
    """Checks overridden, removed or hidden by a mixin, departures without ground or reason, unknown flags: refused."""
    with pytest.raises(TypeError) as caught:
        type("TestX", bases, body)

    assert str(caught.value) == complaint


def test_kit_of_kits_keeps_the_checks_of_both():
    """A kit made from another has its checks too, and a user's class loses none of either."""

    class SongbirdConformance(BirdConformance, kit=True):
        def test_sings(self):
            pass

    with pytest.raises(TypeError) as caught:
        type("TestX", (SongbirdConformance,), {"test_sings": None, "test_walks": None})

    assert set(SongbirdConformance.kit_checks) == {"test_walks", "test_flies", "test_sleeps", "test_sings"}
    assert "removes test_sings of SongbirdConformance" in str(caught.value)
    assert "removes test_walks of BirdConformance" in str(caught.value)


def test_check_that_needs_no_flag_of_its_kit_is_refused():
    """A misspelt flag would skip a check for everybody, so the kit itself fails."""
    with pytest.raises(TypeError, match=r"Kit\.test_flies needs flys, which is none of its flags"):
        type("Kit", (Conformance,), {"test_flies": needs("flys")(lambda self: None)}, kit=True)


def test_check_deleted_afterwards_is_noticed():
    """A class that is stripped of a check once it was made is found out when it is asked again."""

    class Kit(Conformance, kit=True):
        def test_walks(self):
            pass

    class TestX(Kit):
        pass

    del Kit.test_walks

    assert defects(TestX) == [
        'TestX overrides or removes test_walks of Kit; declare it: departures = {"test_walks": "why"}'
    ]


def test_flag_is_named_where_a_check_is_skipped(pytester, run):
    """A check is skipped before its fixtures are made, and the reason names the flags with their sentences."""
    pytester.makepyfile(
        KIT
        + """
class TestPenguin(BirdConformance):
    capabilities = frozenset()
"""
    )

    result = run("-rs")

    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        ["*TestPenguin.capabilities leaves out 'flies' (it can fly); 'sings' (it can sing)*"]
    )


@pytest.mark.parametrize("processes", [(), ("-n", "1")])
def test_departures_are_shown_in_the_report(pytester, run, processes):
    """What a class departs from, overridden or removed, stands at the end of the report, with the reason, once."""
    pytester.makepyfile(
        KIT
        + """
class TestSnail(BirdConformance):
    departures = {"test_walks": "it crawls", "test_sings_in_flight": "it does neither"}
    test_sings_in_flight = None

    def test_walks(self): pass
"""
    )

    result = run(*processes)

    result.assert_outcomes(passed=2)
    shown = [line for line in result.outlines if "departs" in line]
    assert shown == [
        "TestSnail departs from test_sings_in_flight: it does neither",
        "TestSnail departs from test_walks: it crawls",
    ]
    result.stdout.fnmatch_lines(["*= departures from conformance kits =*"])


def test_class_stripped_of_a_check_is_not_collected(pytester, run):
    """Deleting a check behind the kit's back is an error of the collection, which names the check."""
    pytester.makepyfile(
        KIT
        + """
class TestSnail(BirdConformance): pass

del BirdConformance.test_walks
"""
    )

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*BirdConformance has lost its check test_walks since it was made*"])


def test_checks_are_selected_by_their_marker(pytester, run):
    """`-m stagecall_conformance` selects the checks of kits, and no other tests, also with strict markers."""
    pytester.makepyfile(
        KIT
        + """
class TestRobin(BirdConformance):
    capabilities = frozenset()

    def test_of_its_own(self): pass

def test_beside_it(): pass
"""
    )

    result = run("--strict-markers", "-m", "stagecall_conformance")

    result.assert_outcomes(passed=2, skipped=1, deselected=2)
    result.stdout.fnmatch_lines(["stagecall: *"])


def test_pytest_plugin_is_light():
    """A session that uses nothing of the kits pays for the plugin's own module, and no other of the package."""
    code = "import pytest, sys; before = set(sys.modules); import stagecall.testing.pytest_plugin; " + (
        "print(*sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)

    loaded = [name for name in done.stdout.split() if name.startswith("stagecall")]
    assert loaded == ["stagecall", "stagecall.testing", "stagecall.testing.pytest_plugin"], done.stderr


def test_virtual_time_for_pytest(stagecall_run_virtually):
    """The fixture runs a coroutine on a loop whose timers take no time."""

    async def wait_for_an_hour():
        await asyncio.sleep(3600)
        return "done"

    result = stagecall_run_virtually(wait_for_an_hour())

    assert result == "done"


async def test_runs_for_pytest(stagecall_make_run):
    """The fixture makes runs of the plugins that a test gives it."""
    recorder = HookRecorder()

    resolution = await stagecall_make_run(recorder, exit_code=1).wait()

    assert resolution.state == "failed"
    assert recorder.calls[-2:] == [("finished", False), ("dispose",)]


def test_runs_for_pytest_are_judged(pytester, run):
    """What a run leaves behind is an error of its test."""
    pytester.makepyfile(
        """
def test_leaves_a_folder(stagecall_make_run):
    stagecall_make_run.environment.temporary_folder("left-")
"""
    )

    result = run()

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*AssertionError: folders are left in*"])
