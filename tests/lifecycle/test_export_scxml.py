"""SCXML: a valid state chart by the recommendation's rules, which says what the table says."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import attrs
import pytest
import yaml

from stagecall.lifecycle.export import ExportError, scxml
from stagecall.lifecycle.export.scxml import SCXML, STAGECALL
from stagecall.specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from stagecall.specs.lifecycle_yaml import read_lifecycle

from ..support.invented import INVENTED

BROKEN = sorted((Path(__file__).parent / "broken").iterdir())

CONTENT = {
    "scxml": ({"state", "final"}, {"initial", "name", "version", "datamodel"}, {"version"}),
    "state": ({"transition"}, {"id", "initial"}, {"id"}),
    "final": (set(), {"id"}, {"id"}),
    "transition": (set(), {"event", "cond", "target", "type"}, {"target"}),
}
"""Of the recommendation's elements those that a lifecycle needs: the children, attributes, and which are required."""


def faults(document: str) -> Iterator[str]:
    """Yield what the recommendation (sections 3.2 to 3.7, and its schema) objects to in a document."""
    root = ElementTree.fromstring(document)
    ids = [element.get("id") for element in root.iter() if element.get("id") is not None]
    if root.tag != f"{{{SCXML}}}scxml" or root.get("version") != "1.0":
        yield f"the root is {root.tag} of version {root.get('version')}"
    if len(set(ids)) < len(ids):
        yield f"ids clash: {ids}"
    if root.get("initial") not in [child.get("id") for child in root]:
        yield f"the initial state {root.get('initial')} is none"
    if not re.fullmatch(r"[-.:\w]*", root.get("name", "")):
        yield f"the name {root.get('name')!r} is no NMTOKEN"
    for element in root.iter():
        yield from _element_faults(element, ids)


def _element_faults(element: Element, ids: list[str | None]) -> Iterator[str]:
    name = element.tag.removeprefix(f"{{{SCXML}}}")
    children, allowed, required = CONTENT[name]
    own = {attribute for attribute in element.attrib if not attribute.startswith("{")}
    if own - allowed or required - own:
        yield f"{name} has the attributes {sorted(own)}"
    for child in element:
        if child.tag.removeprefix(f"{{{SCXML}}}") not in children:
            yield f"{name} holds a {child.tag}"
    if name == "transition":
        yield from (
            f"target {target} is no state"
            for target in element.get("target", "").split()
            if target not in ids
        )
        events = element.get("event", "").split()
        yield from (f"event {event}" for event in events if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", event))
    elif "id" in required and not re.fullmatch(r"[^\W\d][-.\w]*", element.get("id", "")):
        yield f"id {element.get('id')!r} is no NCName"


def read(document: str) -> Lifecycle:
    """Read a lifecycle back from its state chart."""
    root = ElementTree.fromstring(document)
    return Lifecycle(root.get(f"{{{STAGECALL}}}name", ""), tuple(map(_read_stage, root)))


def _read_stage(element: Element) -> Stage:
    def told(name: str) -> str | None:
        return element.get(f"{{{STAGECALL}}}{name}")

    edges = {transition.get("event"): transition.get("target") for transition in element}
    return Stage(
        str(element.get("id")),
        next=edges.get("done"),
        on_exception=edges.get("error abort"),
        action=told("action"),
        hook=told("hook"),
        arguments=tuple((told("arguments") or "").split()),
        combine=Combine(told("combine") or "nothing"),
        order=Order(told("order") or "side by side"),
        action_calls_hook=told("actionCallsHook") == "true",
        does=told("does") or "",
    )


LIFECYCLES = [
    TASK_RUN,
    INVENTED,
    *(read_lifecycle(yaml.safe_load(file.read_text())) for file in BROKEN),
]


@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.name)
def test_state_chart_is_valid_and_says_what_the_table_says(lifecycle):
    """The recommendation objects to nothing, and every stage and edge is read back as it was."""
    document = scxml(lifecycle)

    assert list(faults(document)) == []
    assert read(document).stages == lifecycle.stages
    assert list(read(document).edges()) == list(lifecycle.edges())


def test_last_stage_is_final_and_no_other():
    """A processor that enters dispose is done."""
    root = ElementTree.fromstring(scxml(TASK_RUN))

    assert [element.get("id") for element in root if element.tag == f"{{{SCXML}}}final"] == ["dispose"]


def test_text_of_others_is_escaped():
    """What a stage does may hold anything, a lifecycle's name too; the chart stays well-formed and says it."""
    hostile = Lifecycle('a "name" & <b>', (attrs.evolve(TASK_RUN["dispose"], does='<x y="1"> & ]]>'),))

    document = scxml(hostile)

    assert list(faults(document)) == []
    assert (read(document).name, read(document).stages) == (hostile.name, hostile.stages)


@pytest.mark.parametrize(
    ("lifecycle", "message"),
    [
        (Lifecycle("void", ()), "lifecycle 'void' has no stages"),
        (
            Lifecycle("lost", (Stage("a", next="b"),)),
            "stage 'a' leads to 'b', which is no stage; stages are a",
        ),
        (Lifecycle("twins", (Stage("a"), Stage("a"))), "2 stages are called 'a'; names must differ"),
        (
            Lifecycle("odd", (Stage("a b"),)),
            "stage 'a b' cannot be named in SCXML: a name has letters, digits and _",
        ),
    ],
)
def test_table_that_no_chart_can_show_is_refused(lifecycle, message):
    """A chart has a name for every state, and a state for every target."""
    with pytest.raises(ExportError) as raised:
        scxml(lifecycle)

    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ('version="1.0" datamodel', 'version="2" datamodel', "the root is"),
        ('initial="pending"', 'initial="nowhere"', "the initial state"),
        ('target="build"', 'target="nowhere"', "target nowhere is no state"),
        ('id="build"', 'id="start"', "ids clash"),
        ("<final id=", '<final colour="red" id=', "final has the attributes"),
    ],
)
def test_invalid_chart_is_noticed(good, bad, fault):
    """The check of this test is one: a chart that is damaged in one place is objected to."""
    document = scxml(TASK_RUN)
    assert good in document

    assert [found for found in faults(document.replace(good, bad, 1)) if found.startswith(fault)] != []
