"""The lint of a lifecycle: each check has a table that it alone objects to; no runtime takes such a one."""

from typing import Any

import attrs
import pytest

from stagecall.lifecycle.errors import LifecycleError
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from stagecall.specs.lifecycle_lint import Finding, lint


def table(*more: Stage, **changes: dict[str, Any]) -> Lifecycle:
    """The table of task runs with fields of some stages changed, and more stages behind."""
    stages = (attrs.evolve(stage, **changes.get(stage.name, {})) for stage in TASK_RUN.stages)
    return Lifecycle("changed", (*stages, *more))


NO_EDGES: dict[str, Any] = {"on_exception": None}
NO_DISPOSE = {"action": None, "hook": None, "action_calls_hook": False}
DISPOSES = {"action": "dispose", "hook": "dispose", "order": Order.REVERSE, "action_calls_hook": True}

UNSOUND: dict[str, tuple[Lifecycle, str, str | None, str]] = {
    "no stage at all": (Lifecycle("void", ()), "empty", None, "at least one stage"),
    "two stages of one name": (
        table(Stage("start", next="started", on_exception="exception")),
        "name-clash",
        "start",
        "2 stages have this name",
    ),
    "two stages with one hook": (
        table(build={"hook": "stopped"}),
        "name-clash",
        None,
        "2 stages call the hook 'stopped'",
    ),
    "an action done twice": (
        table(build={"action": "start_sandbox"}),
        "name-clash",
        None,
        "2 stages have the action 'start_sandbox'",
    ),
    "a name that is no identifier": (
        TASK_RUN.insert(Stage("virus-scan"), after="build"),
        "name",
        "virus-scan",
        "must be a Python identifier",
    ),
    "next leads nowhere": (table(build={"next": "nowhere"}), "unknown-target", "build", "leads to 'nowhere'"),
    "exception leads nowhere": (
        table(build={"on_exception": "nowhere"}),
        "unknown-target",
        "build",
        "leads to 'nowhere'",
    ),
    "back to the beginning": (
        table(build={"on_exception": "pending"}),
        "initial",
        "build",
        "leads back to 'pending'",
    ),
    "begins with a hook": (table(pending={"hook": "begun"}), "initial", "pending", "no action, no hook"),
    "begins with an action": (table(pending={"action": "claim"}), "initial", "pending", "no action, no hook"),
    "arguments without hook": (table(start={"arguments": ("builder",)}), "hook", "start", "but no hook"),
    "combine without hook": (table(start={"combine": Combine.ALL}), "hook", "start", "but no hook"),
    "a private hook": (table(build={"hook": "_build"}), "hook", "build", "a public method"),
    "a hook that is no name": (table(build={"hook": "build sandbox"}), "hook", "build", "a public method"),
    "prepare calls another hook": (
        table(prepare={"hook": "prepared"}),
        "caller",
        "prepare",
        "calls the hook 'new_task_plugin' itself",
    ),
    "dispose side by side": (
        table(dispose={"order": Order.SIDE_BY_SIDE}),
        "caller",
        "dispose",
        "calls the hook 'dispose' itself, reverse",
    ),
    "an action that calls no hook": (
        table(build={"action_calls_hook": True}),
        "caller",
        "build",
        "are for the actions prepare and dispose",
    ),
    "a stage that nothing leads to": (
        table(Stage("island", next="resolved")),
        "unreachable",
        "island",
        "no path leads here from 'pending'",
    ),
    "a stage that leads to itself": (
        table(Stage("hole", next="hole"), start={"on_exception": "hole"}),
        "trap",
        "hole",
        "a run would never end",
    ),
    "a cycle": (table(start={"on_exception": "build"}), "trap", "build", "must not form a cycle"),
    "two ends": (
        table(Stage("grave"), start={"on_exception": "grave"}),
        "final",
        None,
        "exactly one stage must have no next; here: dispose, grave",
    ),
    "an end that does not dispose": (
        table(dispose=NO_DISPOSE),
        "final",
        "dispose",
        "its action must be 'dispose'",
    ),
    "dispose before the end": (
        table(dispose=NO_DISPOSE, start=DISPOSES),
        "final",
        "start",
        "nothing may follow dispose",
    ),
    "no exception stage": (
        Lifecycle(
            "careless",
            tuple(attrs.evolve(stage, **NO_EDGES) for stage in TASK_RUN.stages if stage.name != "exception"),
        ),
        "exception",
        None,
        "exactly one stage; here: none",
    ),
    "two exception stages": (
        table(Stage("other", next="resolved"), start={"on_exception": "other"}),
        "exception",
        None,
        "exactly one stage; here: exception, other",
    ),
    "an exception on the main path": (
        table(finished={"next": "exception"}),
        "exception",
        "exception",
        "must be entered by onException only",
    ),
    "an exception that does not give up": (
        table(exception={"action": None}),
        "exception",
        "exception",
        "must have the action 'give_up'",
    ),
    "no exception edge": (table(build=NO_EDGES), "no-exception-edge", "build", "add onException"),
    "no report": (table(resolved={"action": None}), "report", None, "must have the action 'report'"),
    "a verdict on what is final": (
        table(exception={"combine": Combine.ALL}),
        "verdict",
        "exception",
        "combine must be nothing",
    ),
    "a hook before there is any plugin": (
        TASK_RUN.insert(Stage("claim", hook="claimed"), after="pending"),
        "early-hook",
        "claim",
        "before 'prepare' has created any plugin",
    ),
    "a log that is never closed": (
        table(finished={"action": None}),
        "log",
        None,
        "must have the action 'close_log'",
    ),
}


def test_task_run_is_sound():
    """The table of task runs has nothing that the lint objects to."""
    assert lint(TASK_RUN) == []


def test_table_with_more_stages_is_sound():
    """A stage inserted on the main path takes over the edges of the one before it: the table stays sound."""
    more = TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("builder",)), after="build")

    assert lint(more.insert(Stage("review", hook="reviewed"), after="stopped")) == []


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound_table_is_found_by_one_check(case):
    """Each check has a table that it objects to, at the stage concerned, and no other check does."""
    lifecycle, check, stage, message = UNSOUND[case]

    findings = lint(lifecycle)

    assert {finding.check for finding in findings} == {check}
    assert [finding for finding in findings if finding.stage == stage and message in finding.message] != []


def test_no_check_is_without_its_table(root):
    """The tables above trigger every check that the lint's source names."""
    source = (root / "specs" / "lifecycle_lint.py").read_text()
    named = {part.split('"')[1] for part in source.replace("\n", "").split("Finding(")[1:] if '"' in part}

    assert named == {check for _, check, _, _ in UNSOUND.values()}


def test_exception_edge_out_of_the_end_is_found():
    """An exception edge that leaves the final stage closes a cycle as well: the end is named for both."""
    findings = lint(table(dispose={"on_exception": "exception"}))

    assert Finding("final", "dispose", "is final, so no exception edge may leave it") in findings
    assert {finding.check for finding in findings} == {"final", "trap"}


def test_every_finding_of_a_table_is_told():
    """Several mistakes of the same kind are all told, each with its stage."""
    findings = lint(table(build={"next": "a"}, start={"on_exception": "b"}))

    assert [str(finding).partition(", which")[0] for finding in findings] == [
        "stage 'build': leads to 'a'",
        "stage 'start': leads to 'b'",
    ]


@pytest.mark.parametrize("case", UNSOUND)
def test_runtime_refuses_an_unsound_lifecycle(make_run, case):
    """No run is ever made for an unsound table: the runtime names the lifecycle and every finding."""
    lifecycle = UNSOUND[case][0]

    with pytest.raises(LifecycleError) as raised:
        make_run.runtime(lifecycle=lifecycle)

    assert str(raised.value).startswith(f"lifecycle {lifecycle.name!r} is not sound: ")
    assert [str(finding) for finding in lint(lifecycle) if str(finding) not in str(raised.value)] == []


def test_runtime_refuses_an_action_that_nobody_has(make_run):
    """An action that is neither a run's method nor one of the embedder's is named with its stage."""
    lifecycle = TASK_RUN.insert(Stage("scan", action="scan_for_viruses"), after="build")

    with pytest.raises(LifecycleError) as raised:
        make_run.runtime(lifecycle=lifecycle)

    assert str(raised.value) == (
        "lifecycle 'task-run' is not sound: "
        "stage 'scan': no action is called 'scan_for_viruses'; pass it in actions"
    )


def test_runtime_refuses_an_argument_that_no_run_has(make_run):
    """A value that a hook is to be given and that no run has is named with stage and hook."""
    lifecycle = TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("bulider",)), after="build")

    with pytest.raises(LifecycleError) as raised:
        make_run.runtime(lifecycle=lifecycle)

    assert str(raised.value) == (
        "lifecycle 'task-run' is not sound: stage 'scan': a run has no 'bulider' to give to 'scanned'"
    )


async def test_runtime_takes_an_action_of_the_embedder(make_run):
    """An action that is passed in is called once, with the run, in its stage."""
    seen: list[str] = []

    async def scan(run: Any) -> None:
        seen.append(run.stage)

    lifecycle = TASK_RUN.insert(Stage("scan", action="scan_for_viruses"), after="build")
    run = make_run(lifecycle=lifecycle, actions={"scan_for_viruses": scan})

    resolution = await run.wait()

    assert (resolution.state, seen) == ("completed", ["scan"])
