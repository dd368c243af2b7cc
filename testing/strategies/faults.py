"""Strategies for what goes wrong in a run, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from hypothesis import strategies as st

from ...lifecycle.errors import ExceptionReason
from ...lifecycle.limits import Limits
from ...plugins.base import CREATION
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ..chaos.behaviour import CALM, WILD, Act, Behaviour
from ..chaos.engine import ENGINE_CALLS, ENGINE_FEATURES
from ..chaos.schedule import AbortAt, FaultSchedule, PluginFaults, own_actions

NAMES = ("red", "green", "blue")
"""The plugins that a schedule may put beside those under test."""

SECONDS = (0.0, 0.5, 3.0, 40.0, 150.0)
"""How long something takes: well within each of the limits of a run in virtual time, or well beyond."""


def behaviours(
    acts: Iterable[Act | str] | None = None, *, threaded: bool = False
) -> st.SearchStrategy[Behaviour]:
    """Return a strategy of what a hook or another call does: two in three are calm.

    `acts` restricts it to some. With `threaded` half of them are plain `def`s, which run in threads; as these are as
    fast as the host lets them be, a failure may then not show itself again.

    >>> from hypothesis import find
    >>> find(behaviours(["hangs", "fatal"]), lambda behaviour: True)
    Behaviour(act='hangs')
    """

    def some(acts: Sequence[Act | str]) -> st.SearchStrategy[Behaviour]:
        return st.builds(
            Behaviour,
            st.sampled_from(acts),
            st.sampled_from(SECONDS),
            threaded=st.booleans() if threaded else st.just(False),
            inner=st.sampled_from(tuple(Act)) if Act.SPAWNS in acts else st.just(Act.OK),
        )

    if acts is not None:
        return some([Act(act) for act in acts])
    return st.one_of(some(CALM), some(CALM), some(WILD))


def limits() -> st.SearchStrategy[Limits]:
    """Return a strategy of limits for runs in virtual time: each is sometimes 0, and all others differ."""
    return st.builds(
        Limits,
        cancel_grace=st.sampled_from([5.0, 0.0]),
        abandon_grace=st.sampled_from([1.0, 0.0]),
        hook_timeout=st.sampled_from([100.0, 100.0, 100.0, 0.0]),
        dispose_budget=st.sampled_from([20.0, 20.0, 0.0]),
        dispose_total=st.sampled_from([50.0, 50.0, 0.0]),
        report_budget=st.just(10.0),
    )


def aborts(lifecycle: Lifecycle = TASK_RUN) -> st.SearchStrategy[AbortAt]:
    """Return a strategy of aborts: in any stage but the last, at once or a while after it was entered."""
    stages = [stage.name for stage in lifecycle.stages if stage.next is not None]
    return st.builds(
        AbortAt, st.sampled_from(stages), st.sampled_from(SECONDS), st.sampled_from(tuple(ExceptionReason))
    )


@st.composite
def fault_schedules(
    draw: st.DrawFn,
    lifecycle: Lifecycle = TASK_RUN,
    *,
    names: Sequence[str] = NAMES,
    beside: Sequence[str] = (),
    calls: Sequence[str] = ENGINE_CALLS + ENGINE_FEATURES,
    max_aborts: int = 1,
    threaded: bool = False,
) -> FaultSchedule:
    """Return a strategy of fault schedules for runs of a lifecycle.

    Each of up to `len(names)` plugins, in any order, has any of the hooks, and may come after those named before it,
    those under test (`beside`), and one that is not there. Up to two `calls` of the engine go wrong. With `threaded`
    half of the hooks are plain `def`s; see `behaviours`. The simplest is the schedule in which nothing goes wrong.

    >>> from hypothesis import find
    >>> find(fault_schedules(), lambda schedule: True) == FaultSchedule()
    True
    """
    told = draw(_casts(tuple(lifecycle.hooks), tuple(names), tuple(beside), _ANY if threaded else _ON_LOOP))
    return FaultSchedule(
        told,
        engine=draw(_engines(tuple(calls))),
        actions={name: draw(_ON_LOOP) for name in own_actions(lifecycle)},
        report=draw(_REPORT),
        aborts=tuple(draw(_several_aborts(lifecycle, max_aborts))),
        broken_observer=draw(st.booleans()),
        ahead=draw(st.integers(0, len(told))),
    )


@st.composite
def _casts(
    draw: st.DrawFn,
    hooks: tuple[str, ...],
    names: tuple[str, ...],
    beside: tuple[str, ...],
    behaving: st.SearchStrategy[Behaviour],
) -> tuple[PluginFaults, ...]:
    named = draw(st.permutations(names))[: draw(st.integers(0, len(names)))]
    told = [
        PluginFaults(
            name,
            {hook: draw(behaving) for hook in sorted(draw(_some_of(hooks)))},
            creation=draw(behaving),
            after=draw(_some_of((*named[:place], *beside, "absent"))),
            accepts_invalid_payload=draw(st.booleans()),
        )
        for place, name in enumerate(named)
    ]
    return tuple(draw(st.permutations(told)))


# A strategy takes longer to make than to draw from.

_ANY = behaviours(threaded=True)
_ON_LOOP = behaviours()
_REPORT = st.none() | _ON_LOOP


@lru_cache(maxsize=256)
def _engines(calls: tuple[str, ...]) -> st.SearchStrategy[dict[str, Behaviour]]:
    return st.builds(dict) | st.dictionaries(st.sampled_from(calls), _ON_LOOP, max_size=2)


@lru_cache(maxsize=256)
def _some_of(names: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from([name for name in names if name != CREATION]))


@lru_cache(maxsize=256)
def _several_aborts(lifecycle: Lifecycle, most: int) -> st.SearchStrategy[list[AbortAt]]:
    return st.lists(aborts(lifecycle), max_size=most)
