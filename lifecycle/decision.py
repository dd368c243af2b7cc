"""What a run decides, apart from everything it does: without loop, clock or I/O.

The driver keeps a `Standing` and asks these functions at every turn. The exhaustive check (`lifecycle/check`) puts
every input there can be to the same class and the same functions, so what it proves holds for the driver, and not
for a copy of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ..specs.lifecycle import Lifecycle, Stage
from .errors import ExceptionReason
from .resolution import Failure, Resolution, decide


class Standing:
    """What decides where a run goes and what it becomes; every run is one.

    `refusals` are the hooks that said the task failed. They and the abort come with the number of errors and refusals
    that were there before, for the chain of the cause.
    """

    __slots__ = ("aborted", "aborted_after", "failures", "refusals", "resolution", "success")

    def __init__(self) -> None:
        self.success = True
        self.failures: list[Failure] = []
        self.refusals: tuple[tuple[int, str], ...] = ()
        self.aborted: ExceptionReason | None = None
        self.aborted_after = 0
        self.resolution: Resolution | None = None

    def note_abort(self, reason: ExceptionReason) -> bool:
        """Return whether this abort decides: the first one does, until the resolution is final.

        Errors may be told after it and still have come before it, so that place in the chain is kept.
        """
        if self.aborted is not None or self.resolution is not None:
            return False
        self.aborted_after = len(self.failures) + len(self.refusals)
        self.aborted = reason
        return True

    def note_error(self, failure: Failure) -> bool:
        """Return whether this error counts: once the resolution is final, it touches trace and worker only."""
        if self.resolution is not None:
            return False
        self.failures.append(failure)
        return True

    def note_refusal(self, who: str) -> None:
        """Take the verdict that the task failed."""
        self.success = False
        self.refusals += ((len(self.failures) + len(self.refusals), who),)


class Work(enum.Enum):
    """What a run may have to do in a stage."""

    ACTION = "action"
    HOOKS = "hooks"
    BACKGROUND = "background"
    """Wait for what runs in the background, before its errors count no more and before dispose."""


@lru_cache(maxsize=64)
def work_of(lifecycle: Lifecycle) -> Mapping[str, Sequence[tuple[Work, str]]]:
    """Return what there is to do in each stage, in order, each with the name of the action, hook or stage.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> [(work.value, name) for work, name in work_of(TASK_RUN)["finished"]]
    [('action', 'close_log'), ('hooks', 'finished'), ('background', 'finished')]
    """
    return {stage.name: tuple(_works(lifecycle, stage)) for stage in lifecycle.stages}


def _works(lifecycle: Lifecycle, stage: Stage) -> Iterator[tuple[Work, str]]:
    if stage.action is not None:
        yield Work.ACTION, stage.action
    if stage.hook is not None and not stage.action_calls_hook:
        yield Work.HOOKS, stage.hook
    if stage.next is not None and stage.next in lifecycle.by_name and not lifecycle[stage.next].provisional:
        yield Work.BACKGROUND, stage.name


def astray(run: Standing) -> bool:
    """Whether the run is to become an exception, and its stage to do no more than end.

    >>> run = Standing()
    >>> run.note_abort(ExceptionReason.CANCELED), astray(run)
    (True, True)
    """
    if run.resolution is not None:
        return False
    return run.aborted is not None or len(run.failures) > 0


def calls_on(run: Standing) -> bool:
    """Whether hooks that are called one by one go on: an abort ends that, an error of a sibling does not."""
    return run.resolution is not None or run.aborted is None


def leave(lifecycle: Lifecycle, stage: Stage, run: Standing) -> tuple[str | None, Resolution | None]:
    """Return the stage that follows `stage`, None at the end, and the resolution if this move makes it final.

    It becomes final where the next stage no longer changes it. Nothing of the run is changed here.

    >>> from stagecall.specs.lifecycle import TASK_RUN
    >>> leave(TASK_RUN, TASK_RUN["build"], Standing())
    ('start', None)
    >>> destination, resolution = leave(TASK_RUN, TASK_RUN["finished"], Standing())
    >>> destination, resolution.state
    ('resolved', 'completed')
    """
    if stage.on_exception is None:
        return stage.next, None
    destination = stage.on_exception if astray(run) else stage.next
    if destination is None or lifecycle.by_name[destination].provisional:
        return destination, None
    resolution = decide(
        run.success, run.failures, run.aborted, aborted_after=run.aborted_after, refusals=run.refusals
    )
    return destination, resolution
