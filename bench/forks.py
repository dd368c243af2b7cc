"""Measuring in a process of its own, so that memory which one contender used and freed is not there for the next."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable


def in_fork(measure: Callable[[], Awaitable[dict[str, float]]]) -> dict[str, float]:
    """Run `measure` on a new loop in a fork of this process and return what it returns.

    Raises: RuntimeError if the fork fails; its traceback is on stderr. Must be called without a running loop or
    threads.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(write_end, "w") as answer:
                json.dump(asyncio.run(measure()), answer)  # type: ignore[arg-type]
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("measuring in a fork failed")
    values: dict[str, float] = json.loads(text)
    return values
