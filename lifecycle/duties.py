"""What a run brings to its driver: the actions of its stages, the hooks' arguments, and whom to tell what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from ..specs.lifecycle import Lifecycle
from .calls import NOBODY, Call
from .errors import ExceptionReason
from .resolution import Failure


@attrs.frozen(weakref_slot=False)
class Participant:
    """One whose hooks are called: `hooks` names those it overrides, `after` those whose calls come first,
    directly or through others.
    """

    name: str
    target: Any
    hooks: frozenset[str]
    after: frozenset[str] = NOBODY


class Duties:
    """The methods that a kind of run overrides; `worker/task_run.py` is the one for tasks."""

    __slots__ = ()

    lifecycle: Lifecycle

    def arguments(self, names: Sequence[str]) -> tuple[Any, ...]:
        """Return the values that a stage's hook is given: attributes of the run."""
        return tuple(getattr(self, name) for name in names)

    def action(self, name: str) -> Callable[[], Awaitable[None]]:
        """Return what the stage action called `name` does: the method of that name."""
        method: Callable[[], Awaitable[None]] = getattr(self, name)
        return method

    def describe_run(self) -> Mapping[str, Any]:
        """Return what the first event of the trace tells of the run."""
        return {"lifecycle": self.lifecycle.name}

    def announce(self) -> None:
        """Record what the run leases before it enters its first stage; called only where there is a journal."""

    def report_error(self, error: BaseException, where: str) -> str:
        """Tell the worker about an error; return an incident id."""
        return ""

    def log_failure(self, failure: Failure) -> None:
        """Tell the task's author about a failure, while the log is open."""

    def close_log(self) -> Awaitable[None]:
        """Close the task log. A stage action; also called when the run is given up."""
        raise NotImplementedError

    def forgives(self, call: Call) -> bool:
        """Return whether what this call raised is only what an abort of the sandbox makes of it."""
        return False

    def cancel_context(self, reason: ExceptionReason) -> None:
        """Tell engine and plugins that the run is cancelled."""

    def sandbox_abort(self) -> Callable[[], Awaitable[None]] | None:
        """Return what aborts the sandbox, None if there is nothing to abort."""
        return None

    def ended(self) -> None:
        """Called when the trace has ended, before the waiters go on."""
