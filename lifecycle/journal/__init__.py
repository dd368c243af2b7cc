"""The journal: what must be undone if this process dies, written down before it is acquired.

`docs/crash-recovery.md` tells what is durable when, and how to write an undo of your own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .lease import Lease, Leasing, Undo

if TYPE_CHECKING:
    from .run import RunJournal
    from .session import Journal
else:

    def __getattr__(name: str) -> object:
        """Import the database when a journal is first used, and not before (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


_HOMES = {"Journal": "session", "RunJournal": "run"}

__all__ = ["Journal", "Lease", "Leasing", "RunJournal", "Undo"]
