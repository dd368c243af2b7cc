"""One abstract run: the driver's decisions on the driver's machine, in a world where inputs say what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from ...specs.lifecycle import Combine, Lifecycle, Stage
from ...specs.trace import Kind
from ..decision import Work, astray, leave, work_of
from ..machine import IllegalMoveError, move
from ..resolution import Severity
from .inputs import ABORT, QUIET, Input, When, once_final, while_errors_count
from .world import PLUGINS, World


@attrs.frozen(order=True)
class State:
    """What a run is in at one moment: its stage, what has become of the task so far, and whether it was aborted.

    `outcome` is `ok`, `failed` or the worst error's severity; `abort` is `none`, `in <stage>`, or `too late`.
    """

    stage: str
    outcome: str
    abort: str


@attrs.frozen
class Point:
    """A moment in which one of several things happens next, while the run does `work` in `stage`.

    `key` tells all that the rest of a walk depends on.
    """

    stage: str
    work: str
    key: tuple[Any, ...]
    options: Sequence[Input]


class Walk(World):
    """An abstract run to which `inputs` happen, one for each piece of work; behind the last of them nothing goes wrong.

    `late` are the severities that errors may have once the resolution is final, when nothing reads them any more.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> walk = Walk(TASK_RUN, [QUIET, QUIET, Input(errors=(Severity.FATAL,))])
    >>> walk.go()
    >>> [event.stage for event in walk.trace.of(Kind.MOVE)]
    ['prepare', 'build', 'exception', 'resolved', 'dispose']
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        inputs: Sequence[Input] = (),
        late: tuple[Severity, ...] = (Severity.FATAL,),
    ) -> None:
        super().__init__(lifecycle)
        self.points: list[Point] = []
        self.taken: list[Input] = []
        self.states: set[State] = set()
        self.stuck: str | None = None
        self._inputs = inputs
        self._late = late
        self._entered = [self.stage]

    @property
    def weight(self) -> int:
        """How many things went wrong."""
        return sum(one.weight for one in self.taken)

    def go(self) -> None:
        """Take the run to its end, or as far as it gets: a stage that is entered twice may be entered for ever."""
        works, stage = work_of(self.lifecycle), self.lifecycle.initial
        self._pass(stage)
        while (destination := self._leave(stage)) is not None:
            try:
                move(self, self.lifecycle, destination)
            except IllegalMoveError as error:
                self.stuck = str(error)
                return
            if destination in self._entered:
                self.stuck = f"{destination!r} is entered a second time, and so on for ever"
                return
            self._entered.append(destination)
            stage = self.lifecycle[destination]
            for work, name in works[destination]:
                if astray(self):
                    break
                self._work(work, name, stage)
            if not works[destination]:
                self._pass(stage)
        self.record(Kind.END)
        self._note_state()

    def _leave(self, stage: Stage) -> str | None:
        destination, resolution = leave(self.lifecycle, stage, self)
        if resolution is not None:
            self.resolution = resolution
            reason = resolution.reason.value if resolution.reason is not None else None
            cause = resolution.cause
            self.record(Kind.OUTCOME, state=resolution.state, reason=reason, cause=cause, final=True)
        return destination

    def _work(self, work: Work, name: str, stage: Stage) -> None:
        happens = self._choose(f"{work.value} {name}", self._options(work, stage))
        if happens.abort is When.BEFORE:
            self.abort()
        if not astray(self):
            self.do(work, name, stage, happens)
        if happens.abort is When.AFTER:
            self.abort()
        self._note_state()

    def _pass(self, stage: Stage) -> None:
        """Pass a stage in which there is nothing to do: an abort is all that can come."""
        if stage.provisional and not astray(self):
            happens = self._choose("nothing", (QUIET, ABORT))
            if happens.abort is not When.NEVER:
                self.abort()
        self._note_state()

    def _options(self, work: Work, stage: Stage) -> Sequence[Input]:
        if self.resolution is not None:
            return (QUIET,) if work is Work.BACKGROUND else once_final(self._late)
        calling = work is Work.HOOKS or stage.action_calls_hook
        plugins = len(PLUGINS if stage.action == "prepare" else self.created) if calling else 0
        return while_errors_count(plugins, stage.combine is Combine.ALL)

    def _choose(self, work: str, options: Sequence[Input]) -> Input:
        self._note_state()
        severities = tuple(sorted(failure.severity for failure in self.failures))
        became = None if self.resolution is None else (self.resolution.state, self.resolution.reason)
        standing = (self.success, severities, self.aborted_in, self.refused_abort, became)
        key = (self.stage, work, standing, tuple(self.created), self.log_closed)
        self.points.append(Point(self.stage, work, key, options))
        place = len(self.taken)
        self.taken.append(self._inputs[place] if place < len(self._inputs) else QUIET)
        return self.taken[-1]

    def _note_state(self) -> None:
        outcome = "ok" if self.success else "failed"
        if self.failures:
            outcome = max(failure.severity for failure in self.failures).name.lower().replace("_", "-")
        abort = "too late" if self.refused_abort else "none"
        if self.aborted_in is not None:
            abort = f"in {self.aborted_in}"
        self.states.add(State(self.stage, outcome, abort))
