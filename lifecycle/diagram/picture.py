"""The SVG: Graphviz places the cards and routes the edges, what stands on the cards is set here.

Graphviz knows neither the reader's fonts nor dark mode, and its WebAssembly form sets all of a label in one
size. So of its answer only the places of the nodes and the paths of the edges are used, which also means that
no text from outside passes through it into the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, tostring

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Trace
from .card import PADDING, Card, Line, Style
from .dot_text import dot_of
from .graph import Graph, Role
from .graphviz import render
from .history import History
from .layout import Box, Layout, Route
from .markup import duration, element, fit, number
from .palette import style_sheet

MARGIN = 6.0
BRIEF_GAP = 0.23
"""The inches between brief cards."""
HEADER = 40.0
BEND = 10.0
"""The radius, in pixels, of the curve by which an edge runs into a trunk."""


def svg(lifecycle: Lifecycle, trace: Trace | None = None) -> str:
    """Return the lifecycle, or the run of it that `trace` tells of, as an SVG file, light and dark.

    Graphviz is run and waited for. Raises: DiagramError if there is none or if it fails.
    """
    graph = Graph.of(lifecycle, trace)
    drawing = draw(graph, header=graph.history is not None)
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    drawing.insert(2, element("style", style_sheet()))
    return tostring(drawing, encoding="unicode") + "\n"


def outline(lifecycle: Lifecycle) -> str:
    """Return the lifecycle as SVG for a page that has its own style sheet and marks stages and edges itself.

    On each card stands its stage's name alone; `data-stage` of a card is the id that `data-edge` of the edges uses,
    `data-name` the name. Graphviz is run and waited for. Raises: DiagramError if there is none or if it fails.
    """
    graph = Graph.of(lifecycle, None)
    drawing = _draw(graph, [Card.brief_of(node) for node in graph.nodes], gap=BRIEF_GAP)
    return tostring(drawing, encoding="unicode")


def draw(graph: Graph, header: bool = False) -> Element:
    """Return the drawing of a graph, without a style sheet; `header` puts the run's resolution above it."""
    return _draw(graph, [Card.of(node, graph.history) for node in graph.nodes], header)


def _draw(graph: Graph, cards: Sequence[Card], header: bool = False, gap: float = 0.3) -> Element:
    layout = Layout.of(render(dot_of(graph, cards, gap)))
    top = MARGIN + (HEADER if header else 0)
    width, height = layout.width + 2 * MARGIN, layout.height + MARGIN + top
    dx, dy = layout.shift
    return element(
        "svg",
        element("title", headline(graph), id="diagram-title"),
        element("desc", description(graph), id="diagram-description"),
        *_header(graph.history if header else None, width),
        element(
            "g",
            *(
                _edge(route, layout)
                for route in sorted(layout.routes, key=lambda route: "taken" in route.classes)
            ),
            *(_card(card, layout.boxes[card.node.id]) for card in cards),
            transform=f"translate({number(dx + MARGIN)} {number(dy + top)})",
        ),
        class_="stagecall" if graph.history is None else "stagecall run",
        role="img",
        aria_labelledby="diagram-title diagram-description",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
    )


def headline(graph: Graph) -> str:
    """Return what the picture shows, in one line."""
    if graph.history is None:
        return f"Lifecycle {graph.name}"
    task = f" of task {graph.history.task_id}" if graph.history.task_id else ""
    return f"Run{task}: {graph.history.verdict()}"


def description(graph: Graph) -> str:
    """Return the picture in words."""
    if graph.history is not None:
        visits = (
            f"{visit.stage} ({duration(graph.history.seconds(visit))})" for visit in graph.history.visits
        )
        return (
            f"The run went through {', '.join(visits)}."
            if graph.history.visits
            else "Nothing has happened yet."
        )
    names = {node.id: node.name for node in graph.nodes}
    edges = (f"{names[edge.source]} to {names[edge.target]}" for edge in graph.edges)
    return f"A run moves from stage to stage: {', '.join(edges)}."


def _header(history: History | None, width: float) -> Iterator[Element]:
    if history is None:
        return
    took = duration(history.now)
    verdict = fit(history.verdict(), width - 2 * MARGIN - 8 * len(took) - 40, 17, 600)
    yield element("circle", class_=f"dot {history.state or 'open'}", cx=MARGIN + 10, cy=MARGIN + 16, r=5)
    yield element("text", verdict, class_="verdict", x=MARGIN + 24, y=MARGIN + 22)
    yield element("text", took, class_="right", x=width - MARGIN - 4, y=MARGIN + 22)


def _edge(route: Route, layout: Layout) -> Element:
    arrowhead = None if route.arrowhead is None else element("polygon", points=route.arrowhead)
    path = route.path
    if "branch" in route.classes:
        path, arrowhead = _branch(route, layout.boxes[route.target]), None
    elif "trunk" in route.classes:
        path = _trunk(route, layout.boxes[route.target])
    parts = [element("path", d=path)] + ([] if arrowhead is None else [arrowhead])
    classes = " ".join(("edge", *route.classes))
    return element("g", *parts, class_=classes, data_edge=f"{route.source} {route.target}")


def _branch(route: Route, point: Box) -> str:
    """Return a path that leaves a stage sideways and bends down into the trunk, as a railway switch does."""
    x, y = route.start
    return f"M{number(x)},{number(y)}H{number(point.x - BEND)}q{BEND:g},0 {BEND:g},{BEND:g}"


def _trunk(route: Route, target: Box) -> str:
    """Return a path from below one switch to below the next, or into the exception stage."""
    (x1, y1), (x2, y2) = route.start, route.end
    end = y2 if target.height else y2 + BEND
    return f"M{number(x1)},{number(y1 + BEND)}L{number(x2)},{number(end)}"


def _card(card: Card, box: Box) -> Element:
    node = card.node
    radius = box.height / 2 if node.role is Role.INITIAL and box.height < 60 else 9.0
    outline = element("rect", class_="box", x=box.x, y=box.y, width=box.width, height=box.height, rx=radius)
    inner = element(
        "rect", class_="inner", x=box.x + 3.5, y=box.y + 3.5, width=box.width - 7, height=box.height - 7, rx=6
    )
    final = [inner] if node.role is Role.FINAL else []
    return element(
        "g",
        outline,
        *final,
        *_lines(card, box),
        class_=node.classes,
        data_stage=node.id,
        data_name=node.name if card.brief else None,
    )


def _lines(card: Card, box: Box) -> Iterator[Element]:
    left, right, y = box.x + PADDING, box.x + box.width - PADDING, box.y + PADDING - 4
    for line in card.lines:
        y += line.style.height
        yield _line(line, left, right, y - 1 - (line.style.height - line.style.size) / 2)


def _line(line: Line, left: float, right: float, baseline: float) -> Element:
    style = line.style.css
    indent = {Style.CALL: 12, Style.ERROR: 12}.get(line.style, 0)
    parts = [element("title", line.title)] if line.title else []
    parts += _mark(line, left + 4, baseline - 4)
    parts.append(
        element("text", line.text, class_=f"{style} {line.tone}".rstrip(), x=left + indent, y=baseline)
    )
    if line.right:
        parts.append(
            element("text", line.right, class_=f"{style} right {line.tone}".rstrip(), x=right, y=baseline)
        )
    return element("g", *parts, class_=style)


def _mark(line: Line, x: float, y: float) -> Iterator[Element]:
    if line.style is not Style.CALL or line.tone == "more":
        return
    if line.tone in ("failed", "timeout"):
        yield element("path", d=f"M{number(x - 3)},{number(y - 3)}l6,6m0,-6l-6,6", class_="sign")
    else:
        yield element("circle", class_=f"dot {line.tone}", cx=x, cy=y, r=2.75)
