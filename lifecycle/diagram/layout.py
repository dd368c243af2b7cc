"""Where Graphviz put everything, read from the SVG it wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, fromstring

import attrs

_SVG = "{http://www.w3.org/2000/svg}"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@attrs.frozen
class Box:
    """A node's place, in pixels."""

    x: float
    y: float
    width: float
    height: float


@attrs.frozen
class Route:
    """An edge between nodes, given by their ids: its CSS classes, its path, the points of its arrowhead."""

    source: str
    target: str
    classes: tuple[str, ...]
    path: str
    arrowhead: str | None

    @property
    def start(self) -> tuple[float, float]:
        """Where it begins."""
        x, y, *_ = _numbers(self.path)
        return x, y

    @property
    def end(self) -> tuple[float, float]:
        """Where it ends, at the arrowhead if it has one."""
        *_, x, y = _numbers(self.path)
        return x, y


@attrs.frozen
class Layout:
    """The places of the nodes by their id, and the edges; `shift` is what moves all of it to the origin."""

    width: float
    height: float
    shift: tuple[float, float]
    boxes: dict[str, Box]
    routes: tuple[Route, ...]

    @classmethod
    def of(cls, svg: str) -> Layout:
        """Return the layout in the SVG that Graphviz wrote."""
        root = fromstring(svg)
        graph = next(root.iter(f"{_SVG}g"))
        _, _, width, height = _numbers(root.get("viewBox", ""))
        dx, dy = _numbers(graph.get("transform", "").partition("translate")[2])
        boxes = {_title(group): _box(group) for group in graph if _is(group, "node")}
        return cls(width, height, (dx, dy), boxes, tuple(_routes(graph)))


def _routes(graph: Element) -> Iterator[Route]:
    for group in graph:
        path, arrowhead = group.find(f"{_SVG}path"), group.find(f"{_SVG}polygon")
        if _is(group, "edge") and path is not None:
            classes = tuple(group.get("class", "").split()[1:])
            points = None if arrowhead is None else arrowhead.get("points")
            yield Route(*_ends(group), classes, path.get("d", ""), points)


def _box(group: Element) -> Box:
    point, shape = group.find(f"{_SVG}ellipse"), group.find(f"{_SVG}path")
    if point is not None:
        return Box(float(point.get("cx", "0")), float(point.get("cy", "0")), 0, 0)
    if shape is None:
        raise ValueError
    numbers = _numbers(shape.get("d", ""))
    xs, ys = numbers[::2], numbers[1::2]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _is(group: Element, kind: str) -> bool:
    return group.get("class", "").partition(" ")[0] == kind


def _ends(group: Element) -> tuple[str, str]:
    """Return both ends of `a:e->b:w` without their ports; ids hold neither sign."""
    source, _, target = _title(group).partition("->")
    return source.partition(":")[0], target.partition(":")[0]


def _title(group: Element) -> str:
    return group.findtext(f"{_SVG}title", "")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]
