"""The nodes and edges of a lifecycle's picture, be it sound or broken, and the path of one run in it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

import attrs

from ...specs.lifecycle import Lifecycle, Stage
from ...specs.trace import Trace
from .history import History, Visit

# fmt: off
KEYWORDS = frozenset({
    "call", "class", "classdef", "click", "default", "direction", "end", "flowchart", "graph", "href",
    "interpolate", "linkstyle", "style", "subgraph",
})
# fmt: on
"""Names that mermaid would take for something else than a node."""


class Role(enum.Enum):
    """What a stage is in its lifecycle."""

    INITIAL = "initial"
    MAIN = "main"
    ASIDE = "aside"
    """Beside the main path: an exception stage, and what only such a stage leads to."""
    FINAL = "final"
    UNKNOWN = "unknown"
    """An edge or a trace names it, the lifecycle does not."""


class Way(enum.Enum):
    """Which kind of edge leads from one stage to another."""

    MAIN = "main"
    EXCEPTION = "exception"
    UNDECLARED = "undeclared"
    """The run moved along it, the lifecycle has no such edge."""


@attrs.frozen
class Node:
    """A stage as it is drawn; `id` is safe in mermaid and dot, `visit` is the run's time in it."""

    id: str
    name: str
    role: Role
    beside: bool
    """Whether it stands beside the main path."""
    stage: Stage | None
    visit: Visit | None
    state: str
    """Of a run: `entered`, `current`, `failed` or `skipped`; of a lifecycle: empty."""

    @property
    def classes(self) -> str:
        """The CSS classes of the node."""
        return f"stage {self.role.value} {self.state}".strip()


@attrs.frozen
class Edge:
    """An edge by the ids of its ends; `taken` tells whether the run moved along it."""

    source: str
    target: str
    way: Way
    taken: bool

    @property
    def classes(self) -> str:
        """The CSS classes of the edge."""
        return f"{self.way.value} taken" if self.taken else self.way.value


@attrs.frozen
class Graph:
    """A lifecycle's picture before it is laid out."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    history: History | None

    @classmethod
    def of(cls, lifecycle: Lifecycle, trace: Trace | None) -> Graph:
        """Return the graph of the lifecycle, with the path of the run that `trace` tells of."""
        history = None if trace is None else History.of(trace)
        names = list(dict.fromkeys(_names(lifecycle, history)))
        ids = {name: identifier(name, index) for index, name in enumerate(names)}
        nodes = tuple(_node(lifecycle, history, name, ids[name]) for name in names)
        edges = tuple(Edge(ids[a], ids[b], way, taken) for a, b, way, taken in _edges(lifecycle, history))
        return cls(lifecycle.name, nodes, edges, history)

    def bundles(self) -> dict[str, list[Edge]]:
        """Return the exception edges that may share a line: two or more to one stage beside the main path."""
        into: dict[str, list[Edge]] = {}
        for edge in self.edges:
            if edge.way is Way.EXCEPTION:
                into.setdefault(edge.target, []).append(edge)
        beside = {node.id for node in self.nodes if node.beside}
        return {
            target: edges
            for target, edges in into.items()
            if len(edges) > 1 and target in beside and all(edge.source != target for edge in edges)
        }

    def orphans(self) -> list[str]:
        """Return the ids of the nodes beside the main path that no edge from another leads to."""
        reached = {edge.target for edge in self.edges if edge.source != edge.target}
        return [node.id for node in self.nodes if node.beside and node.id not in reached]


def identifier(name: str, index: int) -> str:
    """Return an id for the `index`th stage of a picture: its name if that is one that mermaid can take.

    >>> identifier("build", 2), identifier("end", 3), identifier('a"; b', 4)
    ('build', 'stage_3', 'stage_4')
    """
    plain = re.fullmatch(r"(?!stage_)[A-Za-z][A-Za-z0-9_]*", name) and name.lower() not in KEYWORDS
    return name if plain else f"stage_{index}"


def _names(lifecycle: Lifecycle, history: History | None) -> Iterator[str]:
    yield from (stage.name for stage in lifecycle.stages)
    yield from (target for _, target in lifecycle.edges())
    yield from (visit.stage for visit in (history.visits if history else ()))
    yield from (name for move in (history.moves if history else ()) for name in move)


def _node(lifecycle: Lifecycle, history: History | None, name: str, id: str) -> Node:
    stage = lifecycle.by_name.get(name)
    visit = history.by_stage.get(name) if history else None
    beside = not lifecycle.stages or name not in lifecycle.main_path
    return Node(id, name, _role(lifecycle, stage, beside), beside, stage, visit, _state(history, visit))


def _role(lifecycle: Lifecycle, stage: Stage | None, beside: bool) -> Role:
    if stage is None:
        return Role.UNKNOWN
    if stage.name == lifecycle.initial.name:
        return Role.INITIAL
    if stage.next is None:
        return Role.FINAL
    return Role.ASIDE if beside else Role.MAIN


def _state(history: History | None, visit: Visit | None) -> str:
    if history is None:
        return ""
    if visit is None:
        return "skipped"
    if visit.stage == history.current:
        return "current"
    return "failed" if visit.bad else "entered"


def _edges(lifecycle: Lifecycle, history: History | None) -> Iterator[tuple[str, str, Way, bool]]:
    moves = dict.fromkeys(history.moves if history else ())
    main = {(stage.name, stage.next) for stage in lifecycle.stages}
    declared = list(dict.fromkeys(lifecycle.edges()))
    for edge in declared:
        yield *edge, Way.MAIN if edge in main else Way.EXCEPTION, edge in moves
    for move in moves:
        if move not in declared:
            yield *move, Way.UNDECLARED, True
