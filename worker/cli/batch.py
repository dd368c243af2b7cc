"""The tasks of one command: takes them through their lifecycle, some side by side, keeps what they leave."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.errors import ExceptionReason
from ...lifecycle.threads import WORK
from ...specs.trace import Event
from ..runtime import Runtime
from ..task_run import TaskRun
from .board import Board, Card
from .escapes import RESET
from .exits import Exit, exit_of
from .output import Streams
from .report import PAGE, Report
from .screen import Screen
from .summary import refusals, summarise
from .tasks import Job
from .transcript import Transcript
from .uploads import NOTE_SECONDS, note_uploads

if TYPE_CHECKING:
    from ...lifecycle.log import LogView
    from .serving import Serving

COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m", "\x1b[32m")
"""Cyan, yellow, magenta, blue, green: what tells the lines of several tasks apart."""


@attrs.define(eq=False)
class Batch:
    """The tasks of one command: at most `concurrency` run at once, and none is started after `stop`."""

    jobs: Sequence[Job]
    concurrency: int
    streams: Streams
    screen: Screen
    board: Board
    as_json: bool
    stopping: bool = attrs.field(default=False, init=False)
    waiting: deque[Job] = attrs.field(init=False)
    running: list[TaskRun] = attrs.field(factory=list, init=False)
    reports: dict[str, Report] = attrs.field(factory=dict, init=False)
    exits: list[Exit] = attrs.field(factory=list, init=False)
    hurried: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    serving: Serving | None = attrs.field(default=None, init=False)
    """The pages of the runs, where they are served."""
    _reported: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.waiting = deque(self.jobs)

    async def run(self, runtime: Runtime) -> None:
        """Run every task; returns when the last one has been disposed."""
        most = runtime.engine.capabilities().max_concurrency or len(self.jobs)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, most, len(self.jobs))):
                group.create_task(self._work(runtime))

    def stop(self, why: str) -> None:
        """Abort what runs, and start nothing more."""
        if self.stopping:
            return
        self.stopping = True
        left = [job.label for job in self.waiting]
        self.waiting.clear()
        self.exits += [Exit.EXCEPTION] * len(left)
        self.note(f"stagecall: {why}" + (f"; not started: {', '.join(left)}" if left else ""))
        for run in list(self.running):
            run.abort(ExceptionReason.WORKER_SHUTDOWN)

    def interrupt(self, signal: str) -> None:
        """Take the first Ctrl-C: end cleanly."""
        if self.serving is not None and self.serving.lingering:
            self.serving.leave()
            return
        if not self.running and not self.waiting:
            self.hurry(signal)
            return
        self.board.notice = "aborting; Ctrl-C again to hurry"
        self.stop(f"{signal}: aborting {_tasks(len(self.running))}; Ctrl-C again to hurry")

    def hurry(self, signal: str) -> None:
        """Take the second Ctrl-C: leave nobody time, and wait for no reader."""
        self.board.notice = "hurrying; Ctrl-C again to leave everything as it is"
        self.note(f"stagecall: {self.board.notice}")
        for run in list(self.running):
            run.hurry()
        self.hurried.set()
        if self.serving is not None:
            self.serving.leave()
        self.screen.hurry()

    def quit(self, signal: str) -> None:
        """Take the third Ctrl-C: end at once, whatever that leaves behind."""
        self.screen.erase()
        os._exit(130)

    def show_reports(self) -> None:
        """Tell the person what became of the tasks, in the order they were given; once more does nothing."""
        if self._reported:
            return
        self._reported = True
        reports = [self.reports[job.task_id] for job in self.jobs if job.task_id in self.reports]
        if reports and not self.as_json:
            self.note(self.streams.reports(reports))

    def note(self, line: str) -> None:
        """Tell the person something about the runs."""
        self.screen.note(line)

    async def _work(self, runtime: Runtime) -> None:
        while self.waiting:
            await self._run(runtime, self.waiting.popleft())

    async def _run(self, runtime: Runtime, job: Job) -> None:
        run = runtime.new_run(job.definition, run_id=job.definition.run_id or 0, home=job.folder)
        card = Card.begin(job.label, run.lifecycle, lambda: run.progress)
        transcript = self._transcript(job, card)
        run.observe(lambda event: transcript.observe(event, run.context.log_bytes))
        run.observe(card.observe)
        self.running.append(run)
        self.board.cards.append(card)
        if self.serving is not None:
            self.serving.add(run, job)
        follower = asyncio.create_task(transcript.follow(run.context.new_log_reader()))
        noting = asyncio.create_task(self._note_uploads(run, job))
        log = run.context.open_log()  # outlives the run's folder, for its page
        try:
            await self._wait(run, runtime, job)
        finally:
            noting.cancel()
            self.running.remove(run)
            self.exits.append(exit_of(run.resolution))
            with log:
                report = await self._keep(run, job, log)
            await self._end_following(follower, job)
            self.board.cards.remove(card)
            self.board.finished += 1
            self._tell(report)

    async def _wait(self, run: TaskRun, runtime: Runtime, job: Job) -> None:
        """Drive a run to its end; what a hook raised that is no Exception concerns this run only."""
        try:
            await run.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            incident = runtime.environment.monitor.report_error(error, where=f"run of {job.label}")
            self.note(f"stagecall: {job.label}: {type(error).__name__} was raised, incident {incident}")
            self.exits.append(Exit.EXCEPTION)
        if run.stop_worker and (self.waiting or self.running != [run]):
            self.stop(f"{job.label} met an internal error after which the worker must stop")

    async def _note_uploads(self, run: TaskRun, job: Job) -> None:
        """Say now and then how far long uploads are, where no stage line shows it."""
        if not self.streams.live:
            where = f"{job.label}: " if len(self.jobs) > 1 else ""
            await note_uploads(
                lambda: run.progress, lambda text: self.note(f"--- {where}stored {text}"), NOTE_SECONDS
            )

    def _transcript(self, job: Job, card: Card) -> Transcript:
        several = len(self.jobs) > 1
        width = max(len(job.label) for job in self.jobs)

        def stage_line(event: Event) -> str:
            where = f"{job.label}: " if several else ""
            return f"--- {where}{event.stage} at {event.time:.3f}s"

        return Transcript(
            self.screen,
            terminal=self.streams.terminal,
            prefix=self._prefix(f"{job.label:{width}} | ", job) if several else "",
            stage_line=None if self.streams.live else stage_line,
            preview=card.show_preview if self.streams.live and not several else None,
        )

    def _prefix(self, prefix: str, job: Job) -> str:
        """Return what marks a task's lines; on a terminal each task has a colour, unless NO_COLOR is set."""
        if not self.streams.terminal or os.environ.get("NO_COLOR"):
            return prefix
        return f"{COLOURS[self.jobs.index(job) % len(COLOURS)]}{prefix}{RESET}"

    async def unless_hurried(self, task: asyncio.Task[None]) -> None:
        """Wait for a task, and cancel it if there is a hurry."""
        hurry = asyncio.create_task(self.hurried.wait())
        await asyncio.wait([task, hurry], return_when=asyncio.FIRST_COMPLETED)
        for one in (task, hurry):
            one.cancel()
        await asyncio.wait([task, hurry])

    async def _end_following(self, follower: asyncio.Task[None], job: Job) -> None:
        """Show the rest of the log, unless there is a hurry and its reader does not read."""
        await self.unless_hurried(follower)
        if not follower.cancelled() and (error := follower.exception()) is not None:
            self.note(f"stagecall: {job.label}: the log cannot be shown: {error}")

    async def _keep(self, run: TaskRun, job: Job, log: LogView) -> Report:
        """Write `run.json` and the page, before a reader that sleeps can hold that up; return what there is to tell."""
        summary = summarise(run.trace)
        report = self.reports[job.task_id] = Report(job.label, summary, job.folder, refusals(run.trace))
        file = job.folder / "run.json"
        try:
            await WORK.submit(write_trace, file, run.trace.to_document() | {"summary": summary}).future
        except OSError as error:
            self.note(f"stagecall: {file}: {error.strerror or error}")
            self.exits.append(Exit.EXCEPTION)
        else:
            await self._leave_page(run, job, log)
        return report

    async def _leave_page(self, run: TaskRun, job: Job, log: LogView) -> None:
        """Write the page of a run; what keeps that from happening is told, and changes nothing else."""
        try:
            await WORK.submit(_write_page, job, run, log).future
        except Exception as error:
            self.note(f"stagecall: {job.folder / PAGE}: the page of the run cannot be written: {error}")

    def _tell(self, report: Report) -> None:
        if self.as_json:
            self.screen.result(json.dumps(report.summary))
        elif len(self.jobs) > 1:
            self.note(f"--- {report.label}: {report.verdict}")


def write_trace(file: Path, document: Any) -> None:
    """Write `run.json` so that nobody ever sees half of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1, default=str)
            stream.write("\n")
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_page(job: Job, run: TaskRun, log: LogView) -> None:
    from .page import leave_page  # takes a while to import, which no task should wait for

    leave_page(job.folder, job.label, run.trace, run.lifecycle, log)


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
