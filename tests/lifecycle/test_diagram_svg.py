"""The SVGs: well formed, complete, marked, and deaf to what names say."""

import re
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest

from stagecall.lifecycle.diagram import outline, svg, timeline
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle, Stage
from stagecall.specs.trace import Kind, Trace

from .diagram_support import (
    BROKEN,
    HOSTILE,
    PLUGINS,
    WITH_INVENTED_STAGES,
    Recorder,
    aborted_run,
    broken_run,
    completed_run,
    hostile_run,
    malformed_run,
    running_run,
)

RUNS = [completed_run, broken_run, running_run, aborted_run, malformed_run, hostile_run]
SVG = "{http://www.w3.org/2000/svg}"


def groups(drawing: str, attribute: str) -> dict[str, Element]:
    """The groups of a drawing by that attribute."""
    return {
        group.get(attribute, ""): group
        for group in fromstring(drawing).iter(f"{SVG}g")
        if attribute in group.attrib
    }


def classes(drawing: str, attribute: str) -> dict[str, str]:
    """The classes of those groups."""
    return {name: group.get("class", "") for name, group in groups(drawing, attribute).items()}


def texts(element: Element) -> list[str]:
    """The texts that stand in an element."""
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def test_lifecycle_has_every_stage_with_its_hook():
    """A card stands for each stage and names it and its hook; the first and the last are told apart."""
    stages = groups(svg(TASK_RUN), "data-stage")

    assert {
        name: group.get("class") for name, group in stages.items() if group.get("class") != "stage main"
    } == {
        "pending": "stage initial",
        "exception": "stage aside",
        "dispose": "stage final",
    }
    assert list(stages) == [stage.name for stage in TASK_RUN.stages]
    assert texts(stages["stopped"]) == ["stopped", "stopped(result_set) → bool"]
    assert texts(stages["finished"]) == ["finished", "closes the task log", "finished(success)"]


def test_exception_edges_are_all_there():
    """Each of the eight stages that may fail is tied to the trunk or to the exception stage itself."""
    edges = classes(svg(TASK_RUN), "data-edge")

    sources = [
        edge.split()[0] for edge, names in edges.items() if "branch" in names or edge == "finished exception"
    ]
    assert sorted(sources) == sorted(TASK_RUN.sources("exception"))


def test_outline_is_bare_and_says_the_rest_in_titles():
    """A page's own outline has a card for each stage with nothing but its name on it, no style, and no run."""
    drawing = fromstring(outline(TASK_RUN))

    cards = [group for group in drawing.iter("g") if "data-stage" in group.attrib]
    assert [card.get("data-name") for card in cards] == [stage.name for stage in TASK_RUN.stages]
    assert ["".join(text.text or "" for text in card.iter("text")) for card in cards] == [
        stage.name for stage in TASK_RUN.stages
    ]
    assert [title.text for title in cards[6].iter("title")] == ["stopped: calls stopped(result_set) → bool"]
    assert list(drawing.iter("style")) == []
    assert drawing.get("class") == "stagecall"


def test_completed_run_is_marked_along_its_path():
    """The stages entered, and the edges between them, are marked; the exception stage is faded."""
    drawing = svg(TASK_RUN, completed_run())

    taken = [edge for edge, names in classes(drawing, "data-edge").items() if "taken" in names.split()]
    path = TASK_RUN.main_path
    assert sorted(taken) == sorted(f"{a} {b}" for a, b in pairwise(path))
    stages = classes(drawing, "data-stage")
    assert {name: names.split()[-1] for name, names in stages.items()} == {
        **dict.fromkeys(path, "entered"),
        "exception": "skipped",
    }


def test_completed_run_tells_times():
    """Below the name of a stage stand its hook and each call with the time it took."""
    drawing = svg(TASK_RUN, completed_run())

    stages = groups(drawing, "data-stage")
    assert texts(stages["stopped"]) == [
        "stopped", "412 ms", "stopped(result_set) → bool", "artifacts", "412 ms", "tasklog", "0.3 ms"
    ]  # fmt: skip
    assert texts(stages["start"]) == ["start", "84 ms", "start sandbox", "84 ms"]
    assert texts(fromstring(drawing))[:2] == ["completed", "3.74 s"]


def test_broken_run_marks_the_failing_hook():
    """The hook that failed has a cross and its error below it; the way to the exception stage is marked."""
    drawing = svg(TASK_RUN, broken_run())

    failed = groups(drawing, "data-stage")["started"]
    assert failed.get("class") == "stage main failed"
    assert texts(failed)[:7] == [
        "started",
        "6.00 s",
        "started(sandbox)",
        "artifacts",
        "failed · 241 ms",
        "OSError: [Errno 28] No space left",
        "on device: '/var/lib/stagecall/sto",
    ]
    assert len(list(failed.iter(f"{SVG}path"))) == 1
    assert classes(drawing, "data-edge")["stopped/exception exception"] == "edge exception trunk taken"
    assert texts(fromstring(drawing))[0] == "exception: internal-error"


def test_run_under_way_lights_the_current_stage():
    """The stage that the run is in is lit, those after it are faded."""
    stages = classes(svg(TASK_RUN, running_run()), "data-stage")

    assert stages["started"] == "stage main entered"
    assert stages["waiting"] == "stage main current"
    assert stages["stopped"] == "stage main skipped"


def test_many_calls_are_cut_to_the_worst_and_slowest():
    """A card shows six calls at most: those that went badly, then the slowest; the rest is counted."""
    run = Recorder(plugins=tuple(f"p{n}" for n in range(9)))
    run.move("prepare")
    ends = {"p0": {"outcome": "failed", "error": "no"}}
    run.side_by_side({f"p{n}": n / 10 + 0.001 for n in range(9)}, "new_task_plugin", ends)

    card = texts(groups(svg(TASK_RUN, run.trace()), "data-stage")["prepare"])

    assert [text for text in card if text.startswith("p") and text != "prepare"] == [
        "p0",
        "p4",
        "p5",
        "p6",
        "p7",
        "p8",
    ]
    assert card[-1] == "and 3 more"


def test_invented_stages_are_drawn_like_any_other():
    """A lifecycle with two stages more has their cards on the main path and their edges in the trunk."""
    drawing = svg(WITH_INVENTED_STAGES)

    stages = groups(drawing, "data-stage")
    assert texts(stages["scan"]) == ["scan", "looks for malware in what will run", "scanned(builder)"]
    assert stages["sign"].get("class") == "stage main"
    assert {"scan start", "build scan", "scan scan/exception", "sign exception"} <= set(
        groups(drawing, "data-edge")
    )


def test_broken_lifecycle_still_draws():
    """Stages that are not there are drawn and marked; those that nothing leads to are drawn too."""
    drawing = svg(BROKEN)

    stages = groups(drawing, "data-stage")
    assert {name: group.get("class") for name, group in stages.items()} == {
        "begin": "stage initial",
        "work": "stage main",
        "island": "stage aside",
        "stage_3": "stage final",
        "nowhere": "stage unknown",
        "rescue": "stage unknown",
    }
    assert texts(stages["nowhere"]) == ["nowhere", "no such stage"]
    assert {"work nowhere", "island work", "stage_3 stage_3"} <= set(groups(drawing, "data-edge"))


def test_run_of_another_lifecycle_shows_moves_that_were_not_declared():
    """Stages and moves that only the trace knows are drawn, and marked as undeclared."""
    lifecycle = Lifecycle("short", (Stage("pending", next="dispose"), Stage("dispose")))

    drawing = svg(lifecycle, malformed_run())

    assert classes(drawing, "data-stage")["exception"] == "stage unknown entered"
    assert classes(drawing, "data-edge")["pending prepare"] == "edge undeclared taken"


@pytest.mark.parametrize("trace", [None, completed_run()], ids=["lifecycle", "run"])
def test_lifecycle_without_stages_draws(trace):
    """Even a table without a row has a picture."""
    drawing = svg(Lifecycle("empty", ()), trace)

    assert set(groups(drawing, "data-stage")) == (set() if trace is None else set(TASK_RUN.main_path))


@pytest.mark.parametrize("run", RUNS)
def test_picture_has_a_text_alternative(run):
    """Both SVGs are images with a title; the picture's description tells the path."""
    picture, line = fromstring(svg(TASK_RUN, run())), fromstring(timeline(run()))

    assert [drawing.get("role") for drawing in (picture, line)] == ["img", "img"]
    assert (picture.findtext(f"{SVG}title") or "").startswith("Run")
    assert (picture.findtext(f"{SVG}desc") or "").startswith(
        "The run went through pending (0.1 ms), prepare ("
    )
    assert (line.findtext(f"{SVG}title") or "").startswith("Time line")


@pytest.mark.parametrize("run", RUNS)
def test_svg_asks_for_nothing(run):
    """No SVG names anything outside itself, holds a script, or an attribute that runs one."""
    for drawing in (svg(TASK_RUN, run()), timeline(run())):
        elements = list(fromstring(drawing).iter())

        tags = {element.tag.removeprefix(SVG) for element in elements}
        names = {name for element in elements for name in element.attrib}
        assert tags <= {
            "svg",
            "title",
            "desc",
            "style",
            "g",
            "rect",
            "circle",
            "path",
            "polygon",
            "line",
            "text",
        }
        assert not [name for name in names if name.startswith("on") or "href" in name or name == "style"]
        assert re.findall(r"https?://[^\"]*|url\(|@import", drawing) == ["http://www.w3.org/2000/svg"]


def test_hostile_text_stays_text():
    """What looks like markup in a name or an error is shown as it is; what no XML may hold is replaced."""
    for drawing in (svg(TASK_RUN, hostile_run()), timeline(hostile_run())):
        titles = [title.text or "" for title in fromstring(drawing).iter(f"{SVG}title")]

        shown = " ".join(HOSTILE.split()).translate(dict.fromkeys(map(ord, "\x00\ud800\u202e"), "\ufffd"))
        assert any(shown in " ".join(title.split()) for title in titles)
        assert "<script" not in drawing


def bars(drawing: str) -> dict[str, list[tuple[str, str]]]:
    """The bars of every row: what pointing at one shows, and its class."""
    return {
        name: [(bar.findtext(f"{SVG}title") or "", bar[1].get("class", "")) for bar in row.findall(f"{SVG}g")]
        for name, row in groups(drawing, "data-row").items()
    }


def test_timeline_has_a_row_for_the_engine_and_every_plugin():
    """Rows stand in declared order, one bar for each call in the colour of its outcome."""
    rows = bars(timeline(broken_run()))

    assert list(rows) == ["engine", *PLUGINS]
    assert rows["tasklog"] == [
        ("prepare: new_task_plugin, ok, 0.2 ms", "bar ok"),
        ("started: started, abandoned, 6.00 s", "bar abandoned"),
        ("dispose: dispose, ok, 0.6 ms", "bar ok"),
    ]
    assert rows["artifacts"][1][0].startswith("started: started, failed, 241 ms: OSError: ")


def test_timeline_has_a_column_for_every_stage_entered():
    """Columns stand side by side in the order of the visits, each as wide as its name needs at least."""
    columns = groups(timeline(completed_run()), "data-stage")

    assert list(columns) == list(TASK_RUN.main_path)
    places = [(float(group[0].get("x", "")), float(group[0].get("width", ""))) for group in columns.values()]
    assert [round(x + width, 1) for x, width in places[:-1]] == [round(x, 1) for x, _ in places[1:]]
    assert min(width for _, width in places) >= 56
    assert (
        max(width for _, width in places)
        == dict(zip(columns, (width for _, width in places), strict=True))["waiting"]
    )


def test_timeline_keeps_calls_at_the_same_time_apart():
    """Calls of one plugin that overlap stand in lanes below each other, and every bar inside the drawing."""
    run = Recorder(plugins=("env",))
    run.move("prepare")
    for name in ("a", "b", "c"):
        run.add(Kind.CALL, "env", name)
        run.time += 1

    row = groups(timeline(run.trace()), "data-row")["env"]

    places = [bar[1] for bar in row.findall(f"{SVG}g")]
    assert len({bar.get("y") for bar in places}) == 3
    assert {bar.get("class") for bar in places} == {"bar open"}


@pytest.mark.parametrize("run", RUNS)
def test_timeline_bars_stay_inside(run):
    """No bar leaves the drawing, however short or long its call was."""
    drawing = timeline(run())

    whole = float(fromstring(drawing).get("width", ""))
    ends = [
        float(rect.get("x", "")) + float(rect.get("width", ""))
        for row in groups(drawing, "data-row").values()
        for rect in row.iter(f"{SVG}rect")
    ]
    assert max(ends, default=0.0) <= whole + 2


def test_timeline_marks_the_abort():
    """The moment of an abort is a line across the rows, with its reason."""
    drawing = fromstring(timeline(aborted_run()))

    assert [text for text in texts(drawing) if text.startswith("abort")] == ["abort: canceled"]
    assert len([line for line in drawing.iter(f"{SVG}line") if line.get("class") == "abort"]) == 1


def test_timeline_of_nothing():
    """A trace without events has an empty time line."""
    drawing = timeline(Trace(completed_run().started))

    assert groups(drawing, "data-stage") == {}
    assert list(groups(drawing, "data-row")) == ["engine"]


def test_error_that_no_call_returned_is_marked():
    """An error of the run itself, as of an invalid payload, has a cross of its own on the stage's card."""
    card = groups(svg(TASK_RUN, malformed_run()), "data-stage")["prepare"]

    assert texts(card)[2:] == [
        "new_task_plugin(options)",
        "error",
        "payload: command: required field;",
        "env.PATH: must be of string type",
    ]
    assert len(list(card.iter(f"{SVG}path"))) == 1
