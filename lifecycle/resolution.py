"""What a run became, and the one function that decides it from what went wrong."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from .errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)

State = Literal["completed", "failed", "exception"]


class Severity(enum.IntEnum):
    """How much an error weighs: of several at once the worst decides.

    >>> max(Severity.MALFORMED, Severity.FATAL).name
    'FATAL'
    """

    MALFORMED = 1
    TASK_EXCEPTION = 2
    NON_FATAL = 3
    FATAL = 4


@attrs.frozen
class Resolution:
    """What a run became: `completed`, `failed` or `exception`, with a reason where it is an exception.

    `cause` tells the chain from the first error on, one sentence each, with what was overruled; None if
    nothing went wrong.

    >>> Resolution("failed").success
    False
    """

    state: State
    reason: ExceptionReason | None = None
    cause: str | None = None

    @property
    def success(self) -> bool:
        """Whether the task completed."""
        return self.state == "completed"


@attrs.frozen
class Failure:
    """An error and where it came from: `where` reads like `stopped of plugin artifacts`."""

    error: BaseException
    where: str
    severity: Severity
    reason: ExceptionReason
    incident: str | None = None

    @classmethod
    def of(cls, error: BaseException, where: str, incident: str | None = None) -> Failure:
        """Return the failure that `error` counts as; groups count by their worst leaf."""
        leaf = max(leaves(error), key=severity)
        return cls(error, where, severity(leaf), reason(leaf), incident)

    def __str__(self) -> str:
        incident = f" (incident {self.incident})" if self.incident else ""
        return f"{self.where}: {describe(self.error)}{incident}"


def describe(error: BaseException) -> str:
    """Return an error in one line: its type and what it says, even where saying it fails.

    >>> describe(ValueError("no such thing:\\n  the thing"))
    'ValueError: no such thing: the thing'
    """
    try:
        text = " ".join(line.strip() for line in str(error).splitlines())
    except Exception:
        text = "(it cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that are no groups among `error` and what it groups.

    >>> group = ExceptionGroup("", [OSError(), ExceptionGroup("", [KeyError()])])
    >>> [type(leaf).__name__ for leaf in leaves(group)]
    ['OSError', 'KeyError']
    """
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def severity(error: BaseException) -> Severity:
    """Return what one error, no group, weighs.

    >>> severity(ValueError("a defect")).name
    'FATAL'
    """
    if isinstance(error, FatalInternalError):
        return Severity.FATAL
    if isinstance(error, NonFatalInternalError):
        return Severity.NON_FATAL
    if isinstance(error, TaskExceptionError):
        return Severity.TASK_EXCEPTION
    if isinstance(error, (MalformedPayloadError, FeatureNotSupportedError)):
        return Severity.MALFORMED
    return Severity.FATAL


def reason(error: BaseException) -> ExceptionReason:
    """Return the reason a run gets if this error decides."""
    if isinstance(error, TaskExceptionError):
        return error.reason
    if severity(error) is Severity.MALFORMED:
        return ExceptionReason.MALFORMED_PAYLOAD
    return ExceptionReason.INTERNAL_ERROR


def decide(success: bool, failures: Sequence[Failure], aborted: ExceptionReason | None) -> Resolution:
    """Return what a run becomes.

    An abort wins over errors, the worst error over the others, any error over the verdict.
    Source: the design's error table, "Several at once".

    >>> decide(False, [], None).state
    'failed'
    >>> decide(True, [Failure.of(ValueError("x"), "started of plugin env")], ExceptionReason.CANCELED).reason
    <ExceptionReason.CANCELED: 'canceled'>
    """
    if aborted is not None:
        return Resolution("exception", aborted, _cause(f"aborted: {aborted.value}", failures))
    if failures:
        worst = max(failures, key=lambda failure: failure.severity)
        if worst.severity is Severity.MALFORMED:  # then all are, and the author wants to hear of each
            return Resolution("exception", worst.reason, "; ".join(map(str, failures)))
        others = [failure for failure in failures if failure is not worst]
        return Resolution("exception", worst.reason, _cause(str(worst), others))
    return Resolution("completed" if success else "failed")


def _cause(decisive: str, overruled: Sequence[Failure]) -> str:
    return "; ".join([decisive, *(f"overruled: {failure}" for failure in overruled)])
