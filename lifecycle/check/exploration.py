"""Every way through a lifecycle: all states that a run can be in, all that can happen in each, and what the rules say.

Theory in short. What a run does next depends on what `Point.key` holds, and on nothing else. So from each such
state each input is tried once, on the path to it on which the least goes wrong, and the run is then taken to its end
and judged there. `every_path` leaves that economy out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import attrs

from ...specs.lifecycle import Lifecycle
from ...specs.rules import Broken, judge
from ...specs.trace import Trace
from ..resolution import Severity
from .inputs import Input
from .walk import Point, State, Walk

_Key = tuple[Any, ...]


@attrs.frozen
class Path:
    """One way a run can take: what happened to it at which work, its trace, and the rules that it breaks.

    `stuck` says why it does not end, if so.
    """

    happened: tuple[tuple[Point, Input], ...]
    trace: Trace
    broken: tuple[Broken, ...]
    stuck: str | None

    @property
    def weight(self) -> tuple[int, int]:
        """How many things go wrong on it, and its length in events."""
        return sum(happened.weight for _, happened in self.happened), len(self.trace)


@attrs.frozen
class Report:
    """What a lifecycle can come to.

    `states` is each combination of stage, outcome and abort that some run is in; `transitions` are what may happen in
    one, `paths` the ways from the beginning to the end, `judged` those of them whose trace was judged. `broken` are
    the names of the rules that some of these break, `counterexample` the shortest such path.
    """

    lifecycle: Lifecycle
    states: tuple[State, ...]
    transitions: int
    paths: int
    judged: int
    broken: frozenset[str]
    counterexample: Path | None


def explore(
    lifecycle: Lifecycle,
    *,
    every_path: bool = False,
    late: Sequence[Severity] = (Severity.FATAL,),
    show: Callable[[Path], object] | None = None,
) -> Report:
    """Take the ways through a lifecycle, and judge each by the rules; `show` gets every one that is judged.

    The table may be unsound, but must be `walkable`.
    `late` are the severities of errors that come when the resolution is final.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> report = explore(TASK_RUN)
    >>> report.counterexample is None, len(report.states) > 200, report.paths > 10_000
    (True, True, True)
    """
    search = _Search()
    waiting: list[tuple[int, int, tuple[Input, ...]]] = [(0, 0, ())]
    order, seen = count(1), set[_Key]()
    while waiting:
        _, _, inputs = heapq.heappop(waiting)
        walk = Walk(lifecycle, inputs, tuple(late))
        walk.go()
        path = search.judge(walk)
        if show is not None:
            show(path)
        for place in range(len(inputs), len(walk.points)):
            point = walk.points[place]
            if point.key in seen and not every_path:
                break  # the rest of this walk has been taken from here before
            seen.add(point.key)
            before = tuple(walk.taken[:place])
            for option in point.options[1:]:
                weight = sum(one.weight for one in before) + option.weight
                heapq.heappush(waiting, (weight, next(order), (*before, option)))
    return search.report(lifecycle)


def walkable(lifecycle: Lifecycle) -> bool:
    """Whether a run could go through this table at all, sound or not: each name leads to one stage, and one is final.

    >>> from stagecall.specs.lifecycle import Stage
    >>> walkable(Lifecycle("lost", (Stage("a", next="b"), Stage("b", next="c"))))
    False
    """
    names = [stage.name for stage in lifecycle.stages]
    targets = {target for _, target in lifecycle.edges()}
    ends = [stage for stage in lifecycle.stages if stage.next is None]
    return len(ends) > 0 and len(set(names)) == len(names) and targets <= set(names)


@attrs.define
class _Search:
    """What has been found so far."""

    states: set[State] = attrs.field(factory=set)
    edges: dict[_Key, dict[Input, _Key | None]] = attrs.field(factory=dict)
    judged: int = 0
    broken: set[str] = attrs.field(factory=set)
    worst: Path | None = None

    def judge(self, walk: Walk) -> Path:
        broken = tuple(judge(walk.trace, walk.lifecycle))
        path = Path(tuple(zip(walk.points, walk.taken, strict=True)), walk.trace, broken, walk.stuck)
        self.judged += 1
        self.states |= walk.states
        self.broken |= {found.rule.name for found in broken}
        if broken and (self.worst is None or path.weight < self.worst.weight):
            self.worst = path
        targets = [*(point.key for point in walk.points[1:]), None]
        for (point, happened), target in zip(
            path.happened, targets, strict=False
        ):  # without any, one target is left
            self.edges.setdefault(point.key, {})[happened] = target
        return path

    def report(self, lifecycle: Lifecycle) -> Report:
        transitions = sum(map(len, self.edges.values()))
        states = tuple(sorted(self.states, key=lambda state: _place(lifecycle, state)))
        broken, paths = frozenset(self.broken), _ways(self.edges)
        return Report(lifecycle, states, transitions, paths, self.judged, broken, self.worst)


def _place(lifecycle: Lifecycle, state: State) -> tuple[int, str, str]:
    return list(lifecycle.by_name).index(state.stage), state.outcome, state.abort


def _ways(edges: Mapping[_Key, Mapping[Input, _Key | None]]) -> int:
    """Return how many ways lead from the first of the keys to an end; a way that comes back to a key is left out."""
    ways: dict[_Key | None, int] = {None: 1}
    first = next(iter(edges), None)
    waiting, under_way = [first] if first is not None else [], set[_Key]()
    while waiting:
        key = waiting[-1]
        under_way.add(key)
        targets = edges[key].values()
        missing = [target for target in targets if target not in ways and target not in under_way]
        if missing and key not in ways:
            waiting += [target for target in missing if target is not None]
        else:
            ways.setdefault(key, sum(ways.get(target, 0) for target in targets))
            under_way.discard(key)
            waiting.pop()
    return ways[first]
