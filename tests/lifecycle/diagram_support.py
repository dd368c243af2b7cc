"""Traces of runs as the driver records them, made by hand, and lifecycles to draw."""

from datetime import UTC, datetime
from typing import Any

import attrs

from stagecall.specs.lifecycle import TASK_RUN, Lifecycle, Stage
from stagecall.specs.trace import Event, Kind, Trace

TASK_ID = "fN1SbArXTPSVFNUvaOlinQ"
PLUGINS = ("logprefix", "env", "artifacts", "tasklog")
HOSTILE = "\"><script>alert(1)</script> \\ ]]> 'x' &lt; %%{init}%% \x00\ud800\u202e\nsecond line"


@attrs.define
class Recorder:
    """Writes events by a clock that it moves itself."""

    plugins: tuple[str, ...] = PLUGINS
    time: float = 0.0
    stage: str = "pending"
    events: list[Event] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        described = [{"name": name, "after": []} for name in self.plugins]
        self.add(Kind.RUN, lifecycle="task-run", task_id=TASK_ID, run_id=0, plugins=described)

    def add(self, kind: Kind, plugin: str | None = None, call: str | None = None, **detail: Any) -> None:
        self.events.append(Event(self.time, kind, self.stage, plugin, call, detail or None))

    def move(self, stage: str) -> None:
        source, self.stage, self.time = self.stage, stage, self.time + 0.0001
        self.add(Kind.MOVE, source=source)

    def call(self, plugin: str | None, call: str, seconds: float, outcome: str = "ok", **detail: Any) -> None:
        self.side_by_side({plugin: seconds}, call, {plugin: {"outcome": outcome} | detail})

    def side_by_side(
        self,
        seconds: dict[Any, float],
        call: str,
        details: dict[Any, dict[str, Any]] | None = None,
    ) -> None:
        began = self.time
        for plugin in seconds:
            self.add(Kind.CALL, plugin, call)
        for plugin, took in sorted(seconds.items(), key=lambda item: item[1]):
            self.time = began + took
            self.add(Kind.RETURN, plugin, call, **{"outcome": "ok"} | (details or {}).get(plugin, {}))

    def outcome(
        self, state: str, reason: str | None = None, cause: str | None = None, final: bool = True
    ) -> None:
        self.add(Kind.OUTCOME, state=state, reason=reason, cause=cause, final=final)

    def trace(self) -> Trace:
        return Trace(datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC), self.events)

    def up_to_waiting(self) -> None:
        self.move("prepare")
        self.call(None, "new_sandbox_builder", 0.0031)
        self.side_by_side(
            {"logprefix": 0.0008, "env": 0.0004, "artifacts": 0.0011, "tasklog": 0.0002}, "new_task_plugin"
        )
        self.move("build")
        self.call("env", "build_sandbox", 0.0021)
        self.move("start")
        self.call(None, "start_sandbox", 0.084)
        self.move("started")
        self.move("waiting")

    def dispose(self, **outcomes: dict[str, Any]) -> None:
        self.move("resolved")
        self.call(None, "report", 0.012)
        self.move("dispose")
        for plugin in reversed(self.plugins):
            self.call(plugin, "dispose", 0.0006, **outcomes.get(plugin, {}))
        for step in ("result_set", "sandbox", "temporary_folder", "context"):
            self.call(None, f"dispose:{step}", 0.0031)
        self.add(Kind.END)


def completed_run(state: str = "completed") -> Trace:
    """A run that goes all the way; `state` may be failed."""
    run = Recorder()
    run.up_to_waiting()
    run.call(None, "wait_for_result", 3.18)
    run.move("stopped")
    artifacts = {"artifacts": {"value": state == "completed"}}
    run.side_by_side({"artifacts": 0.412, "tasklog": 0.0003}, "stopped", artifacts)
    run.outcome(state, final=False)
    run.move("finished")
    run.add(Kind.LOG_CLOSED, bytes=4096)
    run.side_by_side({"tasklog": 0.031, "artifacts": 0.0004}, "finished")
    run.outcome(state)
    run.dispose()
    return run.trace()


def broken_run() -> Trace:
    """A run that leaves `started` for the exception stage: one hook failed, one never returned."""
    message = "OSError: [Errno 28] No space left on device: '/var/lib/stagecall/store/public/logs/live.log'"
    cause = f"started of plugin artifacts: {message} (incident 8f2c1e)"
    run = Recorder()
    run.up_to_waiting()
    while run.events[-1].stage == "waiting":
        run.events.pop()
    run.stage = "started"
    hooks = {"artifacts": 0.2412, "env": 0.003, "tasklog": 6.0003}
    ends = {"artifacts": {"outcome": "failed", "error": message}, "tasklog": {"outcome": "abandoned"}}
    run.side_by_side(hooks, "started", ends)
    run.add(
        Kind.ERROR,
        "artifacts",
        "started",
        severity="FATAL",
        reason="internal-error",
        message=message,
        incident="8f2c1e",
    )
    run.outcome("exception", "internal-error", cause, final=False)
    run.move("exception")
    run.add(Kind.LOG_CLOSED, bytes=512)
    run.call(None, "abort_sandbox", 0.1034)
    run.side_by_side({"logprefix": 0.0002, "env": 0.0003, "artifacts": 0.0042}, "exception")
    run.outcome("exception", "internal-error", cause)
    run.dispose(artifacts={"outcome": "timeout", "error": "TimeoutError: dispose took longer than 60 s"})
    return run.trace()


def running_run() -> Trace:
    """A run that is waiting for its sandbox."""
    run = Recorder()
    run.up_to_waiting()
    run.add(Kind.CALL, None, "wait_for_result")
    run.add(Kind.CALL, "artifacts", "background:watch")
    run.time += 12.5
    run.add(Kind.LATE_LOG, text="still here")
    return run.trace()


def aborted_run() -> Trace:
    """A run that is cancelled while it waits."""
    run = Recorder()
    run.up_to_waiting()
    run.add(Kind.CALL, None, "wait_for_result")
    run.time += 1.5
    run.add(Kind.ABORT, reason="canceled", accepted=True)
    run.add(Kind.RETURN, None, "wait_for_result", outcome="cancelled")
    run.outcome("exception", "canceled", "aborted: canceled", final=False)
    run.move("exception")
    run.side_by_side({"artifacts": 0.0042}, "exception")
    run.outcome("exception", "canceled", "aborted: canceled")
    run.dispose()
    return run.trace()


def malformed_run() -> Trace:
    """A run whose payload breaks the schema: an error that no call returned."""
    cause = "payload: command: required field; env.PATH: must be of string type"
    run = Recorder()
    run.move("prepare")
    run.add(Kind.ERROR, severity="MALFORMED", reason="malformed-payload", message=cause)
    run.outcome("exception", "malformed-payload", cause, final=False)
    run.move("exception")
    run.outcome("exception", "malformed-payload", cause)
    run.dispose()
    return run.trace()


def hostile_run() -> Trace:
    """A run whose plugin, error and reason are made to break out of every format."""
    run = Recorder(plugins=(HOSTILE,))
    run.move("prepare")
    run.call(HOSTILE, "new_task_plugin", 0.001, "failed", error=HOSTILE)
    run.add(Kind.ERROR, HOSTILE, "new_task_plugin", message=HOSTILE, incident=HOSTILE)
    run.add(Kind.ABORT, reason=HOSTILE, accepted=True)
    run.outcome("exception", HOSTILE, HOSTILE, final=False)
    run.move("exception")
    return run.trace()


WITH_INVENTED_STAGES = Lifecycle(
    "scan-and-sign",
    tuple(
        stage
        for declared in TASK_RUN.stages
        for stage in (
            (
                attrs.evolve(declared, next="scan"),
                Stage(
                    "scan",
                    next="start",
                    on_exception="exception",
                    hook="scanned",
                    arguments=("builder",),
                    does="looks for malware in what will run",
                ),
            )
            if declared.name == "build"
            else (
                attrs.evolve(declared, next="sign"),
                Stage(
                    "sign", next="resolved", on_exception="exception", hook="signed", arguments=("success",)
                ),
            )
            if declared.name == "finished"
            else (declared,)
        )
    ),
)
"""The task's lifecycle with two stages more."""

BROKEN = Lifecycle(
    "broken",
    (
        Stage("begin", next="work", on_exception="rescue"),
        Stage("work", next="nowhere", on_exception="rescue", hook="work"),
        Stage("island", next="work", on_exception="work"),
        Stage("end", on_exception="end"),
    ),
)
"""A lifecycle with two stages that are not there, one that nothing leads to, and one that leads to itself."""
