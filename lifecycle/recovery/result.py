"""What a recovery did, or would do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from ...specs.lifecycle import Lifecycle
from ...specs.trace import Trace
from ..journal.lease import Lease
from ..resolution import Resolution


@attrs.frozen
class Left:
    """A lease that could not be undone, and why; it is kept for the next recovery."""

    lease: Lease
    why: str

    def __str__(self) -> str:
        return f"{self.lease.kind} {dict(self.lease.data)}: {self.why}"


@attrs.frozen
class RecoveredRun:
    """One run that somebody else's death interrupted.

    `stage` is where it was then. `undone` are the leases that were undone, the newest first. `folder` is where its log
    and trace are kept. `reported` tells whether somebody was told the resolution: None if nobody had to be. `problems`
    are sentences on what else did not work.
    """

    task_id: str
    run_id: int
    stage: str
    resolution: Resolution
    trace: Trace
    lifecycle: Lifecycle
    undone: tuple[Lease, ...] = ()
    left: tuple[Left, ...] = ()
    folder: Path | None = None
    reported: bool | None = None
    problems: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing of the run is left in the journal."""
        return not self.left and not self.problems and self.reported is not False

    def lines(self, *, dry_run: bool = False) -> Iterator[str]:
        """Yield what a person wants to know, a line each."""
        reason = f" ({self.resolution.reason})" if self.resolution.reason else ""
        yield f"{self.task_id} run {self.run_id}: the worker died in {self.stage}; {self.resolution.state}{reason}"
        if self.folder is not None:
            yield f"  log and trace: {self.folder}"
        if self.undone:
            yield f"  {'to undo' if dry_run else 'undone'}: {', '.join(lease.kind for lease in self.undone)}"
        yield from (f"  NOT undone: {left}" for left in self.left)
        if self.reported is False:
            yield "  nobody was told its resolution yet"
        yield from (f"  {problem}" for problem in self.problems)

    def to_document(self) -> dict[str, Any]:
        """Return the run as JSON can say it."""
        return {
            "taskId": self.task_id,
            "runId": self.run_id,
            "stage": self.stage,
            "resolution": self.resolution.state,
            "reason": self.resolution.reason,
            "undone": [_leased(lease) for lease in self.undone],
            "left": [{**_leased(left.lease), "why": left.why} for left in self.left],
            "folder": None if self.folder is None else str(self.folder),
            "reported": self.reported,
            "problems": list(self.problems),
        }


@attrs.frozen
class Recovery:
    """What was recovered from the journal at `path`.

    `undone` and `left` are the leases that belonged to no run, `living` counts the sessions that were left alone,
    `damage` tells what was broken in the file. With `dry_run` nothing was changed: `undone` are then the leases that
    would be.
    """

    path: Path
    runs: tuple[RecoveredRun, ...] = ()
    undone: tuple[Lease, ...] = ()
    left: tuple[Left, ...] = ()
    living: int = 0
    damage: str | None = None
    dry_run: bool = False

    @property
    def found(self) -> bool:
        """Whether there was anything to do, or to tell."""
        return bool(self.runs or self.undone or self.left or self.damage)

    @property
    def complete(self) -> bool:
        """Whether nothing stays for the next recovery that this one tried to end."""
        return not self.left and not any(run.left or run.problems for run in self.runs)

    def lines(self) -> Iterator[str]:
        """Yield what a person wants to know, a line each."""
        if self.damage:
            yield self.damage
        for run in self.runs:
            yield from run.lines(dry_run=self.dry_run)
        if self.undone:
            kinds = ", ".join(lease.kind for lease in self.undone)
            yield f"of no run, {'to undo' if self.dry_run else 'undone'}: {kinds}"
        yield from (f"of no run, NOT undone: {left}" for left in self.left)

    def to_document(self) -> dict[str, Any]:
        """Return the recovery as JSON can say it."""
        return {
            "journal": str(self.path),
            "dryRun": self.dry_run,
            "runs": [run.to_document() for run in self.runs],
            "undone": [_leased(lease) for lease in self.undone],
            "left": [{**_leased(left.lease), "why": left.why} for left in self.left],
            "living": self.living,
            "damage": self.damage,
        }


def _leased(lease: Lease) -> dict[str, Any]:
    return {"kind": lease.kind, "data": dict(lease.data)}
