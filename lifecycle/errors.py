"""What may be raised while a run is under way, sorted by whose fault it is.

A failed task is not among them: it is a resolution. Engines and plugins raise these to say what the run is to
become; any other exception counts as a defect, a `FatalInternalError`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .leaks.leak import Leak


class ExceptionReason(enum.StrEnum):
    """Why a run was resolved `exception`: the wire names of the queue. Callers must expect new members.

    Source: the queue's vocabulary, `reportException`; `canceled` is never reported, the queue already knows.

    >>> ExceptionReason("worker-shutdown") is ExceptionReason.WORKER_SHUTDOWN
    True
    """

    CANCELED = "canceled"
    WORKER_SHUTDOWN = "worker-shutdown"
    MALFORMED_PAYLOAD = "malformed-payload"
    RESOURCE_UNAVAILABLE = "resource-unavailable"
    INTERNAL_ERROR = "internal-error"
    SUPERSEDED = "superseded"
    INTERMITTENT_TASK = "intermittent-task"


class StagecallError(Exception):
    """The base of everything the library raises on purpose."""


class MalformedPayloadError(StagecallError):
    """The task author's fault: the payload asks for something that cannot be.

    `messages` says what, one sentence each.

    >>> str(MalformedPayloadError("payload.command: must not be empty", "payload.env: no such thing"))
    'payload.command: must not be empty; payload.env: no such thing'
    """

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("; ".join(messages))

    @classmethod
    def merge(cls, errors: Iterable[MalformedPayloadError]) -> MalformedPayloadError:
        """Return one error with every message of `errors`, each once, in order."""
        return cls(*dict.fromkeys(message for error in errors for message in error.messages))


class FeatureNotSupportedError(StagecallError):
    """The engine does not offer this feature.

    A plugin may work around it, else the payload counts as malformed.
    """


class TaskExceptionError(StagecallError):
    """Nobody's defect, and yet the task has no result: the run is resolved `exception` with `reason`.

    Raises: ValueError for a reason that no run can have.
    """

    def __init__(self, reason: ExceptionReason | str, message: str) -> None:
        self.reason = ExceptionReason(reason)
        super().__init__(message)


class NonFatalInternalError(StagecallError):
    """The host's or a plugin's fault, and the worker may go on.

    The run is resolved `internal-error`, the error is counted.
    """


class FatalInternalError(StagecallError):
    """The host's or a plugin's fault, and the worker must stop.

    The run is resolved `internal-error` with an incident id.
    """


class JournalError(FatalInternalError):
    """The journal cannot be opened, read or written, or did not answer in time: nothing may be acquired any more."""


class LifecycleError(StagecallError):
    """The embedder's fault: a lifecycle that is not sound, a run used as its contract rules out."""


class ConfigurationError(StagecallError):
    """The operator's fault: a configuration, an engine's or plugin's name, that cannot be used.

    The message names what and where.
    """


class HookTimeoutError(FatalInternalError):
    """A hook or engine call overran its time."""


class RuleBrokenError(LifecycleError):
    """In strict mode: the trace of a run breaks an ordering rule.

    A defect of the library or of an action of your own; please report it.
    """


class LeakError(LifecycleError):
    """An audit found things left behind: `leaks` says what, a `Leak` each.

    The fault of an engine, of a plugin, or of whatever else the audit watched.
    """

    def __init__(self, leaks: Sequence[Leak], where: str) -> None:
        self.leaks = tuple(leaks)
        super().__init__(f"left behind {where}: " + "; ".join(map(str, self.leaks)))
