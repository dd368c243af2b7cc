"""What a hook, an engine call or an action may do when it is called, from returning at once to the worst."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ...lifecycle.errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)


class Foreign(BaseException):
    """An error that is no Exception and that nobody knows; it reaches whoever waits for the run."""


class Unprintable(Exception):
    """An error that fails even to say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Act(enum.StrEnum):
    """What a call does.

    >>> Act("hangs") in CALM, Act.HANGS in WILD
    (False, True)
    """

    # Nobody is kept from anything.
    OK = "ok"  # returns True
    FALSE = "false"  # returns False: the task failed, or no task plugin is needed
    LOGS = "logs"
    YIELDS = "yields"  # lets others run once
    SLOW = "slow"  # takes `seconds`
    # Raises; see ERRORS.
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    TASK_EXCEPTION = "task-exception"
    INTERMITTENT = "intermittent"
    NON_FATAL = "non-fatal"
    FATAL = "fatal"
    DEFECT = "defect"
    GROUP = "group"
    UNPRINTABLE = "unprintable"
    SYSTEM_EXIT = "system-exit"
    KEYBOARD_INTERRUPT = "keyboard-interrupt"
    STRAY_CANCELLED = "stray-cancelled"
    FOREIGN = "foreign"
    FOREIGN_GROUP = "foreign-group"
    # Does not return by itself.
    HANGS = "hangs"  # until it is cancelled
    STUBBORN = "stubborn"  # takes no notice of being cancelled
    STUBBORN_ERROR = "stubborn-error"  # the same, and raises in the end
    RETURNS_WHEN_CANCELLED = "returns-when-cancelled"  # swallows the cancellation
    RAISES_WHEN_CANCELLED = "raises-when-cancelled"  # raises something else instead
    UNTIL_CANCELLED = "until-cancelled"  # waits for the run to be aborted, then returns
    # Does what the run must cope with.
    ABORTS = "aborts"  # aborts the run from within
    CANCELS_ITSELF = "cancels-itself"  # cancels the task that it runs in
    SPAWNS = "spawns"  # leaves a background task, which does `inner`
    WRONG_VALUE = "wrong-value"  # returns what nobody expects


CALM = (Act.OK, Act.FALSE, Act.LOGS, Act.YIELDS, Act.SLOW)
"""What keeps nobody from anything."""

WILD = tuple(act for act in Act if act not in CALM)
"""What else there is."""

ERRORS: Mapping[Act, Callable[[], BaseException]] = MappingProxyType(
    {
        Act.MALFORMED: lambda: MalformedPayloadError("payload.x: cannot be"),
        Act.UNSUPPORTED: lambda: FeatureNotSupportedError("no such feature"),
        Act.TASK_EXCEPTION: lambda: TaskExceptionError(ExceptionReason.RESOURCE_UNAVAILABLE, "nothing left"),
        Act.INTERMITTENT: lambda: TaskExceptionError(ExceptionReason.INTERMITTENT_TASK, "try again"),
        Act.NON_FATAL: lambda: NonFatalInternalError("a hiccup"),
        Act.FATAL: lambda: FatalInternalError("the host is broken"),
        Act.DEFECT: lambda: ValueError("a defect"),
        Act.GROUP: lambda: ExceptionGroup(
            "several", [MalformedPayloadError("m"), NonFatalInternalError("n")]
        ),
        Act.UNPRINTABLE: Unprintable,
        Act.SYSTEM_EXIT: lambda: SystemExit(3),
        Act.KEYBOARD_INTERRUPT: KeyboardInterrupt,
        Act.STRAY_CANCELLED: asyncio.CancelledError,
        Act.FOREIGN: lambda: Foreign("from nowhere"),
        Act.FOREIGN_GROUP: lambda: BaseExceptionGroup("several", [Foreign("in a group"), OSError("o")]),
    }
)
"""What the acts that raise raise: each kind of error that the lifecycle knows, and the worst it does not."""


class Brief:
    """Shows of an attrs object, as the Python that makes it again, only what differs from the defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        cls: Any = type(self)
        shown = []
        for field in attrs.fields(cls):
            value, default = getattr(self, field.name), field.default
            if value != (default.factory() if isinstance(default, _FACTORY) else default):
                text = repr(value.value) if isinstance(value, enum.Enum) else repr(value)
                shown.append(f"{field.name}={text}")
        return f"{cls.__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Let hypothesis show it so too."""
        printer.text(repr(self))


_FACTORY: Any = type(attrs.Factory(dict))


@attrs.frozen(repr=False)
class Behaviour(Brief):
    """What one call does: an `Act`, or the text of one.

    `seconds` is how long it takes where that matters. `threaded` makes a hook a plain `def`, which runs in a thread.
    `inner` is what the background task of `Act.SPAWNS` does.

    >>> Behaviour("slow", seconds=3.0)
    Behaviour(act='slow', seconds=3.0)
    >>> Behaviour("explodes")
    Traceback (most recent call last):
        ...
    ValueError: 'explodes' is not a valid Act
    """

    act: Act = attrs.field(default=Act.OK, converter=Act)
    seconds: float = 0.0
    threaded: bool = False
    inner: Act = attrs.field(default=Act.OK, converter=Act)


CALMLY = Behaviour()
"""Returns at once."""
