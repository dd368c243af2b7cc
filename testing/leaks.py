"""The leak audit for tests: around a block of code, or around a whole test with the fixture `stagecall_no_leaks`.

The fixture comes with the pytest plugin; a test that asks for it, or a module or class with
`pytestmark = pytest.mark.usefixtures("stagecall_no_leaks")`, fails with a LeakError that names each process,
descriptor, socket, thread, task or temporary file that its own body left behind. What other fixtures hold is none
of it.

>>> with audit():
...     open("/dev/null").close()
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..lifecycle.errors import LeakError
from ..lifecycle.leaks import SETTLE_SECONDS, Leak, LeakKind, Snapshot, audit, take

__all__ = ["SETTLE_SECONDS", "Leak", "LeakError", "LeakKind", "Snapshot", "audit", "audited", "take"]


def audited(test: Callable[..., Any], *roots: Path) -> Callable[..., Any]:
    """Return a test function, `def` or `async def`, that does what `test` does within an audit."""
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def on_loop(*arguments: Any, **fixtures: Any) -> Any:
            async with audit(roots, settle=SETTLE_SECONDS):
                return await test(*arguments, **fixtures)

        return on_loop

    @functools.wraps(test)
    def blocking(*arguments: Any, **fixtures: Any) -> Any:
        with audit(roots, settle=SETTLE_SECONDS):
            return test(*arguments, **fixtures)

    return blocking
