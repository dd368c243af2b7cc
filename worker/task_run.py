"""One run of a task: what each stage of the lifecycle's table does with engine, sandbox and plugins.

Read the methods from top to bottom beside the table in `specs/lifecycle.py`; `lifecycle/driver.py` calls them in
that order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..engines.base import ResultSet, Sandbox, SandboxBuilder, SandboxOptions
from ..engines.errors import SandboxAbortedError, SandboxTerminatedError
from ..lifecycle.calls import Call
from ..lifecycle.context import TaskContext
from ..lifecycle.driver import Run
from ..lifecycle.duties import Participant
from ..lifecycle.errors import ExceptionReason, MalformedPayloadError
from ..lifecycle.log import TaskLog
from ..lifecycle.recorder import Observer
from ..lifecycle.resolution import Failure, Resolution, Severity
from ..lifecycle.surroundings import Artifact
from ..plugins.base import Plugin, TaskPlugin, TaskPluginOptions
from ..plugins.manager import Member
from ..specs.schemas import Violation
from ..specs.task import TaskInfo
from ..specs.trace import Kind, Outcome
from .run_artifacts import ArtifactDetail, Progress, RunArtifacts
from .run_folder import LOG_NAME, RunFolder

if TYPE_CHECKING:
    from ..lifecycle.journal import RunJournal
    from .runtime import Runtime

ENGINE = "engine"
"""The owner of the engine's part of the payload."""

Reporter = Callable[[Resolution], Awaitable[None]]


class TaskRun(Run):
    """A task on its way through the lifecycle; made by `Runtime.new_run`, driven by `wait`.

    `builder`, `sandbox`, `result_set`, `success` and `reason` are what hooks are given; `artifacts` what was stored.
    """

    __slots__ = (
        "_artifacts",
        "_folder",
        "_monitor",
        "_reporter",
        "_runtime",
        "builder",
        "context",
        "log",
        "result_set",
        "sandbox",
    )

    def __init__(
        self,
        runtime: Runtime,
        info: TaskInfo,
        *,
        observers: tuple[Observer, ...] = (),
        report: Reporter | None = None,
        journal: RunJournal | None = None,
    ) -> None:
        self._runtime = runtime
        self._monitor = runtime.environment.monitor
        self._reporter = report
        self._folder = RunFolder(runtime.environment, info, leased=journal is not None)
        self._artifacts = RunArtifacts(runtime.environment.store, info)
        self.log = TaskLog(self._new_log_path, runtime.limits.max_log_bytes, runtime.new_masks())
        self.context = TaskContext(self, info)
        self.builder: SandboxBuilder | None = None
        self.sandbox: Sandbox | None = None
        self.result_set: ResultSet | None = None
        super().__init__(runtime.lifecycle, runtime.limits, observers, runtime.strict, journal)

    @property
    def info(self) -> TaskInfo:
        """The facts of the task."""
        return self.context.info

    @property
    def reason(self) -> ExceptionReason | None:
        """Why the run is an exception, once it is."""
        return self.resolution.reason if self.resolution is not None else None

    @property
    def artifacts(self) -> list[Artifact]:
        """What was stored, each under its name as it is now."""
        return self._artifacts.stored

    def artifact(self, name: str) -> Artifact | None:
        """Return the artifact of that name as it is now."""
        return self._artifacts.get(name)

    @property
    def progress(self) -> Progress:
        """How far the uploads are; from any thread."""
        return self._artifacts.progress

    # The stages' actions

    async def prepare(self) -> None:
        """Validate the payload; create sandbox builder and task plugins side by side."""
        violations = self._runtime.schema.violations(self.info.task.payload)
        calls = [] if violations else [self._builder_call()]
        for member in self._runtime.manager.members:
            if (call := self._creation_call(member, violations)) is not None:
                calls.append(call)
        await self.run_calls(calls)
        by_name = {member.name: member for member in self._runtime.manager.members}
        for call in calls:
            if call.plugin is None:
                self.builder = self._result(call, SandboxBuilder)
            else:
                self._created(by_name[call.plugin], call)
        if violations:
            raise MalformedPayloadError(*map(str, violations))

    async def start_sandbox(self) -> None:
        """Start the sandbox; a call that was abandoned in it keeps the builder, and discards it if it fails
        after all.
        """
        assert self.builder is not None
        builder, budget = self.builder, self._limits.hook_timeout

        async def start() -> Sandbox:
            try:
                return await builder.start_sandbox()
            except (Exception, asyncio.CancelledError):
                if call.outcome is Outcome.ABANDONED:
                    await builder.discard()
                raise

        call = Call("start_sandbox", None, start, budget=budget, late=_abort_late)
        await self.run_calls((call,))
        if call.outcome is Outcome.ABANDONED:
            self.builder = None
        self.sandbox = self._result(call, Sandbox)

    async def wait_for_result(self) -> None:
        """Wait for the sandbox to end; the one call without a bound of its own."""
        assert self.sandbox is not None
        call = Call("wait_for_result", None, self.sandbox.wait_for_result, late=_dispose_late)
        await self.run_calls((call,))
        self.result_set = self._result(call, ResultSet)

    async def close_log(self) -> None:
        """Close the task log, unless a stage before has."""
        if self.log.closed:
            return
        try:
            self.log.close()
        finally:
            self.record(Kind.LOG_CLOSED, detail={"bytes": self.log.size})

    async def report(self) -> None:
        """Report the resolution to whoever handed the task over, within `report_budget`."""
        if self._reporter is None:
            return
        if self._journal is not None and not await self.made_durable("journal"):
            self.record(Kind.REPORT, detail={"outcome": "failed", "error": "the journal has failed"})
            return
        call = await self.call("report", self._reporter, self.resolution, budget=self._limits.report_budget)
        self.record(Kind.REPORT, detail={"outcome": str(call.outcome)})

    async def dispose(self) -> None:
        """Dispose task plugins in reverse order, result set, sandbox, builder, temporary folder.

        Each step is taken whatever became of the others. Non-fatal errors are told to the plugins last.
        """
        end = self.loop.time() + self._limits.dispose_total
        for one in reversed(self.participants):
            if "dispose" in one.hooks:
                await self._step(Call("dispose", one.name, one.target.dispose, reserved=True), end)
        for name, function in self._releases():
            await self._step(Call(f"dispose:{name}", None, function, reserved=True), end)
        if (lease := self._folder.take_lease()) is not None:
            self.record_release(lease)
        if self.non_fatal_errors:
            tell = self._runtime.manager.report_non_fatal_error
            await self.call("dispose:report_non_fatal_error", tell, budget=self._limits.report_budget)

    async def _step(self, call: Call, end: float) -> None:
        call.budget = max(0.0, min(self._limits.dispose_budget, end - self.loop.time()))
        await self.run_calls((call,))

    def _releases(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        has_folder = self._folder.close()
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        if self.result_set is not None and _overrides(self.result_set, ResultSet, "dispose"):
            steps.append(("result_set", self.result_set.dispose))
        if self.sandbox is not None and _overrides(self.sandbox, Sandbox, "dispose"):
            steps.append(("sandbox", self.sandbox.dispose))
        if (
            self.sandbox is None
            and self.builder is not None
            and _overrides(self.builder, SandboxBuilder, "discard")
        ):
            steps.append(("builder", self.builder.discard))
        if has_folder:
            steps.append(("temporary_folder", self._remove_folder))
        return steps

    async def _remove_folder(self) -> None:
        self.log.dispose()
        await self._folder.remove(self._cancelled_by_driver)

    def _cancelled_by_driver(self, task: asyncio.Task[Any]) -> bool:
        return not any(call.task is task and not call.cancelling for call in self._barrier.open)

    # What prepare creates

    def _builder_call(self) -> Call:
        runtime = self._runtime
        options = SandboxOptions(
            self.context, runtime.schema.part(ENGINE, self.info.task.payload), self._monitor
        )
        create = runtime.engine.new_sandbox_builder
        return Call(
            "new_sandbox_builder",
            None,
            create,
            (options,),
            budget=self._limits.hook_timeout,
            late=_discard_late,
        )

    def _creation_call(self, member: Member, violations: tuple[Violation, ...]) -> Call | None:
        plugin = member.plugin
        if type(plugin).new_task_plugin is Plugin.new_task_plugin:
            return None
        payload: Mapping[str, Any] | None = None
        owner = owner_of(member)
        if any(owner in violation.owners for violation in violations):
            if not plugin.accepts_invalid_payload:
                self.record(
                    Kind.NOT_CREATED, member.name, detail={"why": "its part of the payload is invalid"}
                )
                return None
        else:
            payload = self._runtime.schema.part(owner, self.info.task.payload)
        options = TaskPluginOptions(self.info, self.context, payload, self._monitor)
        budget = self._limits.hook_timeout
        return Call(
            "new_task_plugin",
            member.name,
            plugin.new_task_plugin,
            (options,),
            member.after,
            budget,
            _dispose_late,
        )

    def _created(self, member: Member, call: Call) -> None:
        if call.value is None and call.outcome is Outcome.OK:
            return  # it needs no hooks
        made = self._result(call, TaskPlugin)
        if made is None:
            how = call.outcome.value if call.outcome is not None else "never begun"
            self.record(Kind.NOT_CREATED, member.name, detail={"why": f"its creation: {how}"})
            return
        hooks, told = self._runtime.hooks_of(type(made))
        self.participants.append(Participant(member.name, made, hooks, member.after))
        self.record(Kind.CREATED, member.name, detail=told)

    def _result(self, call: Call, kind: type) -> Any:
        """Return what a call returned, None if it did not; another type than promised is a defect."""
        if isinstance(call.value, kind):
            return call.value
        if call.outcome is Outcome.OK:
            error = TypeError(f"{call.where} must return a {kind.__name__}, not {call.value!r}")
            self.fail(error, call.where, call)
        return None

    # What the driver asks for

    def describe_run(self) -> Mapping[str, Any]:
        """Return what the first event of the trace tells of the run."""
        info = self.info
        return {
            "lifecycle": self.lifecycle.name,
            "task_id": info.task_id,
            "run_id": info.run_id,
            "created": info.created.isoformat(),
            "plugins": self._runtime.described_members,
        }

    def announce(self) -> None:
        """Lease the temporary folder that the run may come to have: its name is chosen now."""
        try:
            self._folder.lease = self.record_lease("folder", self._folder.reserve())
        except Exception as error:
            self.fail(error, "the temporary folder")

    def action(self, name: str) -> Callable[[], Awaitable[None]]:
        """Return the stage action called `name`: one of the runtime's own, else the method."""
        own = self._runtime.actions.get(name)
        if own is None:
            method: Callable[[], Awaitable[None]] = getattr(self, name)
            return method

        async def act() -> None:
            await self.call(name, own, self, budget=self._limits.hook_timeout)

        return act

    def report_error(self, error: BaseException, where: str) -> str:
        """Tell the worker's monitor about an error; return its incident id."""
        return self._monitor.report_error(
            error, where=where, task_id=self.info.task_id, run_id=self.info.run_id
        )

    def log_failure(self, failure: Failure) -> None:
        """Write a failure to the task log: what the author can mend in full, a defect by its incident only."""
        error = failure.error
        if isinstance(error, MalformedPayloadError):
            messages = list(error.messages)
        elif failure.severity is Severity.FATAL:
            messages = [f"{failure.where} failed with an internal error, incident {failure.incident}"]
        else:
            messages = [failure.brief]
        for message in messages:
            self.context.log_error(message)

    def cancel_context(self, reason: ExceptionReason) -> None:
        """Tell engine and plugins that the run is cancelled."""
        self.context.cancelled.set(reason)

    def sandbox_abort(self) -> Callable[[], Awaitable[None]] | None:
        """Return what aborts the sandbox while it has no result."""
        if self.sandbox is None or self.result_set is not None:
            return None
        return self._abort_sandbox

    async def _abort_sandbox(self) -> None:
        assert self.sandbox is not None
        try:
            await self.sandbox.abort()
        except SandboxTerminatedError:
            pass  # it ended by itself just now

    def forgives(self, call: Call) -> bool:
        """Return whether a call failed only because the sandbox it waited for was aborted."""
        return (
            call.name == "wait_for_result"
            and self._aborting is not None
            and isinstance(call.error, SandboxAbortedError)
        )

    def ended(self) -> None:
        """Let the runtime count the run's errors, now that everything is over."""
        self._runtime.count_errors(self)

    # What the context asks for

    def late_message(self, text: str) -> None:
        """Take a message that came after the log was closed: to the trace and to the worker's log."""
        self._monitor.log("message after the task log was closed", text=text, task_id=self.info.task_id)
        if self._begun:
            self._on_loop(self.record, Kind.LATE_LOG, None, None, {"text": text})

    def run_folder(self) -> Path:
        """Return the run's temporary folder, created on first use. Raises: LifecycleError once it would stay behind."""
        return self._folder.make(self._watch_folder)

    def _watch_folder(self, folder: Path) -> None:
        if self._watch is not None:
            self._watch.folders.append(folder.resolve())

    def _new_log_path(self) -> Path:
        return self.run_folder() / LOG_NAME

    def stored_artifacts(self) -> list[Artifact]:
        """Return what the run has stored so far."""
        return self.artifacts

    async def store_artifact(self, artifact: Artifact, content: BinaryIO | bytes | None) -> Artifact:
        """Store an artifact and record it. Raises: NonFatalInternalError."""
        stored = await self._artifacts.store(artifact, content, self.context if self.journaled else None)
        self.record(Kind.ARTIFACT, detail=ArtifactDetail(stored))
        return stored


def owner_of(member: Member) -> str:
    """Return the name under which a plugin owns its part of the payload."""
    return f"plugin {member.name}"


async def _discard_late(builder: SandboxBuilder) -> None:
    await builder.discard()


async def _abort_late(sandbox: Sandbox) -> None:
    try:
        await sandbox.abort()
    except SandboxTerminatedError:
        pass
    await sandbox.dispose()


async def _dispose_late(late: ResultSet | TaskPlugin) -> None:
    await Call("dispose", None, late.dispose, reserved=True).invoke()


def _overrides(target: object, base: type, method: str) -> bool:
    return getattr(type(target), method) is not getattr(base, method)
