"""Promela: Spin verifies every rule on the model of a sound lifecycle, and names the one that a broken one breaks."""

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from stagecall.lifecycle.export import CLAIMS, ExportError, promela
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle, Stage
from stagecall.specs.lifecycle_yaml import read_lifecycle
from stagecall.specs.rules import RULES
from stagecall.testing.strategies import lifecycles

from ..support.invented import INVENTED

CI = "STAGECALL_CI" in os.environ
EVERY_CLAIM = [claim.name for claim in CLAIMS]
BROKEN = Path(__file__).parent / "broken"
BOUND = 100.0
"""Seconds that each program may take; each takes a second or two."""


@attrs.frozen
class Verifier:
    """Spin and a C compiler, and a folder to work in."""

    spin: str
    compiler: str
    folder: Path

    def failing(self, model: str, claims: Iterable[str] = EVERY_CLAIM) -> dict[str, str]:
        """Return the claims that the model does not keep, each with the trail that Spin found, played back."""
        self._compile(model, [], [])
        found = {claim: self._verify("-a", "-f", "-N", claim) for claim in claims}
        return {claim: trail for claim, trail in found.items() if trail is not None}

    def broken_assertion(self, model: str) -> str | None:
        """Return the trail to an assertion that fails, or to a deadlock, None if there is neither."""
        self._compile(model, ["-DASSERTIONS"], ["-DSAFETY", "-DNOCLAIM"])
        return self._verify(played=["-DASSERTIONS"])

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=BOUND)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _compile(self, model: str, of_spin: list[str], of_compiler: list[str]) -> None:
        (self.folder / "model.pml").write_text(model)
        self._run(self.spin, *of_spin, "-a", "model.pml")
        self._run(self.compiler, "-O0", "-w", *of_compiler, "-o", "pan", "pan.c")

    def _verify(self, *options: str, played: Iterable[str] = ()) -> str | None:
        trail = self.folder / "model.pml.trail"
        trail.unlink(missing_ok=True)
        said = self._run("./pan", "-m100000", *options)
        assert re.search(r"errors: [01]$", said, re.MULTILINE), said
        assert "max search depth too small" not in said
        if "errors: 0" in said:
            assert not trail.exists()
            return None
        return self._run(self.spin, *played, "-t", "-p", "model.pml")


@pytest.fixture
def verifier(need: Callable[..., str], tmp_path: Path) -> Verifier:
    return Verifier(need("spin"), need("cc", "gcc"), tmp_path)


def broken_lifecycle(name: str) -> Lifecycle:
    """One of the lifecycles that are declared beside this test."""
    return read_lifecycle(yaml.safe_load((BROKEN / f"{name}.yml").read_text()))


def test_every_rule_has_a_claim():
    """Each of the ordering rules is verified by one claim or more, and each claim belongs to one."""
    assert {claim.rule for claim in CLAIMS} == {rule.number for rule in RULES}
    assert {rule.name.replace("-", "_") for rule in RULES} - {"dispose_last"} <= {
        claim.name for claim in CLAIMS
    }
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_lifecycle_of_task_runs_keeps_every_claim(verifier):
    """Whatever plugins do and whenever the run is aborted: spin finds no claim, no assertion, no deadlock."""
    model = promela(TASK_RUN)

    assert verifier.failing(model) == {}
    assert verifier.broken_assertion(model) is None


def test_lifecycle_with_invented_stages_keeps_every_claim(verifier):
    """A lifecycle of one's own, with hooks that judge one by one in reverse, is verified in the same way."""
    claims = EVERY_CLAIM if CI else ["dispose_always"]

    assert verifier.failing(promela(INVENTED), claims) == {}


@pytest.mark.soak
def test_three_plugins_keep_every_claim(verifier):
    """One plugin more changes nothing."""
    assert verifier.failing(promela(TASK_RUN, plugins=3)) == {}


@pytest.mark.soak
@given(lifecycles())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sound_lifecycle_keeps_every_claim(verifier, lifecycle):
    """Whatever stages somebody adds, leaves out or renames: if the lint has no objection, nor has Spin."""
    assert verifier.failing(promela(lifecycle)) == {}


BROKEN_TABLES = {
    "exception-skips-dispose": {"dispose_always", "trouble_means_exception"},
    "no-exception-edge": {"resolution_final", "trouble_means_exception"},
    "provisional-after-outcome": {"trouble_means_exception"},
    "trap": {"declared_order", "exception_once", "dispose_always"},
    "dispose-not-final": {"dispose_last"},
    "exception-twice": {"declared_order", "exception_once", "dispose_always"},
}


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_broken_table_fails_by_name(verifier, name):
    """Spin names the claims that a broken table breaks, and has a trail for each that can be played back."""
    claims = EVERY_CLAIM if CI else sorted(BROKEN_TABLES[name])

    failing = verifier.failing(promela(broken_lifecycle(name)), claims)

    assert set(failing) == BROKEN_TABLES[name]
    for trail in failing.values():
        assert re.search(r"\(driver:\d+\)", trail), trail


def test_every_broken_lifecycle_is_verified():
    """No file beside this test goes unused."""
    assert {file.stem for file in BROKEN.iterdir()} == set(BROKEN_TABLES)


BROKEN_DRIVERS = {
    "goes on while hooks run": (
        "stage_barrier",
        "\t\tp = 0\n\t}\n\tuntil_all_ended()\n}\n\n/* The plugin declared last",
        "\t\tp = 0\n\t}\n}\n\n/* The plugin declared last",
    ),
    "calls two hooks at once": (
        "one_hook_at_a_time",
        "\t\tp = 0\n\t}\n\tuntil_all_ended()\n}\n\n/* The plugin declared last",
        "\t\tp = 0\n\t}\n}\n\n/* The plugin declared last",
    ),
    "forgets a plugin that hangs": (
        "disposed_once",
        "\t\t\t:: created[p] ->\n\t\t\t\tif\n\t\t\t\t:: running(p)",
        "\t\t\t:: created[p] && !fenced[p] ->\n\t\t\t\tif\n\t\t\t\t:: running(p)",
    ),
    "disposes in declared order": (
        "disposed_once",
        "created[q] && disposals[q] == 0",
        "created[q] && disposals[q] == 1",
    ),
    "leaves the log open": ("log_closed_first", "\t\tclosed = true;", "\t\tskip;"),
    "calls what was not created": (
        "created_only",
        ":: created[p] && !fenced[p] ->\n\t\t\t\tif\n\t\t\t\t:: !open",
        ":: !fenced[p] ->\n\t\t\t\tif\n\t\t\t\t:: !open",
    ),
    "gives up without cause": (
        "exception_means_trouble",
        ":: astray ->\n\t\t\tdecide();",
        ":: astray || !been_prepare ->\n\t\t\tdecide();",
    ),
    "lets a late abort count": (
        "resolution_final",
        ":: resolution == none && !aborted -> aborted = true",
        ":: !aborted -> aborted = true; resolution = (resolution == none -> none : excepted)",
    ),
    "ignores errors": (
        "trouble_means_exception",
        ":: resolution == none -> wrong = true",
        ":: resolution == none",
    ),
}


@pytest.mark.parametrize("name", BROKEN_DRIVERS)
def test_broken_driver_fails_by_name(verifier, name):
    """Spin does not believe a driver that is broken in one place: each claim can fail, so none is empty."""
    claim, sound, broken = BROKEN_DRIVERS[name]
    model = promela(TASK_RUN)
    assert sound in model

    failing = verifier.failing(model.replace(sound, broken, 1), [claim])

    assert set(failing) == {claim}


def test_every_claim_fails_somewhere():
    """No claim is there for show: each is broken by one of the tables or drivers above."""
    by_driver = {claim for claim, _, _ in BROKEN_DRIVERS.values()}

    assert by_driver | set().union(*BROKEN_TABLES.values()) == {claim.name for claim in CLAIMS}


def test_assertion_stops_at_the_event_that_breaks_a_rule(verifier):
    """The assertions say the same without a formula: the trail ends where a rule is broken."""
    trail = verifier.broken_assertion(promela(broken_lifecycle("trap")))

    assert trail is not None
    assert "broken_1 = 1" in trail


def test_every_stage_and_edge_of_the_table_is_in_the_model():
    """Each stage has its place in the driver, from which exactly the table's edges lead."""
    for lifecycle in (TASK_RUN, INVENTED):
        driver = promela(lifecycle).partition("active proctype driver()")[2].partition("L_end:")[0]
        places = re.split(r"^L_(\w+):$", driver, flags=re.MULTILINE)[1:]
        edges = {
            (name, target)
            for name, body in zip(places[::2], places[1::2], strict=True)
            for target in re.findall(r"goto L_(\w+)", body)
            if target != "end"
        }

        assert edges == set(lifecycle.edges())


@pytest.mark.parametrize(
    ("lifecycle", "message"),
    [
        (
            Lifecycle("umlaut", (Stage("prüfen"),)),
            "stage 'prüfen' cannot be named in Promela: a name has letters, digits and _ of ASCII",
        ),
        (
            Lifecycle("lost", (Stage("a", next="b"),)),
            "stage 'a' leads to 'b', which is no stage; stages are a",
        ),
    ],
)
def test_table_that_no_model_can_have_is_refused(lifecycle, message):
    """Promela's names are ASCII, and a driver can only go where there is something."""
    with pytest.raises(ExportError) as raised:
        promela(lifecycle)

    assert str(raised.value) == message


def test_name_of_a_lifecycle_cannot_leave_its_comment(verifier):
    """A hostile name stays text."""
    model = promela(attrs.evolve(TASK_RUN, name="*/ init { assert(false) } /*\n#error"))

    assert verifier.broken_assertion(model) is None
