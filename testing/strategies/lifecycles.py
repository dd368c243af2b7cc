"""Strategies for lifecycles: sound ones, which a run can be taken through, and unsound ones with their mistake."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from ...specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage

WORDS = {
    "scan": "scanned",
    "audit": "audited",
    "warm": "warmed",
    "sign": "signed",
    "bill": "billed",
    "archive": "archived",
    "notify": "notified",
    "review": "reviewed",
}
"""Names for more stages, each with that of its hook."""

ARGUMENTS = ("builder", "sandbox", "result_set", "success", "reason")
"""What a run of a task can give to a hook."""


@st.composite
def lifecycles(
    draw: st.DrawFn, base: Lifecycle = TASK_RUN, *, max_more: int = 3, rename: bool = True
) -> Lifecycle:
    """Return a strategy of sound lifecycles made from `base`: whatever they are, a run keeps every rule.

    Stages that only call a hook may be left out; up to `max_more` others, with hooks and actions of their own, stand
    anywhere behind the first, on the way of an exception and in the common tail too. With `rename` the stages may have
    other names. Actions that are new are called as their stages; `stagecall.testing.chaos.own_actions` lists them.
    `base` itself is the simplest.

    >>> from hypothesis import find
    >>> sound = find(lifecycles(), lambda one: "scanned" in one.hooks)
    >>> sound["scan"].hook, sound.main_path[-1]
    ('scanned', 'dispose')
    """
    lifecycle = base
    for stage in [one for one in base.stages if _only_a_hook(one)]:
        if draw(st.integers(0, 4)) == 4:
            lifecycle = _without(lifecycle, stage)
    new = [word for word in WORDS if word not in base.by_name and WORDS[word] not in base.hooks]
    for name in draw(st.permutations(new))[: draw(st.integers(0, min(max_more, len(new))))]:
        place = draw(st.sampled_from([stage for stage in lifecycle.stages if stage.next is not None]))
        stage = draw(_stages(name, place.provisional))
        if _is_before_prepare(lifecycle, place):
            stage = Stage(name, action=stage.action)  # there is no plugin yet to have a hook
        lifecycle = lifecycle.insert(stage, after=place.name)
    if rename and draw(st.booleans()):
        lifecycle = _renamed(lifecycle, draw(st.sampled_from(["my_", "stage_", "Z"])))
    return lifecycle if lifecycle is base else attrs.evolve(lifecycle, name=f"{base.name}-of-my-own")


def _only_a_hook(stage: Stage) -> bool:
    return stage.action is None and stage.hook is not None


def _without(lifecycle: Lifecycle, left_out: Stage) -> Lifecycle:
    """Lead around a stage that no exception leads to."""
    stages = [
        attrs.evolve(stage, next=left_out.next) if stage.next == left_out.name else stage
        for stage in lifecycle.stages
        if stage.name != left_out.name
    ]
    return Lifecycle(lifecycle.name, tuple(stages))


def _is_before_prepare(lifecycle: Lifecycle, place: Stage) -> bool:
    return any(lifecycle[name].action == "prepare" for name in lifecycle.following(place.name)[1:])


@st.composite
def _stages(draw: st.DrawFn, name: str, provisional: bool) -> Stage:
    """A stage by this name; only where the outcome is `provisional` can its hooks judge the task."""
    stage = Stage(name, action=draw(st.sampled_from([None, name])))
    if draw(st.booleans()):
        return stage
    return attrs.evolve(
        stage,
        hook=WORDS[name],
        arguments=tuple(draw(st.lists(st.sampled_from(ARGUMENTS), unique=True, max_size=2))),
        combine=draw(st.sampled_from(Combine)) if provisional else Combine.NOTHING,
        order=draw(st.sampled_from(Order)),
    )


def _renamed(lifecycle: Lifecycle, prefix: str) -> Lifecycle:
    def name(old: str | None) -> str | None:
        return None if old is None else prefix + old

    stages = [
        attrs.evolve(
            stage, name=prefix + stage.name, next=name(stage.next), on_exception=name(stage.on_exception)
        )
        for stage in lifecycle.stages
    ]
    return Lifecycle(lifecycle.name, tuple(stages))
