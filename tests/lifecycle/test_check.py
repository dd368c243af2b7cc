"""The exhaustive check: sound lifecycles have no counter-example, broken ones a shortest, and the driver takes the
ways that the check takes.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stagecall.lifecycle import decision, driver
from stagecall.lifecycle.check import QUIET, Input, Path, Walk, When, explore, line_of, story, walk, walkable
from stagecall.lifecycle.check import world as worlds
from stagecall.lifecycle.decision import Standing, leave
from stagecall.lifecycle.errors import ExceptionReason
from stagecall.lifecycle.resolution import Failure, Resolution, Severity
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from stagecall.specs.lifecycle_lint import lint
from stagecall.specs.lifecycle_yaml import read_lifecycle
from stagecall.specs.rules import RULES, judge
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import ScriptedEngine, ScriptedPlugin, path
from stagecall.testing.strategies import lifecycles
from stagecall.testing.virtual_time import run_virtually
from stagecall.worker.task_run import TaskRun

from ..support.invented import INVENTED

CI = "STAGECALL_CI" in os.environ
BROKEN = File(__file__).parent / "broken"

SMALL = Lifecycle(
    "small",
    (
        Stage("begin", next="work", on_exception="failed"),
        Stage("work", next="judge", on_exception="failed", action="work"),
        Stage(
            "judge",
            next="told",
            on_exception="failed",
            action="close_log",
            hook="judged",
            combine=Combine.ALL,
        ),
        Stage("failed", next="told", action="give_up"),
        Stage("told", next="end", action="report"),
        Stage("end", action="dispose", hook="dispose", order=Order.REVERSE, action_calls_hook=True),
    ),
)
"""A sound table of few stages, without plugins."""

of_task_run = functools.cache(lambda: explore(TASK_RUN))


def broken_lifecycle(name: str) -> Lifecycle:
    """One of the lifecycles that are declared beside this test."""
    return read_lifecycle(yaml.safe_load((BROKEN / f"{name}.yml").read_text()))


# Sound lifecycles


@pytest.mark.parametrize("lifecycle", [TASK_RUN, INVENTED], ids=lambda lifecycle: lifecycle.name)
def test_sound_lifecycle_has_no_counterexample(lifecycle):
    """Whatever goes wrong in whatever stage, and whenever it is aborted: every rule holds on every way."""
    report = explore(lifecycle)

    assert (report.broken, report.counterexample) == (frozenset(), None)
    assert report.judged < report.transitions < report.paths


def test_every_combination_of_stage_outcome_and_abort_is_reached():
    """Each stage is reached with each outcome that it can have, not aborted, aborted there, and aborted before."""
    states = {(state.stage, state.outcome, state.abort) for state in of_task_run().states}

    errors = {"malformed", "task-exception", "non-fatal", "fatal"}
    provisional = TASK_RUN.main_path[:8]
    verdicts = ("stopped", "finished")
    expected = {("pending", "ok", "none"), ("pending", "ok", "in pending")}
    for stage in provisional[1:]:
        outcomes = {"ok", *errors, *(("failed",) if stage in verdicts else ())}
        expected |= {(stage, outcome, abort) for outcome in outcomes for abort in ("none", f"in {stage}")}
    for stage in ("exception", "resolved", "dispose"):
        expected |= {(stage, "ok", f"in {one}") for one in provisional}
        expected |= {(stage, error, f"in {one}") for error in errors for one in provisional[1:]}
        expected |= {(stage, "failed", f"in {one}") for one in verdicts}
        expected |= {(stage, error, abort) for error in errors for abort in ("none", "too late")}
        if stage != "exception":
            expected |= {
                (stage, verdict, abort) for verdict in ("ok", "failed") for abort in ("none", "too late")
            }
    assert states == expected


def test_paths_that_are_counted_are_the_paths_there_are():
    """The number of ways is right: taking every one of them in a small table gives as many, each another."""
    ways: list[str] = []

    report = explore(
        SMALL, every_path=True, show=lambda path: ways.append(str([one for _, one in path.happened]))
    )

    assert report.counterexample is None
    assert (report.judged, len(set(ways))) == (report.paths, report.paths)
    assert explore(SMALL).states == report.states
    assert explore(SMALL).paths == report.paths


@given(lifecycles())
@settings(max_examples=30 if CI else 3)
def test_no_sound_lifecycle_has_a_counterexample(lifecycle):
    """Whatever stages somebody adds, leaves out or renames: if the lint has no objection, every rule holds."""
    assert lint(lifecycle) == []
    assert explore(lifecycle).counterexample is None


@pytest.mark.soak
def test_every_path_of_a_task_run_keeps_the_rules():
    """Without the economy of trying each state once: all ways there are."""
    report = explore(TASK_RUN, every_path=True)

    assert (report.judged, report.counterexample) == (report.paths, None)
    assert of_task_run().states == report.states


def test_nothing_reads_the_severity_of_an_error_that_comes_too_late():
    """Once the resolution is final, errors of any severity lead to the same states as fatal ones do."""
    report = explore(TASK_RUN, late=list(Severity))

    assert (report.states, report.counterexample) == (of_task_run().states, None)
    assert report.transitions > of_task_run().transitions


# Broken lifecycles

COUNTEREXAMPLES = {
    "exception-skips-dispose": (
        {"dispose-last", "disposed-once"},
        "pending (abort before) > exception > grave = exception (canceled)",
    ),
    "no-exception-edge": (
        {"resolution-final"},
        f"{' > '.join(TASK_RUN.main_path)} = completed",
    ),
    "provisional-after-outcome": (
        {"resolution-final"},
        f"{' > '.join(TASK_RUN.main_path).replace('finished', 'finished > audit')} = completed",
    ),
    "trap": (
        {"declared-order", "exception-once", "dispose-last", "disposed-once", "log-closed-first"},
        "pending > prepare > build > start (abort before) > hole > hole "
        "= stuck: 'hole' is entered a second time, and so on for ever",
    ),
    "dispose-not-final": (
        {"dispose-last"},
        f"{' > '.join(TASK_RUN.main_path)} > afterwards = completed",
    ),
    "exception-twice": (
        {rule.name for rule in RULES} - {"one-hook-at-a-time", "stage-barrier"},
        "pending (abort before) > exception > exception "
        "= stuck: 'exception' is entered a second time, and so on for ever",
    ),
}


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_broken_lifecycle_has_a_shortest_counterexample(name):
    """What a broken table comes to is shown on the way on which the least goes wrong."""
    lifecycle = broken_lifecycle(name)
    rules, line = COUNTEREXAMPLES[name]

    report = explore(lifecycle)

    assert report.broken == rules
    assert report.counterexample is not None
    assert line_of(report.counterexample) == line
    assert judge(report.counterexample.trace, lifecycle) == list(report.counterexample.broken) != []


def test_every_broken_lifecycle_is_checked():
    """No file beside this test goes unused."""
    assert {file.stem for file in BROKEN.iterdir()} == set(COUNTEREXAMPLES)


def test_counterexample_is_told_event_by_event():
    """The story has a line for each event, and the broken rule below the event that breaks it."""
    report = explore(broken_lifecycle("exception-skips-dispose"))
    assert report.counterexample is not None

    told = list(story(report.counterexample.trace, report.counterexample.broken))

    assert told == [
        "  0  pending     run of exception-skips-dispose with the plugins first, second",
        "  1  pending     abort (canceled): accepted",
        "  2  pending     the resolution is final: exception (canceled)",
        "  3  exception   entered from pending",
        "  4  exception   log-closed: bytes 0",
        "  5  grave       entered from exception",
        "  6  grave       end",
        "     ^ rule 3 (dispose-last) broken at event 7: 'dispose' was entered 0 times, not once",
    ]


NOWHERE = [
    Lifecycle("void", ()),
    Lifecycle("lost", (Stage("a", next="b"),)),
    Lifecycle("endless", (Stage("a", next="b"), Stage("b", next="a"))),
    Lifecycle("twins", (Stage("a", next="b"), Stage("b"), Stage("b"))),
]


@pytest.mark.parametrize("lifecycle", NOWHERE, ids=lambda lifecycle: lifecycle.name)
def test_table_that_no_run_can_go_through_is_told_before(lifecycle):
    """Where a name leads to no stage or to two, or nothing ends, there is nothing to explore, and the lint says why."""
    assert not walkable(lifecycle)
    assert lint(lifecycle) != []


names_of_stages = st.sampled_from([stage.name for stage in SMALL.stages])
changes = st.lists(
    st.tuples(names_of_stages, st.sampled_from(["next", "on_exception"]), st.none() | names_of_stages),
    min_size=1,
    max_size=3,
)


@given(changes)
@example([("begin", "next", None), ("begin", "on_exception", None)])
@settings(max_examples=200 if CI else 60)
def test_lint_lets_no_counterexample_pass(changes):
    """A table with some edges bent has a counter-example only if the lint objects to it."""
    stages = dict(SMALL.by_name)
    for name, edge, target in changes:
        stages[name] = attrs.evolve(stages[name], **{edge: target})
    bent = Lifecycle("bent", tuple(stages.values()))

    broken = explore(bent).broken if walkable(bent) else {"no run can go there"}

    assert lint(SMALL) == []
    assert not broken or lint(bent) != []


# Broken decisions


def never_astray(run: Standing) -> bool:
    """Errors and aborts are noticed by nobody."""
    return False


def forgets_aborts(lifecycle: Lifecycle, stage: Stage, run: Standing) -> tuple[str | None, Resolution | None]:
    """An abort in `finished` comes too late."""
    if stage.name == "finished":
        run.aborted = None
    return leave(lifecycle, stage, run)


def skips_the_exception(
    lifecycle: Lifecycle, stage: Stage, run: Standing
) -> tuple[str | None, Resolution | None]:
    """What goes astray is reported at once."""
    destination, resolution = leave(lifecycle, stage, run)
    return ("resolved" if destination == "exception" else destination), resolution


def decides_twice(lifecycle: Lifecycle, stage: Stage, run: Standing) -> tuple[str | None, Resolution | None]:
    """The resolution is thought over in `resolved`."""
    destination, resolution = leave(lifecycle, stage, run)
    return destination, Resolution("completed") if stage.name == "resolved" else resolution


def prefers_the_first_error(
    lifecycle: Lifecycle, stage: Stage, run: Standing
) -> tuple[str | None, Resolution | None]:
    """Not the worst error decides, but the first."""
    destination, resolution = leave(lifecycle, stage, run)
    if resolution is not None and run.failures and run.aborted is None:
        resolution = attrs.evolve(resolution, reason=run.failures[0].reason)
    return destination, resolution


def counts_errors_for_ever(run: Standing, failure: Failure) -> bool:
    """Errors are said to count when they no longer do, and undo the resolution."""
    run.failures.append(failure)
    run.resolution = None
    return True


MUTANTS: dict[str, tuple[Any, str, Any, str, int]] = {
    "never astray": (decision, "astray", never_astray, "resolution-final", 1),
    "forgets aborts": (walk, "leave", forgets_aborts, "resolution-final", 1),
    "skips the exception": (walk, "leave", skips_the_exception, "dispose-last", 1),
    "decides twice": (walk, "leave", decides_twice, "resolution-final", 0),
    "prefers the first error": (walk, "leave", prefers_the_first_error, "resolution-final", 2),
    "counts errors for ever": (Standing, "note_error", counts_errors_for_ever, "disposed-once", 1),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_broken_decision_has_a_shortest_counterexample(monkeypatch, name):
    """A decision function that is wrong in one respect is convicted, on a way with as little wrong as that needs."""
    where, function, mutant, rule, weight = MUTANTS[name]
    monkeypatch.setattr(where, function, mutant)

    report = explore(TASK_RUN)

    assert report.counterexample is not None
    assert rule in report.broken
    assert report.counterexample.weight[0] == weight, line_of(report.counterexample)


def test_driver_decides_by_the_functions_that_are_checked():
    """Driver and check share the class and the functions: nothing is proven about a copy."""
    for home, names in {walk: ("leave", "astray", "work_of", "move"), worlds: ("calls_on",)}.items():
        assert [name for name in names if getattr(home, name) is not getattr(driver, name)] == []
    for shared in (TaskRun, Walk):
        assert issubclass(shared, Standing)
        assert [name for name in vars(Standing) if name.startswith("note_") and name in vars(shared)] == []


# The real driver takes the same ways


@attrs.define
class Script:
    """What is to happen to a real run: by stage and work, as the check had it."""

    happens: Mapping[str, Input]
    run: TaskRun | None = None

    @classmethod
    def of(cls, path: Path) -> "Script":
        return cls({point.work: happened for point, happened in path.happened})

    def deed(self, work: str, plugin: str = "second") -> Any:
        """What a call does: the plugin declared last is the first to err, and to be there when the run is aborted."""
        happens = self.happens.get(work, QUIET)
        place = 0 if plugin == "second" else 1
        errs = place < len(happens.errors)
        refuses = happens.refused and not errs and (plugin == "second" or len(happens.errors) == 1)

        async def act(*_: Any) -> bool | None:
            assert self.run is not None
            if plugin == "second" and happens.abort is When.DURING:
                self.run.abort(ExceptionReason.CANCELED)
            if errs:
                raise worlds._ERRORS[happens.errors[place]]
            return not refuses if work == "hooks stopped" else None

        return act

    def plugin(self, name: str) -> ScriptedPlugin:
        hooks = [hook for hook, stage in TASK_RUN.hooks.items() if not stage.action_calls_hook]
        deeds = {hook: self.deed(f"hooks {hook}", name) for hook in hooks}
        deeds["new_task_plugin"] = self.deed("action prepare", name)
        return ScriptedPlugin(name, **deeds, dispose=self.deed("action dispose", name))


class ScriptedRun(TaskRun):
    """A run whose own actions, too, do as they are told."""

    script: Script

    async def close_log(self) -> None:
        await super().close_log()
        if self.stage != "exception":
            await self.script.deed("action close_log")()

    async def give_up(self) -> None:
        await super().give_up()
        await self.script.deed("action give_up")()


def can_be_staged(path: Path) -> bool:
    """Whether it is calls to which everything on this way happens, so that a script can let it happen."""
    return all(
        happened.abort in (When.NEVER, When.DURING)
        and (happened == QUIET or not point.work.startswith("background"))
        for point, happened in path.happened
    )


def test_driver_takes_the_ways_that_the_check_takes(make_run):
    """A real run to which the same happens enters the same stages and becomes the same as the abstract one."""
    staged: list[Path] = []
    explore(TASK_RUN, show=lambda path: staged.append(path) if can_be_staged(path) else None)

    different = []
    for one in staged[:: 1 if CI else 7]:
        script = Script.of(one)
        engine = ScriptedEngine(
            deeds={call: script.deed(f"action {call}") for call in ("start_sandbox", "wait_for_result")}
        )
        runtime = make_run.runtime(script.plugin("first"), script.plugin("second"), engine=engine)
        plain = runtime.new_run({"payload": {}})
        run = ScriptedRun(runtime, plain.info, report=script.deed("action report"))
        run.script, script.run = script, run
        make_run.runs.append(run)
        resolution = run_virtually(run.wait())
        final = one.trace.of(Kind.OUTCOME)[0]
        expected = (path(one.trace), final.get("state"), final.get("reason"))
        if (path(run.trace), resolution.state, resolution.reason) != expected:
            different.append((line_of(one), path(run.trace), resolution))

    assert len(staged) > 500
    assert different == []
