"""`stagecall recover`, and what `stagecall run` recovers before it begins: where the journal lies, and what is told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...lifecycle.errors import JournalError
from ...lifecycle.recovery import Recovery
from ...lifecycle.recovery import recover as recover_journal
from ...lifecycle.resolution import describe
from .exits import Exit, Problem
from .tasks import KEPT_LOG, Job


def default_journal() -> Path:
    """Return where the journal lies if nothing else is said: in the state folder of the user."""
    from platformdirs import user_state_path

    return user_state_path("stagecall", appauthor=False) / "journal.db"


def chosen_journal(option: str | None, disabled: bool, configured: str | bool) -> Path | None:
    """Return the journal that options, else the configuration, name; None for none. Raises: Problem.

    >>> chosen_journal("mine.db", False, False)
    PosixPath('mine.db')
    >>> chosen_journal(None, True, "mine.db")
    """
    if option is not None and disabled:
        raise Problem("--journal and --no-journal: choose one")
    if option == "":
        raise Problem("--journal: is empty; name a file, or say --no-journal")
    if disabled or (option is None and configured is False):
        return None
    named = option if option is not None else configured
    return Path(named) if isinstance(named, str) else default_journal()


def recover(path: Path, *, dry_run: bool, as_json: bool) -> tuple[list[str], Exit]:
    """Recover a journal; return what to print, and 1 if something could not be ended. Raises: Problem."""
    try:
        recovery = asyncio.run(recover_journal(path, dry_run=dry_run))
    except JournalError as error:
        raise Problem(str(error)) from error
    code = Exit.COMPLETED if recovery.complete else Exit.FAILED
    if as_json:
        return [json.dumps(recovery.to_document())], code
    return list(_lines(recovery)), code


def _lines(recovery: Recovery) -> Iterable[str]:
    living = f"; {recovery.living} {_sessions(recovery.living)} still at work" if recovery.living else ""
    if not recovery.found:
        yield f"{recovery.path}: nothing to recover{living}"
        return
    yield f"{recovery.path}: {'to recover' if recovery.dry_run else 'recovered'}{living}"
    yield from recovery.lines()


def recover_first(path: Path, jobs: Sequence[Job], note: Callable[[str], None]) -> None:
    """Recover what earlier commands left, before their output folders are used again; tell it in a line.

    A failure is told, and keeps nothing from running.
    """
    try:
        recovery = asyncio.run(recover_journal(path))
    except Exception as error:
        told = str(error) if isinstance(error, JournalError) else describe(error)
        note(f"stagecall: nothing could be recovered: {told}")
        return
    if recovery.found:
        left = "" if recovery.complete else "; NOT everything, see: stagecall recover"
        note(f"stagecall: recovered from {path}: {_told(recovery)}{left}")
    for run in recovery.runs:
        if run.folder is None:
            continue
        try:
            apart = _set_apart(run.folder, f"{run.task_id}-{run.run_id}", jobs)
        except OSError as error:
            note(f"stagecall: what {run.task_id} had left in {run.folder} may be written over: {error}")
        else:
            if apart is not None:
                note(f"stagecall: what {run.task_id} had left in {run.folder} is in {apart}")


def _told(recovery: Recovery) -> str:
    runs = [f"{run.task_id} ({run.resolution.reason or run.resolution.state})" for run in recovery.runs]
    leases = len(recovery.undone) + sum(len(run.undone) for run in recovery.runs)
    told = [", ".join(runs)] if runs else []
    told += [f"{leases} {'lease' if leases == 1 else 'leases'} undone"] if leases else []
    told += [recovery.damage] if recovery.damage else []
    return "; ".join(told)


def _sessions(count: int) -> str:
    return "session is" if count == 1 else "sessions are"


def _set_apart(folder: Path, name: str, jobs: Sequence[Job]) -> Path | None:
    """Move what a recovered run left where a job of this command is about to write; return where to."""
    if folder not in {Path(os.path.abspath(job.folder)) for job in jobs}:
        return None
    apart = folder / f"recovered-{name}"
    apart.mkdir(exist_ok=True)
    for entry in ("run.json", KEPT_LOG, "artifacts"):
        if os.path.lexists(folder / entry) and not os.path.lexists(apart / entry):
            os.rename(folder / entry, apart / entry)
    return apart
