"""A lifecycle as an SCXML state chart.

Source: State Chart XML (SCXML), W3C Recommendation of 1 September 2015. A stage is a `state`, the last one a
`final`; the event `done` leads along the main path, `error` and `abort` to the exception stage. What a stage does
stands in attributes of a namespace of its own, which the recommendation lets a processor pass over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...specs.lifecycle import Combine, Lifecycle, Order, Stage
from .names import check_names

SCXML = "http://www.w3.org/2005/07/scxml"
STAGECALL = "urn:stagecall:lifecycle"
"""The namespace of attributes that say what a stage is: its action, hook, arguments, and so on, as in YAML."""

DONE, ASTRAY = "done", "error abort"
"""The events that lead along the main path, and to the exception stage."""


def scxml(lifecycle: Lifecycle) -> str:
    """Return the lifecycle as an SCXML document.

    Raises: ExportError.

    >>> from stagecall.specs.lifecycle import Stage
    >>> print(scxml(Lifecycle("tiny", (Stage("work", next="done", hook="work"), Stage("done")))))
    <?xml version="1.0" encoding="UTF-8"?>
    <scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:stagecall="urn:stagecall:lifecycle" version="1.0" datamodel="null" initial="work" name="tiny" stagecall:name="tiny">
      <state id="work" stagecall:hook="work">
        <transition event="done" target="done" />
      </state>
      <final id="done" />
    </scxml>
    <BLANKLINE>
    """  # noqa: E501
    check_names(lifecycle, "SCXML")
    root = Element(
        "scxml",
        {
            "xmlns": SCXML,
            "xmlns:stagecall": STAGECALL,
            "version": "1.0",
            "datamodel": "null",
            "initial": lifecycle.initial.name,
        },
    )
    if re.fullmatch(r"[-.:\w]+", lifecycle.name):  # an NMTOKEN, which is all that `name` may be
        root.set("name", lifecycle.name)
    root.set("stagecall:name", lifecycle.name)
    for stage in lifecycle.stages:
        _add(root, stage)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add(root: Element, stage: Stage) -> None:
    ends = stage.next is None and stage.on_exception is None
    attributes = {f"stagecall:{name}": value for name, value in _told(stage)}
    state = SubElement(root, "final" if ends else "state", {"id": stage.name, **attributes})
    if stage.on_exception is not None:
        SubElement(state, "transition", {"event": ASTRAY, "target": stage.on_exception})
    if stage.next is not None:
        SubElement(state, "transition", {"event": DONE, "target": stage.next})


def _told(stage: Stage) -> Iterator[tuple[str, str]]:
    if stage.action is not None:
        yield "action", stage.action
    if stage.hook is not None:
        yield "hook", stage.hook
    if stage.arguments:
        yield "arguments", " ".join(stage.arguments)
    if stage.combine is not Combine.NOTHING:
        yield "combine", stage.combine.value
    if stage.order is not Order.SIDE_BY_SIDE:
        yield "order", stage.order.value
    if stage.action_calls_hook:
        yield "actionCallsHook", "true"
    if stage.does:
        yield "does", stage.does
