"""The table of a task's run: the design's stages, edges, actions and hooks, and what is derived from it."""

import pytest

from stagecall.specs.lifecycle import TASK_RUN, Combine, Order, Stage

MAIN_PATH = (
    "pending",
    "prepare",
    "build",
    "start",
    "started",
    "waiting",
    "stopped",
    "finished",
    "resolved",
    "dispose",
)


def test_main_path_is_the_designs():
    """A run without errors enters ten stages, in the design's order."""
    assert TASK_RUN.main_path == MAIN_PATH


def test_exception_leaves_every_stage_up_to_finished():
    """`exception` may be entered from every stage up to and including finished, and from no other."""
    assert TASK_RUN.sources("exception") == MAIN_PATH[:8]
    assert TASK_RUN.exception_stages == {"exception"}
    assert TASK_RUN.following("exception") == ("exception", "resolved", "dispose")


def test_dispose_is_final_and_reached_from_resolved_only():
    """Nothing leads out of dispose, and only resolved leads into it."""
    assert TASK_RUN.final == "dispose"
    assert TASK_RUN.sources("dispose") == ("resolved",)
    assert [edge for edge in TASK_RUN.edges() if edge[0] == "dispose"] == []


def test_hooks_and_their_arguments_are_the_designs():
    """Each hook belongs to one stage and is given what the design says."""
    assert {hook: (stage.name, stage.arguments) for hook, stage in TASK_RUN.hooks.items()} == {
        "new_task_plugin": ("prepare", ("options",)),
        "build_sandbox": ("build", ("builder",)),
        "started": ("started", ("sandbox",)),
        "stopped": ("stopped", ("result_set",)),
        "finished": ("finished", ("success",)),
        "exception": ("exception", ("reason",)),
        "dispose": ("dispose", ()),
    }


def test_actions_are_the_designs():
    """What the run itself does stands in the table too."""
    assert {stage.name: stage.action for stage in TASK_RUN.stages if stage.action} == {
        "prepare": "prepare",
        "start": "start_sandbox",
        "waiting": "wait_for_result",
        "finished": "close_log",
        "exception": "give_up",
        "resolved": "report",
        "dispose": "dispose",
    }


def test_verdicts_are_anded_in_stopped_and_dispose_runs_in_reverse():
    """Only `stopped` combines what hooks return, and only dispose calls them in reverse."""
    assert [stage.name for stage in TASK_RUN.stages if stage.combine is Combine.ALL] == ["stopped"]
    assert [stage.name for stage in TASK_RUN.stages if stage.order is Order.REVERSE] == ["dispose"]


def test_unknown_stage_is_refused_with_the_known_ones():
    """Asking for a stage that is not there names it, the lifecycle, and the stages there are."""
    with pytest.raises(KeyError, match="no stage 'scan' in lifecycle 'task-run'; it has pending, prepare"):
        TASK_RUN["scan"]


def test_inserted_stage_takes_over_the_edges():
    """A stage that is inserted follows another one, leads where that led, and may fail as that may."""
    lifecycle = TASK_RUN.insert(Stage("scan", hook="scanned"), after="build", name="scanning")

    assert lifecycle.name == "scanning"
    assert lifecycle.main_path == (*MAIN_PATH[:3], "scan", *MAIN_PATH[3:])
    assert lifecycle["scan"].on_exception == "exception"
    assert set(lifecycle.edges()) - set(TASK_RUN.edges()) == {
        ("build", "scan"),
        ("scan", "start"),
        ("scan", "exception"),
    }
