"""A lifecycle as a document: it survives the round trip, and what is wrong with it is told with its place."""

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml

from stagecall.specs.lifecycle import TASK_RUN, Stage
from stagecall.specs.lifecycle_lint import lint
from stagecall.specs.lifecycle_yaml import (
    STAGE_SCHEMA,
    LifecycleDocumentError,
    lifecycle_document,
    load_lifecycle,
    read_lifecycle,
)

BUILD = 2
"""The place of `build` among the stages of a task run."""


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps], ids=["yaml", "json"])
def test_task_run_survives_the_round_trip(dump):
    """The table written to a document and read back, by YAML or JSON, is the same table."""
    document = yaml.safe_load(dump(lifecycle_document(TASK_RUN)))

    loaded = load_lifecycle(document)

    assert (loaded.name, loaded.stages) == (TASK_RUN.name, TASK_RUN.stages)
    assert lifecycle_document(loaded) == document


def test_document_leaves_defaults_out():
    """What is written of a stage is what differs from the defaults, in camelCase."""
    stages = {stage["name"]: stage for stage in lifecycle_document(TASK_RUN)["stages"]}

    assert stages["stopped"] == {
        "name": "stopped",
        "next": "finished",
        "onException": "exception",
        "hook": "stopped",
        "arguments": ["result_set"],
        "combine": "all",
    }


def test_every_field_of_a_stage_can_be_written():
    """A stage with nothing at its default survives the round trip, field by field."""
    written = {
        "name": "scan",
        "next": "start",
        "onException": "exception",
        "action": "look",
        "hook": "scanned",
        "arguments": ["builder", "sandbox"],
        "combine": "all",
        "order": "reverse",
        "actionCallsHook": True,
        "does": "looks",
    }

    read = read_lifecycle({"name": "x", "stages": [written]})

    assert written.keys() == STAGE_SCHEMA.keys()
    assert lifecycle_document(read) == {"name": "x", "stages": [written]}


def test_example_declares_a_sound_lifecycle(root):
    """The example is the table of task runs with the two stages that it adds."""
    lifecycle = load_lifecycle(yaml.safe_load((root / "examples" / "lifecycle.yml").read_text()))

    added = {stage.name: stage.hook for stage in lifecycle.stages if stage.name not in TASK_RUN.by_name}
    assert added == {"scan": "scanned", "review": "reviewed"}
    assert tuple(name for name in lifecycle.main_path if name not in added) == TASK_RUN.main_path
    assert lint(lifecycle) == []


STAGE_VIOLATIONS: dict[str, tuple[Any, str]] = {
    "name": (7, "name"),
    "next": ("no name", "next"),
    "onException": (["exception"], "onException"),
    "action": ("9lives", "action"),
    "hook": ("built-sandbox", "hook"),
    "arguments": ("builder", "arguments"),
    "combine": ("any", "combine"),
    "order": ("sideways", "order"),
    "actionCallsHook": ("yes", "actionCallsHook"),
    "does": (1, "does"),
}


@pytest.mark.parametrize("field", STAGE_SCHEMA)
def test_violation_in_a_stage_names_its_place(field):
    """A field that a stage cannot have as it is written is told with the way to it, and nothing else is."""
    value, place = STAGE_VIOLATIONS[field]
    document = lifecycle_document(TASK_RUN)
    document["stages"][BUILD][field] = value

    with pytest.raises(LifecycleDocumentError) as raised:
        load_lifecycle(document)

    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [
        f"lifecycle.stages[{BUILD}].{place}"
    ]


OTHER_VIOLATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": None}, "lifecycle.name"),
    "an empty name": ({"name": ""}, "lifecycle.name"),
    "a number for a name": ({"name": 5}, "lifecycle.name"),
    "stages that are no list": ({"stages": "pending"}, "lifecycle.stages"),
    "no stages": ({"stages": []}, "lifecycle.stages"),
    "too many stages": ({"stages": [{"name": f"s{n}"} for n in range(201)]}, "lifecycle.stages"),
    "a stage that is no object": ({"stages": ["pending"]}, "lifecycle.stages[0]"),
    "a stage without name": ({"stages": [{"next": "b"}]}, "lifecycle.stages[0].name"),
    "an unknown field of a stage": (
        {"stages": [{"name": "a", "onError": "b"}]},
        "lifecycle.stages[0].onError",
    ),
    "an argument that is no name": (
        {"stages": [{"name": "a", "hook": "h", "arguments": ["x", "no name"]}]},
        "lifecycle.stages[0].arguments[1]",
    ),
    "a name that is too long": ({"stages": [{"name": "a" * 65}]}, "lifecycle.stages[0].name"),
    "an unknown field": ({"version": 2}, "lifecycle.version"),
}


@pytest.mark.parametrize("case", OTHER_VIOLATIONS)
def test_violation_of_the_document_names_its_place(case):
    """What no lifecycle's document has is told with the way to it."""
    change, place = OTHER_VIOLATIONS[case]
    document = deepcopy(lifecycle_document(TASK_RUN)) | change

    with pytest.raises(LifecycleDocumentError) as raised:
        read_lifecycle(document)

    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [place]


@pytest.mark.parametrize("field", ["name", "stages"])
def test_required_field_is_missed_by_name(field):
    """A document without name or without stages is told which."""
    document = lifecycle_document(TASK_RUN)
    del document[field]

    with pytest.raises(LifecycleDocumentError) as raised:
        read_lifecycle(document)

    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [f"lifecycle.{field}"]


@pytest.mark.parametrize("document", [None, [], "task-run", 7], ids=repr)
def test_what_is_no_object_is_refused(document):
    """A document that is no object is refused as a whole."""
    with pytest.raises(LifecycleDocumentError) as raised:
        read_lifecycle(document)

    assert [problem.partition(": ")[0] for problem in raised.value.problems] == ["lifecycle"]


def test_all_violations_are_told_at_once():
    """Whoever writes a document learns of everything that is wrong, not of the first."""
    document = lifecycle_document(TASK_RUN)
    document["stages"][BUILD]["combine"] = "any"
    document["stages"][0]["does"] = 1

    with pytest.raises(LifecycleDocumentError) as raised:
        read_lifecycle(document)

    assert sorted(problem.partition(": ")[0] for problem in raised.value.problems) == [
        "lifecycle.stages[0].does",
        f"lifecycle.stages[{BUILD}].combine",
    ]


def test_unsound_lifecycle_is_refused_with_its_findings():
    """A document that the schema has nothing against, and the lint has, can be read but not loaded."""
    document = lifecycle_document(TASK_RUN)
    document["stages"][BUILD]["next"] = "nowhere"
    document["stages"].append({"name": "build"})

    read = read_lifecycle(document)
    with pytest.raises(LifecycleDocumentError) as raised:
        load_lifecycle(document)

    assert read.stages[-1] == Stage("build")
    assert raised.value.problems == [str(finding) for finding in lint(read)]
    assert {problem.rpartition(" ")[2] for problem in raised.value.problems} == {
        "[name-clash]",
        "[unknown-target]",
    }
