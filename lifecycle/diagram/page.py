"""The HTML page: the picture, the time line, and the same as a table, in one file that needs nothing else.

The policy in the page's head allows its own style sheet, by its hash, and nothing more: no script, no
request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC
from string import Template
from xml.etree.ElementTree import Element, tostring

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Trace
from .card import hook_call, tone, tone_word
from .graph import Graph, Node
from .history import Call, History
from .markup import LONGEST, duration, element, line_of, number, shortened
from .palette import FONTS, MONO, both, style_sheet
from .picture import draw
from .time_line import draw_timeline


def html(lifecycle: Lifecycle, trace: Trace | None = None, title: str | None = None) -> str:
    """Return a page that shows the lifecycle, or the run of it that `trace` tells of; `title` is its heading.

    Graphviz is run and waited for. Raises: DiagramError if there is none or if it fails.
    """
    graph = Graph.of(lifecycle, trace)
    time_line = None if graph.history is None else draw_timeline(graph.history)
    css = style_sheet() + _SHAPES + both(_COLOURS) + _least_width(time_line)
    heading = title or f"{'Lifecycle' if trace is None else 'Run of'} {lifecycle.name}"
    page = element(
        "html",
        _head(f"{heading}: {graph.history.verdict()}" if graph.history else heading, css),
        element(
            "body",
            _header(graph, trace, heading),
            element("main", element("figure", draw(graph)), element("div", *_beside(graph, time_line))),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _head(title: str, css: str) -> Element:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", line_of(title)),
        element("style", css),
    )


def _header(graph: Graph, trace: Trace | None, heading: str) -> Element:
    history = graph.history
    if history is None or trace is None:
        return element("header", element("h1", heading))
    started = trace.started.astimezone(UTC)
    facts = [
        ("task", history.task_id),
        ("lifecycle", graph.name),
        ("started", f"{started:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    verdict = element("strong", history.verdict(), class_=history.state or "open")
    return element(
        "header",
        element("h1", heading),
        element("p", verdict, f" after {duration(history.now)}", class_="verdict"),
        *(element("p", shortened(part, LONGEST), class_="cause") for part in _what_went_wrong(history)),
        element(
            "dl", *(element("div", element("dt", name), element("dd", text)) for name, text in facts if text)
        ),
    )


def _what_went_wrong(history: History) -> Iterator[str]:
    if history.cause:
        yield history.cause
    for visit in history.visits:
        for problem in visit.problems:
            if problem.message not in (history.cause or ""):
                origin = ", ".join(filter(None, (visit.stage, problem.plugin, problem.call)))
                yield f"{origin}: {problem.message}"


def _least_width(time_line: Element | None) -> str:
    """Return the rule that lets a time line shrink as long as it can be read, and scroll from there."""
    natural = 0.0 if time_line is None else float(time_line.get("width", "0"))
    return f".scroll svg{{min-width:{number(0.85 * natural)}px}}"


def _beside(graph: Graph, time_line: Element | None) -> Iterator[Element]:
    if graph.history is None:
        yield element(
            "section",
            element("h2", "Stages"),
            element("div", _lifecycle_table(graph), class_="wide", tabindex="0"),
        )
        return
    yield element(
        "section",
        element("h2", "Time line"),
        element("div", time_line, class_="scroll", tabindex="0", role="region", aria_label="Time line"),
        element("p", "Time runs evenly within a stage, not from one stage to the next.", class_="note"),
    )
    yield element("section", element("h2", "Stages and hooks"), _run_table(graph, graph.history))


def _lifecycle_table(graph: Graph) -> Element:
    head = ("Stage", "The run does", "Plugins get", "Next", "On exception")
    return element(
        "table",
        element("thead", element("tr", *(element("th", text, scope="col") for text in head))),
        element("tbody", *(_lifecycle_row(node) for node in graph.nodes)),
        class_="lifecycle",
    )


def _lifecycle_row(node: Node) -> Element:
    name = element("th", node.name, scope="row")
    stage = node.stage
    if stage is None:
        return element("tr", name, element("td", "no such stage", class_="failed", colspan="4"))
    hook = element("td", element("code", hook_call(stage)) if stage.hook else None)
    does = stage.does or (stage.action or "").replace("_", " ")
    return element(
        "tr", name, element("td", does), hook, element("td", stage.next), element("td", stage.on_exception)
    )


def _run_table(graph: Graph, history: History) -> Element:
    head = ("Stage, plugin and call", "Start", "Time", "Outcome")
    return element(
        "table",
        element("thead", element("tr", *(element("th", text, scope="col") for text in head))),
        *(element("tbody", *_stage_rows(node, history)) for node in graph.nodes),
        class_="run",
    )


def _stage_rows(node: Node, history: History) -> Iterator[Element]:
    name = element("th", node.name, scope="rowgroup")
    visit = node.visit
    if visit is None:
        yield element(
            "tr", name, element("td"), element("td"), element("td", "not entered"), class_="skipped"
        )
        return
    word = "under way" if node.state == "current" else ""
    start, took = duration(visit.start), duration(history.seconds(visit))
    yield element(
        "tr", name, element("td", start), element("td", took), element("td", word), class_=node.state
    )
    yield from (_call_row(call, history) for call in visit.calls)


def _call_row(call: Call, history: History) -> Element:
    error = element("p", shortened(call.error, LONGEST)) if call.error else None
    return element(
        "tr",
        element("td", call.plugin or "engine", " ", element("code", call.name), error),
        element("td", duration(call.start)),
        element("td", duration(history.seconds(call))),
        element("td", tone_word(call), class_=tone(call)),
    )


_SHAPES = f"""
body{{margin:0 auto;max-width:1320px;padding:24px;font:15px/1.5 {FONTS}}}
h1{{font-size:22px;margin:0}}
header{{overflow-wrap:anywhere}}
h2{{font-size:16px;margin:0 0 10px}}
code{{font-family:{MONO};font-size:.92em}}
.verdict{{margin:4px 0}}
.cause{{margin:8px 0;padding:8px 12px;border-left:3px solid;border-radius:4px;max-width:70em}}
dl{{display:flex;flex-wrap:wrap;gap:4px 28px;margin:8px 0;font-size:13px}}
dl div{{display:flex;gap:8px}}
dd{{margin:0}}
main{{display:grid;grid-template-columns:minmax(0,30em) minmax(0,1fr);gap:32px;margin-top:20px}}
figure{{margin:0 0 0 -9px}}
svg{{display:block}}
figure svg{{max-width:100%;height:auto}}
section{{margin-bottom:32px}}
.scroll{{overflow-x:auto;padding:12px;border:1px solid;border-radius:10px}}
.scroll svg{{max-width:100%;height:auto}}
.wide{{overflow-x:auto}}
.wide table{{min-width:46em}}
.note{{font-size:13px;margin:8px 0}}
table{{border-collapse:collapse;width:100%;font-size:13.5px}}
th,td{{text-align:left;padding:4px 10px 4px 0;vertical-align:top}}
.run tr>:first-child{{overflow-wrap:anywhere}}
.lifecycle code{{white-space:nowrap}}
.run td:nth-child(2),.run td:nth-child(3),.run th:nth-child(2),.run th:nth-child(3)
{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}
.run tbody td:first-child{{padding-left:16px}}
.run tr>:last-child{{white-space:nowrap;padding-left:16px;width:6.5em}}
td p{{margin:0;font-size:12.5px}}
tbody tr:first-child>*,.lifecycle tbody tr>*{{border-top:1px solid}}
@media (max-width:1000px){{main{{grid-template-columns:minmax(0,1fr)}}}}
@media (max-width:520px){{body{{padding:16px}}.run tr>:nth-child(2){{display:none}}}}
"""

_COLOURS = Template("""
body{background:$page;color:$ink}
dt,.note,thead th,.skipped,td{color:$muted}
.cause{background:$badsoft;border-color:$bad}
.scroll{background:$card}
.scroll,tbody tr>*{border-color:$edge!important}
code{color:$path}
.completed{color:$good}
strong.failed,strong.exception,td.failed,td.timeout,td p{color:$bad}
td.refused,td.open,strong.open{color:$warn}
td.abandoned{color:$lost}
""")
