"""The picture as dot text, which Graphviz lays out.

An exception stage is entered from nearly everywhere, and a line from each stage would bury the main path:
those edges run into one trunk, a line of points beside the main path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Trace
from .card import Card
from .graph import Edge, Graph, Way
from .markup import line_of
from .palette import LIGHT


def dot(lifecycle: Lifecycle, trace: Trace | None = None) -> str:
    """Return the lifecycle, or the run of it that `trace` tells of, as dot text for Graphviz.

    >>> from stagecall.specs.lifecycle import Stage
    >>> print(dot(Lifecycle("tiny", (Stage("work", next="done"), Stage("done")))))
    digraph "tiny" {
    ...
        "work" -> "done" [class="main", weight=20]
    }
    <BLANKLINE>
    """
    graph = Graph.of(lifecycle, trace)
    return dot_of(graph, [Card.of(node, graph.history) for node in graph.nodes])


def dot_of(graph: Graph, cards: Sequence[Card], gap: float = 0.3) -> str:
    """Return the dot text of a graph whose nodes have the sizes of `cards`; `gap`, in inches, is between them."""
    text, line, fill = LIGHT["ink"], LIGHT["edge"], LIGHT["card"]
    return "\n".join(
        [
            f"digraph {quoted(graph.name)} {{",
            f'    graph [rankdir=TB, nodesep={gap:g}, ranksep={gap:g}, bgcolor="transparent", outputorder=edgesfirst]',
            '    node [shape=box, style="rounded,filled", fixedsize=true]',
            f'    node [color="{line}", fillcolor="{fill}"]',
            f'    node [fontname="Helvetica,Arial,sans-serif", fontsize=11, fontcolor="{text}"]',
            f'    edge [arrowsize=0.8, color="{line}"]',
            *(_dot_node(card) for card in cards),
            *_dot_edges(graph),
            "}",
            "",
        ]
    )


def quoted(text: str) -> str:
    """Return text as a quoted string of dot; what reads like an escape or an entity in it stays as it is.

    >>> print(quoted('a "b" \\\\N &lt;'))
    "a \\"b\\" \\\\N &amp;lt;"
    """
    escaped = line_of(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_COLOURS = {
    "failed": LIGHT["bad"],
    "current": LIGHT["warn"],
    "entered": LIGHT["path"],
    "skipped": LIGHT["edge"],
}


def _dot_node(card: Card) -> str:
    node = card.node
    label = "\\l".join(quoted(f"{line.text} {line.right}".rstrip())[1:-1] for line in card.lines)
    attributes = {
        "label": f'"{label}\\l"',
        "width": f"{card.width / 72:.3f}",
        "height": f"{card.height / 72:.3f}",
        "group": quoted(node.id if node.beside else "main path"),
        "class": quoted(node.classes),
    }
    if node.state:
        attributes["color"] = quoted(_COLOURS[node.state])
    return f"    {quoted(node.id)} {_attributes(attributes)}"


def _dot_edges(graph: Graph) -> Iterator[str]:
    bundles, orphans = graph.bundles(), graph.orphans()
    beside = {node.id for node in graph.nodes if node.beside}
    for edge in graph.edges:
        if edge in bundles.get(edge.target, ()):
            continue
        ends = quoted(edge.source), quoted(edge.target)
        if edge.way is not Way.MAIN or edge.source in orphans:
            yield _dot_edge(*ends, edge.classes, constraint="false")
        elif edge.source in beside and edge.target not in beside:
            yield _dot_edge(f"{ends[0]}:s", f"{ends[1]}:e", edge.classes)
        else:
            yield _dot_edge(*ends, edge.classes, weight="20")
    for target, edges in bundles.items():
        yield from _trunk(target, edges)
    # Below all others, or Graphviz puts them beside the first stage, between it and the trunk.
    lowest = [node for node in graph.nodes if not node.beside][-1:]
    yield from (
        f"    {quoted(node.id)} -> {quoted(orphan)} [style=invis]" for node in lowest for orphan in orphans
    )


def _trunk(target: str, edges: Sequence[Edge]) -> Iterator[str]:
    """Yield a trunk that runs down into `target`; the last source stands beside it, the others branch off."""
    *branching, last = edges
    taken, above = "", ""
    for edge in branching:
        source, point = quoted(edge.source), quoted(f"{edge.source}/{target}")
        yield f"    {point} [shape=point, width=0.001, group={quoted(target)}]"
        yield f"    {{rank=same; {source}; {point}}}"
        yield _dot_edge(f"{source}:e", f"{point}:w", f"{edge.classes} branch", dir="none")
        if above:
            yield _dot_edge(above, point, f"exception trunk{taken}", dir="none", weight="10")
        taken, above = taken or (" taken" if edge.taken else ""), point
    yield _dot_edge(above, f"{quoted(target)}:n", f"exception trunk{taken}", weight="10")
    yield f"    {{rank=same; {quoted(last.source)}; {quoted(target)}}}"
    yield _dot_edge(f"{quoted(last.source)}:e", f"{quoted(target)}:w", last.classes)


def _dot_edge(source: str, target: str, classes: str, **attributes: str) -> str:
    shown = {"class": quoted(classes)}
    if "taken" in classes.split():
        shown |= {"color": quoted(LIGHT["path" if "main" in classes.split() else "bad"]), "penwidth": "2"}
    return f"    {source} -> {target} {_attributes(shown | attributes)}"


def _attributes(attributes: Mapping[str, str]) -> str:
    return f"[{', '.join(f'{name}={value}' for name, value in attributes.items())}]"
