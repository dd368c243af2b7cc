"""A coroutine that tells each time it is suspended, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

OURS = Path(__file__).parent.parent.resolve()
ASYNCIO = Path(asyncio.__file__).parent.resolve()


class Stepped(Coroutine[Any, Any, T]):
    """Runs another coroutine, and calls `suspended` with it and what it waits for each time it stops.

    A task sees no difference: what is yielded, sent and thrown passes through.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], suspended: Callable[[Any, Any], None]) -> None:
        self.coro = coro
        self.suspended = suspended
        self.__name__ = getattr(coro, "__name__", type(coro).__name__)
        self.__qualname__ = getattr(coro, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        return self._step(self.coro.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self.coro.throw, *error)

    def _step(self, go: Callable[..., Any], *arguments: Any) -> Any:
        awaited = go(*arguments)
        self.suspended(self.coro, awaited)
        return awaited

    def close(self) -> None:
        self.coro.close()

    def __await__(self) -> Generator[Any, Any, T]:
        raise TypeError("a stepped coroutine is for a task")


def place(coro: Any) -> str:
    """Return where a coroutine is suspended: `file:line function`, innermost first, without asyncio's own.

    The files of the package are named from its root, others by their name alone.
    """
    return " < ".join(_shown(frame) for frame in reversed(list(_frames(coro))))


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of what awaits what, the outermost first."""
    while awaited is not None:
        awaited = getattr(awaited, "coro", awaited)
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if isinstance(frame, FrameType) and not _within(ASYNCIO, frame):
            yield frame
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")


def _first(thing: Any, *names: str) -> Any:
    return next((getattr(thing, name) for name in names if hasattr(thing, name)), None)


def _within(folder: Path, frame: FrameType) -> bool:
    return Path(frame.f_code.co_filename).is_relative_to(folder)


def _shown(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    file = path.relative_to(OURS).as_posix() if path.is_relative_to(OURS) else path.name
    return f"{file}:{frame.f_lineno} {frame.f_code.co_qualname}"
