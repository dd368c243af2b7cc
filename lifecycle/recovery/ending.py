"""Ends one run whose process died: goes on along its table from where it was, every event durable before the act.

A stage that was entered is resumed, not entered again, and nothing the trace tells of is done a second time, except
what may not have been finished: a report that nobody confirmed, and the undoing of leases, which undos make harmless.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from ...specs.lifecycle import Stage
from ...specs.trace import Event, Kind
from ..errors import ExceptionReason, JournalError
from ..journal.lease import Lease, Undo
from ..journal.store import Statement, delete, forget, insert
from ..offload import offload
from ..resolution import Resolution, cause_of, describe
from .keeping import keep_log, keep_trace, log_size, place_for
from .result import Left, RecoveredRun
from .stored import StoredRun
from .undos import bounded, undo

Report = Callable[[RecoveredRun], Awaitable[None]]
"""Tells whoever waits for a run what became of it."""
Commit = Callable[[list[Statement]], Awaitable[None]]
"""Makes statements durable in the journal."""

CLOSING = ("close_log", "give_up")
"""The actions after which the log is closed."""


@attrs.define
class Ending:
    """Ends one run. `keep` is the folder for what people want to see of runs that have no home."""

    run: StoredRun
    commit: Commit
    undos: Mapping[str, Undo]
    report: Report | None
    keep: Path
    stage: str = attrs.field(init=False)
    folder: Path | None = attrs.field(default=None, init=False)
    undone: list[Lease] = attrs.field(factory=list, init=False)
    left: list[Left] = attrs.field(factory=list, init=False)
    problems: list[str] = attrs.field(factory=list, init=False)
    _reported: bool | None = attrs.field(default=None, init=False)
    _attempted: bool = attrs.field(default=False, init=False)
    _stored: int = attrs.field(init=False)
    _clock: tuple[float, float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.stage = self.run.stage
        self._stored = len(self.run.trace)
        self._clock = _clock(self.run)

    async def end(self) -> RecoveredRun:
        """End the run, as far as that is possible now. Raises: JournalError."""
        try:
            return await self._end()
        except JournalError:
            raise
        except Exception as error:  # the other runs are ended all the same
            self.problems.append(f"it could not be recovered: {describe(error)}")
            return self._result()

    async def _end(self) -> RecoveredRun:
        reports = self.run.reports
        if reports:
            self._reported = False
        if not self.run.over or self.run.leases or (reports and self.report is not None):
            self._take_over()
            await self._go_on()
        await self._conclude()
        return self._result()

    def _take_over(self) -> None:
        detail: dict[str, Any] = {"by": f"process {os.getpid()}", "at": datetime.now(UTC).isoformat()}
        if self.run.lost:
            detail["lost"] = True
        self._record(Kind.RECOVERED, detail=detail)
        if not self.run.trace.of(Kind.OUTCOME):
            resolution = resolution_of(self.run)
            detail = {"state": resolution.state, "reason": resolution.reason, "cause": resolution.cause}
            self._record(Kind.OUTCOME, detail={**detail, "final": True})

    async def _go_on(self) -> None:
        await self._do(self.stage)
        for stage in _still_to_come(self.run, self.stage):
            source, self.stage = self.stage, stage
            self._record(Kind.MOVE, detail={"source": source})
            await self._do(stage)

    async def _do(self, name: str) -> None:
        """Do what is left to do in a stage."""
        stage = self.run.lifecycle.by_name.get(name)
        final = stage is None or stage.next is None
        if stage is not None and self._closes_log(stage):
            self._record(Kind.LOG_CLOSED, detail={"bytes": await self._log_size()})
        if self.run.reports and not self._attempted and (final or (stage and stage.action == "report")):
            await self._report()
        if final:
            for lease in self.run.leases:
                await self._undo(lease)

    def _closes_log(self, stage: Stage) -> bool:
        """Return whether the log is closed here, and not before or in the exception stage that follows."""
        here = (
            stage.name in self.run.lifecycle.exception_stages or resolution_of(self.run).state != "exception"
        )
        return stage.action in CLOSING and here and not self.run.trace.of(Kind.LOG_CLOSED)

    async def _log_size(self) -> int:
        def largest(stop: threading.Event) -> int:
            return max((log_size(lease) or 0 for lease in self.run.leases), default=0)

        return await offload(largest)

    async def _report(self) -> None:
        self._attempted = True
        if self.report is None:
            return
        self._record(Kind.CALL, "report")
        await self._make_durable()
        detail = await self._attempt(partial(self.report, self._result()))
        self._record(Kind.RETURN, "report", detail)
        self._record(Kind.REPORT, detail={"outcome": detail["outcome"]})
        self._reported = detail["outcome"] == "ok"
        if not self._reported:
            self.problems.append(f"its resolution was not reported: {detail['error']}")

    async def _attempt(self, call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        try:
            await bounded(call)
        except Exception as error:
            return {"outcome": "failed", "error": describe(error)}
        return {"outcome": "ok"}

    async def _undo(self, lease: Lease) -> None:
        name = f"dispose:{lease.kind}"
        self._record(Kind.CALL, name, {"lease": lease.id})
        await self._make_durable()
        why = await self._kept_log(lease) or await undo(lease, self.undos)
        self._record(
            Kind.RETURN, name, {"outcome": "ok"} if why is None else {"outcome": "failed", "error": why}
        )
        if why is None:
            self.undone.append(lease)
            self._record(Kind.RELEASE, detail={"lease": lease.id})
            await self._make_durable(delete(self.run.session, self.run.number, "lease", lease.id))
        else:
            self.left.append(Left(lease, why))

    async def _kept_log(self, lease: Lease) -> str | None:
        """Keep the log that lies in a leased folder; return why it cannot be: the folder stays then."""
        if lease.kind != "folder" or "log" not in lease.data:
            return None
        errors = []
        for folder in self._places():
            try:
                if await offload(partial(keep_log, lease, folder, self.run.mark)):
                    self.folder = folder
            except OSError as error:
                errors.append(f"the log cannot be kept in {folder}: {error.strerror or error}")
            else:
                return None
        return "; ".join(errors)

    def _places(self) -> Iterator[Path]:
        """Yield where log and trace may be kept, the best place first; once there is one, only that."""
        if self.folder is not None:
            yield self.folder
            return
        home = self.run.facts.get("home")
        if isinstance(home, str):
            yield Path(home)
        yield place_for(self.keep, self.run.owner, self.run.number)

    async def _conclude(self) -> None:
        """End the trace, keep it, and forget the run, if nothing of it is left to do."""
        if not self.left and not self.run.over:
            self._record(Kind.END)
        await self._make_durable()
        await self._keep_trace()
        if not self.left and not self.problems and self._reported is not False:
            await self.commit([forget(self.run.session, self.run.number)])

    async def _keep_trace(self) -> None:
        document, errors = self.run.trace.to_document(), []
        for folder in self._places():
            try:
                await offload(partial(keep_trace, document, folder, self.run.mark))
            except OSError as error:
                errors.append(f"its trace cannot be kept in {folder}: {error.strerror or error}")
            else:
                self.folder = folder
                return
        self.problems += errors

    def _result(self) -> RecoveredRun:
        task_id, run_id = self.run.owner
        return RecoveredRun(
            task_id,
            run_id,
            self.run.died_in,
            resolution_of(self.run),
            self.run.trace,
            self.run.lifecycle,
            tuple(self.undone),
            tuple(self.left),
            self.folder,
            self._reported,
            tuple(self.problems),
        )

    # The trace

    def _record(self, kind: Kind, call: str | None = None, detail: Mapping[str, Any] | None = None) -> None:
        began, offset = self._clock
        event = Event(offset + time.monotonic() - began, kind, self.stage, None, call, detail)
        self.run.trace.events.append(event)

    async def _make_durable(self, *more: Statement) -> None:
        """Store what was recorded since the last time."""
        fresh = self.run.trace.events[self._stored :]
        part = self.run.next_part
        statements = list(more)
        if fresh:
            events = [event.as_dict(part + place) for place, event in enumerate(fresh)]
            statements.append(insert(self.run.session, self.run.number, "events", part, events))
        await self.commit(statements)
        self._stored += len(fresh)
        self.run.next_part += len(fresh)


def _clock(run: StoredRun) -> tuple[float, float]:
    """Return now by the monotonic clock, and by the run's: where that was set back since, no earlier than it told."""
    told = run.trace[-1].time if run.trace else 0.0
    return time.monotonic(), max(told, (datetime.now(UTC) - run.trace.started).total_seconds())


def _still_to_come(run: StoredRun, here: str) -> tuple[str, ...]:
    """Return the stages that a run has to enter still, from where it is, now that its outcome is final."""
    stage = run.lifecycle.by_name.get(here)
    if stage is None:  # pieces of the trace are lost, or its table
        return ()
    if resolution_of(run).state == "exception" and stage.on_exception is not None:
        return run.lifecycle.following(stage.on_exception)
    return run.lifecycle.following(here)[1:]


def resolution_of(run: StoredRun) -> Resolution:
    """Return what the run had become, or becomes by having been interrupted."""
    if not (outcomes := run.trace.of(Kind.OUTCOME)):
        return Resolution("exception", ExceptionReason.WORKER_SHUTDOWN, _cause(run))
    told = outcomes[-1]
    reason = told.get("reason")
    return Resolution(told.get("state"), ExceptionReason(reason) if reason else None, told.get("cause"))


def _cause(run: StoredRun) -> str:
    """Return the chain of what went wrong before the worker died, which decided over all of it."""
    chain = []
    for event in run.trace.of(Kind.ABORT, Kind.ERROR):
        if event.kind is Kind.ERROR and event.get("counted"):
            chain.append((str(event.get("message")), False))
        elif event.kind is Kind.ABORT and event.get("accepted"):
            chain.append((f"aborted: {event.get('reason')}", False))
    return cause_of([*chain, (f"the worker died while the run was in {run.died_in}", True)])


def foreseen(run: StoredRun) -> RecoveredRun:
    """Return what would become of a run: its leases are to be undone."""
    task_id, run_id = run.owner
    home = run.facts.get("home")
    return RecoveredRun(
        task_id,
        run_id,
        run.died_in,
        resolution_of(run),
        run.trace,
        run.lifecycle,
        undone=tuple(run.leases),
        folder=Path(home) if isinstance(home, str) else None,
        reported=False if run.reports else None,
    )
