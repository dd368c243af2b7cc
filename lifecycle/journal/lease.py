"""A lease: what somebody is about to acquire outside of the process, and what is needed to undo it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import attrs


@attrs.frozen
class Lease:
    """One thing outside the process that must go if the process dies.

    `kind` names the undo, `data` is what it needs: what JSON can say. `owner` is the run's (task id, run id), None
    for what the whole worker holds. `id` is unique in its session; 0 where there is no journal.

    >>> Lease(7, "folder", {"path": "/tmp/stagecall-x"}).owner is None
    True
    """

    id: int
    kind: str
    data: Mapping[str, Any]
    owner: tuple[str, int] | None = None


Undo = Callable[[Lease], Awaitable[None]]
"""Undoes what a lease stands for; doing it again, or where it was never acquired, is fine.

Raises: NonFatalInternalError that names what stays; the lease is then kept for the next recovery.
"""


class Leasing(Protocol):
    """Who gives leases: `TaskContext` for what a run holds, `Journal` for what the whole worker does."""

    async def lease(self, kind: str, /, **data: Any) -> Lease:
        """Return a lease once it is durable; acquire only then. Raises: JournalError."""

    async def release(self, lease: Lease) -> None:
        """Say that what the lease stands for is gone; return once that is durable. Raises: JournalError."""


def plain(kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a copy of a lease's data as it will be read again.

    Raises: TypeError for what JSON cannot say.

    >>> plain("folder", {"parts": ("a", "b")})
    {'parts': ['a', 'b']}
    """
    try:
        copy: Mapping[str, Any] = json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the data of a lease {kind!r} must be what JSON can say: {error}") from error
    return copy
