"""The lifecycle as data: stages, the edges between them, and the one table every other part reads.

Theory in short. A run walks one main path, `Stage.next` by `Stage.next`. From any stage that declares
`on_exception` it may leave the main path once, for the exception stage, whose own `next` joins the common tail. The
last stage has no `next`; it is the only one, and nothing leads out of it. Everything else, the machine, the driver,
the diagrams, the checker, the rules and the property tests, is derived from this table, so an embedder who declares
another table gets all of them for it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from functools import cached_property

import attrs


class Combine(enum.Enum):
    """How the values that the hooks of one stage return become one.

    >>> Combine("all")
    <Combine.ALL: 'all'>
    """

    NOTHING = "nothing"
    """Hooks return nothing; what they return is ignored."""
    ALL = "all"
    """Hooks return a bool; the stage's verdict is true if all of them are."""


class Order(enum.Enum):
    """The order in which the hooks of one stage are called."""

    SIDE_BY_SIDE = "side by side"
    """All at once, except where a plugin declares `after`."""
    REVERSE = "reverse"
    """One by one, the plugin declared last first."""


@attrs.frozen
class Stage:
    """One row of the table: what the run does when it enters, then what the plugins get.

    `action` names what the run does first; `hook` names the method of every plugin that is called after it (or by
    it, where `action_calls_hook`); `arguments` names the values the hook is given; `combine` says what becomes of
    the values it returns. `next` and `on_exception` are the two edges that may leave the stage.

    >>> Stage("scan", hook="scanned", arguments=("builder",), next="start", on_exception="exception").hook
    'scanned'
    """

    name: str
    next: str | None = None
    on_exception: str | None = None
    action: str | None = None
    hook: str | None = None
    arguments: tuple[str, ...] = ()
    combine: Combine = Combine.NOTHING
    order: Order = Order.SIDE_BY_SIDE
    action_calls_hook: bool = False
    does: str = ""

    @property
    def provisional(self) -> bool:
        """Whether an error or an abort in this stage still turns the outcome into an exception."""
        return self.on_exception is not None


@attrs.frozen(slots=False, eq=False)
class Lifecycle:
    """A named table of stages in declared order; the first is where a run begins.

    Source: `specs/lifecycle_lint.py` says which tables are sound; nothing is checked here, so that a broken table
    can be shown and explained.

    >>> TASK_RUN.main_path
    ('pending', 'prepare', 'build', 'start', 'started', 'waiting', 'stopped', 'finished', 'resolved', 'dispose')
    >>> TASK_RUN["stopped"].arguments
    ('result_set',)
    """

    name: str
    stages: tuple[Stage, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Stage]:
        """The stages by their name."""
        return {stage.name: stage for stage in self.stages}

    def __getitem__(self, name: str) -> Stage:
        """Return the stage called `name`.

        Raises: KeyError that lists the stages there are.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise KeyError(
                f"no stage {name!r} in lifecycle {self.name!r}; it has {', '.join(self.by_name)}"
            ) from None

    @property
    def initial(self) -> Stage:
        """The stage a run begins in."""
        return self.stages[0]

    @cached_property
    def main_path(self) -> tuple[str, ...]:
        """The names of the stages that a run without errors enters, in order."""
        return self.following(self.initial.name)

    def following(self, start: str) -> tuple[str, ...]:
        """Return the names of the stages from `start` to the end, along `next`.

        >>> TASK_RUN.following("exception")
        ('exception', 'resolved', 'dispose')
        """
        path: list[str] = []
        name: str | None = start
        while name is not None and name not in path and name in self.by_name:
            path.append(name)
            name = self.by_name[name].next
        return tuple(path)

    @cached_property
    def exception_stages(self) -> frozenset[str]:
        """The names of the stages that `on_exception` edges lead to."""
        return frozenset(stage.on_exception for stage in self.stages if stage.on_exception is not None)

    @cached_property
    def final(self) -> str:
        """The name of the stage nothing leads out of."""
        return next(stage.name for stage in self.stages if stage.next is None)

    @cached_property
    def hooks(self) -> Mapping[str, Stage]:
        """The stage of every hook, by the hook's name, in call order."""
        return {stage.hook: stage for stage in self.stages if stage.hook is not None}

    def edges(self) -> Iterator[tuple[str, str]]:
        """Yield every `(source, destination)` that a run may move along, main edges before exception edges."""
        for stage in self.stages:
            if stage.next is not None:
                yield stage.name, stage.next
        for stage in self.stages:
            if stage.on_exception is not None:
                yield stage.name, stage.on_exception

    def insert(self, stage: Stage, *, after: str, name: str | None = None) -> Lifecycle:
        """Return a lifecycle with one more stage on the main path behind the stage `after`, whose edges it takes over.

        >>> TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("builder",)), after="build").main_path[2:5]
        ('build', 'scan', 'start')
        """
        before = self[after]
        taken = attrs.evolve(stage, next=before.next, on_exception=stage.on_exception or before.on_exception)
        stages = list(self.stages)
        place = stages.index(before)
        stages[place : place + 1] = [attrs.evolve(before, next=stage.name), taken]
        return Lifecycle(name or self.name, tuple(stages))

    def sources(self, destination: str) -> tuple[str, ...]:
        """Return the stages from which `destination` may be entered.

        >>> TASK_RUN.sources("resolved")
        ('finished', 'exception')
        """
        return tuple(source for source, target in self.edges() if target == destination)


TASK_RUN = Lifecycle(
    "task-run",
    (
        Stage(
            "pending",
            next="prepare",
            on_exception="exception",
            does="waits to be driven; nothing is acquired yet",
        ),
        Stage(
            "prepare",
            next="build",
            on_exception="exception",
            action="prepare",
            hook="new_task_plugin",
            arguments=("options",),
            action_calls_hook=True,
            does="validates the payload; creates sandbox builder and task plugins side by side",
        ),
        Stage("build", next="start", on_exception="exception", hook="build_sandbox", arguments=("builder",)),
        Stage(
            "start",
            next="started",
            on_exception="exception",
            action="start_sandbox",
            does="starts the sandbox",
        ),
        Stage("started", next="waiting", on_exception="exception", hook="started", arguments=("sandbox",)),
        Stage(
            "waiting",
            next="stopped",
            on_exception="exception",
            action="wait_for_result",
            does="waits for the sandbox to end",
        ),
        Stage(
            "stopped",
            next="finished",
            on_exception="exception",
            hook="stopped",
            arguments=("result_set",),
            combine=Combine.ALL,
        ),
        Stage(
            "finished",
            next="resolved",
            on_exception="exception",
            action="close_log",
            hook="finished",
            arguments=("success",),
            does="closes the task log",
        ),
        Stage(
            "exception",
            next="resolved",
            action="give_up",
            hook="exception",
            arguments=("reason",),
            does="cancels the context, aborts the sandbox, closes the log",
        ),
        Stage(
            "resolved",
            next="dispose",
            action="report",
            does="reports the resolution to whoever handed the task over",
        ),
        Stage(
            "dispose",
            action="dispose",
            hook="dispose",
            order=Order.REVERSE,
            action_calls_hook=True,
            does="task plugins in reverse order, result set, sandbox, builder, temporary folder, context",
        ),
    ),
)
"""The lifecycle of a task's run, from the design's table."""
