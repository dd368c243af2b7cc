"""Background tasks of a run: calls like any other, each under a name of its own."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from .calls import Call
from .errors import FatalInternalError
from .resolution import describe

T = TypeVar("T")


def free_name(name: str, under_way: Sequence[Call]) -> str:
    """Return what a background task is called in the trace: names of those under way differ.

    >>> free_name("upload", [Call("background:upload", None, print)])
    'background:upload#2'
    """
    taken = {call.name for call in under_way}
    candidates = [
        f"background:{name}",
        *(f"background:{name}#{number}" for number in range(2, len(taken) + 2)),
    ]
    return next(candidate for candidate in candidates if candidate not in taken)


async def contained(coro: Coroutine[Any, Any, T]) -> T:
    """Keep what would end the program inside the task: the event loop re-raises these two, and only these."""
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise FatalInternalError(f"a background task raised {describe(error)}") from error
