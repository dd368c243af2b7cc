"""The picture as mermaid text, which GitHub draws.

An exception stage is entered from nearly everywhere, and a line from each stage would bury the main path:
those stages stand in a frame that one line leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Trace
from .card import BAD, Card, Style
from .graph import Edge, Graph, Node, Role, Way
from .markup import line_of, shortened

_ENTITIES = {
    character: f"&{name};"
    for character, name in {
        '"': "quot", "&": "amp", "<": "lt", ">": "gt", "#": "num", ";": "semi", "%": "percnt", "`": "grave",
        "$": "dollar", "{": "lcub", "}": "rcub", "[": "lsqb", "]": "rsqb", "|": "vert", "*": "ast",
        "\\": "bsol;&ZeroWidthSpace",
    }.items()
}  # fmt: skip
"""Mermaid looks for directives, formulas and more inside quoted text too; an entity by name passes."""

_CLASSES = """\
    classDef aside stroke:#c2525b
    classDef final stroke-width:3px
    classDef unknown stroke:#c2525b,stroke-width:2px,stroke-dasharray:3 3
    classDef frame fill:none,stroke:#8a94a6,stroke-dasharray:3 4
    classDef entered fill:#dfe9fd,stroke:#2f62d9,color:#16213a
    classDef current fill:#fdf0cd,stroke:#a8660a,stroke-width:3px,color:#3a2a08
    classDef failed fill:#fbdfe0,stroke:#c42b38,stroke-width:3px,color:#43090e
    classDef skipped opacity:0.5"""


def mermaid(lifecycle: Lifecycle, trace: Trace | None = None) -> str:
    """Return the lifecycle, or the run of it that `trace` tells of, as a mermaid flowchart.

    >>> from stagecall.specs.lifecycle import Stage
    >>> text = mermaid(Lifecycle("tiny", (Stage("work", next="done", hook="work"), Stage("done"))))
    >>> print(text.partition("    classDef")[0].rstrip())
    %%{init: {"flowchart": {"rankSpacing": 26, "nodeSpacing": 26}}}%%
    flowchart TB
        work(["<b>work</b><br/>work()"])
        done["<b>done</b>"]
        work --> done
    """
    graph = Graph.of(lifecycle, trace)
    bundles = graph.bundles()
    return "\n".join(
        [
            '%%{init: {"flowchart": {"rankSpacing": 26, "nodeSpacing": 26}}}%%',
            "flowchart TB",
            *_mermaid_nodes(graph, bundles),
            *_mermaid_edges(graph, bundles),
            _CLASSES,
            *_mermaid_classes(graph, bundles),
            "",
        ]
    )


def mermaid_text(text: str) -> str:
    """Return text as it may stand between quotes in mermaid.

    >>> mermaid_text('<b> "x" #1;')
    '&lt;b&gt; &quot;x&quot; &num;1&semi;'
    """
    return "".join(_ENTITIES.get(character, character) for character in line_of(text))


def _mermaid_nodes(graph: Graph, bundles: Mapping[str, list[Edge]]) -> Iterator[str]:
    home = {edge.source: target for target, edges in bundles.items() for edge in edges}
    for target in bundles:
        yield f'    subgraph stage_before_{target}[" "]'
        # The last first: mermaid hangs the frame's edge on the first node it reads, and pulls that aside.
        yield from (
            f"        {_mermaid_node(n, graph)}" for n in reversed(graph.nodes) if home.get(n.id) == target
        )
        yield "    end"
    yield from (f"    {_mermaid_node(node, graph)}" for node in graph.nodes if node.id not in home)


def _mermaid_node(node: Node, graph: Graph) -> str:
    label = "<br/>".join(_mermaid_lines(Card.of(node, graph.history)))
    opening, closing = ("([", "])") if node.role is Role.INITIAL else ("[", "]")
    return f'{node.id}{opening}"{label}"{closing}'


def _mermaid_lines(card: Card) -> Iterator[str]:
    """Yield what of a card a picture without room for details shows: the name, the hook, what went wrong."""
    name, *others = card.lines
    yield f"<b>{mermaid_text(card.node.name)}</b> {mermaid_text(name.right)}".rstrip()
    shown = [line for line in others if line.style is not Style.TEXT and line.tone not in ("ok", "more")]
    for (_, message), lines in groupby(shown, key=lambda line: (line.style, line.title or line.text)):
        first = next(lines)
        if first.style is Style.ERROR:
            yield mermaid_text(shortened(message, 100))
        else:
            mark = "✕ " if first.tone in BAD else ""
            yield mermaid_text(f"{mark}{first.text} {first.right}".rstrip())


def _mermaid_edges(graph: Graph, bundles: Mapping[str, list[Edge]]) -> Iterator[str]:
    drawn = [
        (edge.source, edge.target, edge.way, edge.taken)
        for edge in graph.edges
        if edge.taken or edge not in bundles.get(edge.target, ())
    ]
    drawn += [(f"stage_before_{target}", target, Way.EXCEPTION, False) for target in bundles]
    for source, target, way, taken in drawn:
        yield f"    {source} {'-->' if way is Way.MAIN or taken else '-.->'} {target}"
    for index, (_, _, way, taken) in enumerate(drawn):
        styles = [] if way is Way.MAIN else ["stroke:#c2525b"]
        if taken:
            styles = [*(styles or ["stroke:#2f62d9"]), "stroke-width:3px"]
        elif graph.history is not None:
            styles.append("opacity:0.4")
        if styles:
            yield f"    linkStyle {index} {','.join(styles)}"


def _mermaid_classes(graph: Graph, bundles: Mapping[str, list[Edge]]) -> Iterator[str]:
    members: dict[str, list[str]] = {"frame": [f"stage_before_{target}" for target in bundles]}
    for node in graph.nodes:
        for name in node.classes.split():
            members.setdefault(name, []).append(node.id)
    for name in ("frame", "aside", "final", "unknown", "entered", "current", "failed", "skipped"):
        if ids := members.get(name):
            yield f"    class {','.join(ids)} {name}"
