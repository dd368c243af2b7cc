"""What a run became, and the one function that decides it from what went wrong."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator, Sequence
from itertools import islice
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

ERROR_LENGTH = 4000
"""Characters that one error may have in trace, log and cause; it may quote whatever a task made it quote."""
CAUSE_LENGTH = 12_000
"""Characters after which a cause leaves sentences out, the first and the one that decided excepted."""
MOST_LINKS = 10
"""How many causes of one error, and how many leaves of one group, are told."""


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

    `cause` is the chain from the first error on, in the order in which things happened: sentences parted by `; `,
    which begin with `decided: ` or `overruled: ` where there is something overruled. None if nothing went wrong.

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

    @property
    def brief(self) -> str:
        """The error without what caused it: what the task's author is told."""
        return self._sentence(describe(self.error))

    def __str__(self) -> str:
        return self._sentence(describe_chain(self.error))

    def _sentence(self, told: str) -> str:
        incident = f" (incident {self.incident})" if self.incident else ""
        return f"{self.where}: {told}{incident}"


def describe(error: BaseException) -> str:
    """Return an error in one line: its type and what it says, even where saying it fails; shortened where it is long.

    >>> describe(ValueError("no such thing:\\n  the thing"))
    'ValueError: no such thing: the thing'
    """
    text = message_of(error)
    return _shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def message_of(error: BaseException) -> str:
    """Return what an error says, in one line, even where saying it fails.

    >>> message_of(OSError())
    ''
    """
    try:
        return " ".join(line.strip() for line in str(error).splitlines())
    except BaseException:  # whatever it raises there: it is the error of somebody who is not trusted
        return "(it cannot be shown)"


def describe_chain(error: BaseException) -> str:
    """Return an error in one line with what caused it, back to the first, and the leaves of groups.

    >>> error = NonFatalInternalError("cannot write")
    >>> error.__cause__ = OSError("no space")
    >>> describe_chain(error)
    'NonFatalInternalError: cannot write, caused by OSError: no space'
    >>> describe_chain(ExceptionGroup("two", [OSError("a"), error]))[39:]
    '[OSError: a | NonFatalInternalError: cannot write, caused by OSError: no space]'
    """
    told = []
    for link in _causes(error):
        text = describe(link)
        if isinstance(link, BaseExceptionGroup):
            text += f" [{' | '.join(_leaves_told(link))}]"
        told.append(text)
    return _shortened(", caused by ".join(told))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, and so on; the cancellation behind a timeout caused nothing."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < MOST_LINKS:
        if seen and isinstance(link, asyncio.CancelledError):
            return
        yield link
        seen.add(id(link))
        link = link.__cause__


def _leaves_told(group: BaseException) -> Iterator[str]:
    found = leaves(group)
    for leaf in islice(found, MOST_LINKS):
        yield ", caused by ".join(map(describe, _causes(leaf)))
    if more := sum(1 for _ in found):
        yield f"and {more} more"


def _shortened(text: str) -> str:
    if len(text) <= ERROR_LENGTH:
        return text
    return f"{text[: ERROR_LENGTH - 40]}... ({len(text):,} characters)"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that are no groups among `error` and what it groups.

    >>> group = ExceptionGroup("", [OSError(), ExceptionGroup("", [KeyError()])])
    >>> [type(leaf).__name__ for leaf in leaves(group)]
    ['OSError', 'KeyError']
    """
    waiting = [error]
    while waiting:  # groups may lie deeper in one another than calls may
        inner = waiting.pop()
        if isinstance(inner, BaseExceptionGroup):
            waiting.extend(reversed(inner.exceptions))
        else:
            yield inner


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
    told = error.reason if isinstance(error, TaskExceptionError) else None
    if isinstance(told, ExceptionReason):
        return told
    if severity(error) is Severity.MALFORMED:
        return ExceptionReason.MALFORMED_PAYLOAD
    return ExceptionReason.INTERNAL_ERROR


def decide(
    success: bool,
    failures: Sequence[Failure],
    aborted: ExceptionReason | None,
    *,
    aborted_after: int = 0,
    refusals: Sequence[tuple[int, str]] = (),
) -> Resolution:
    """Return what a run becomes.

    An abort wins over errors, the worst error over the others, any error over the verdict. `refusals` are who said
    that the task failed; they and the abort come with the number of failures and refusals that were there before.
    Source: the design's error table, "Several at once".

    >>> decide(False, [], None).state
    'failed'
    >>> decide(True, [Failure.of(ValueError("x"), "started of plugin env")], ExceptionReason.CANCELED).reason
    <ExceptionReason.CANCELED: 'canceled'>
    """
    if aborted is None and not failures:
        return Resolution("completed" if success else "failed")
    worst = max((failure.severity for failure in failures), default=None)
    deciding: list[Failure] = []
    if aborted is None:
        deciding = [failure for failure in failures if failure.severity is worst]
        if worst is not Severity.MALFORMED:  # of malformations the author wants to hear of each
            deciding = deciding[:1]
    chain = [(str(failure), any(failure is one for one in deciding)) for failure in failures]
    for place, who in refusals:
        chain.insert(place, (f"{who}: the task failed", False))
    if aborted is not None:
        chain.insert(aborted_after, (f"aborted: {aborted.value}", True))
        return Resolution("exception", aborted, cause_of(chain))
    return Resolution("exception", deciding[0].reason, cause_of(chain))


def cause_of(chain: Sequence[tuple[str, bool]]) -> str:
    """Return the sentences of a chain, each marked as what decided or was overruled, unless all of them decided.

    >>> cause_of([("aborted: canceled", True), ("started of plugin env: OSError", False)])
    'decided: aborted: canceled; overruled: started of plugin env: OSError'
    """
    if not all(decided for _, decided in chain):
        chain = [(f"{'decided' if decided else 'overruled'}: {told}", decided) for told, decided in chain]
    needed = {0, next(place for place, (_, decided) in enumerate(chain) if decided)}
    room = CAUSE_LENGTH - sum(len(chain[place][0]) for place in needed)
    kept = []
    for place, (told, _) in enumerate(chain):
        if place not in needed:
            room -= len(told)
        if place in needed or room >= 0:
            kept.append(told)
    left_out = len(chain) - len(kept)
    return "; ".join([*kept, f"and {left_out} more"] if left_out else kept)
