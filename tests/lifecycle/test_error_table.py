"""Errors and what they resolve to: every row of the design's table, one at a time and several at once."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from stagecall.lifecycle.errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from stagecall.specs.trace import Kind
from stagecall.testing.chaos import Foreign
from stagecall.testing.doubles import (
    HookRecorder,
    ScriptedEngine,
    ScriptedPlugin,
    errors,
    hooks,
    outcomes,
    path,
)
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.task_run import TaskRun

MALFORMED, INTERNAL = "malformed-payload", "internal-error"
UNAVAILABLE = ExceptionReason.RESOURCE_UNAVAILABLE


@attrs.frozen
class Verdict:
    """What an error makes of run and worker."""

    reason: str
    severity: str
    stop_worker: bool = False
    non_fatal_errors: int = 0
    incidents: int = 0

    @classmethod
    def of(cls, run: TaskRun) -> "Verdict":
        assert run.resolution is not None
        assert run.resolution.reason is not None
        told = run.trace.of(Kind.ERROR)
        incidents = [event.get("incident") for event in told if event.get("incident")]
        (severity,) = {event.get("severity") for event in told}
        reason = run.resolution.reason.value
        return cls(reason, severity, run.stop_worker, run.non_fatal_errors, len(incidents))


BY_AUTHOR = Verdict(MALFORMED, "malformed")
BY_HOST = Verdict(INTERNAL, "non_fatal", non_fatal_errors=1, incidents=1)
FATAL = Verdict(INTERNAL, "fatal", stop_worker=True, incidents=1)

TABLE: dict[str, tuple[Callable[[], BaseException], Verdict]] = {
    "malformed": (lambda: MalformedPayloadError("payload.x: cannot be"), BY_AUTHOR),
    "unsupported": (lambda: FeatureNotSupportedError("no displays here"), BY_AUTHOR),
    "resource-unavailable": (
        lambda: TaskExceptionError(UNAVAILABLE, "no disk"),
        Verdict("resource-unavailable", "task_exception"),
    ),
    "intermittent-task": (
        lambda: TaskExceptionError(ExceptionReason.INTERMITTENT_TASK, "try again"),
        Verdict("intermittent-task", "task_exception"),
    ),
    "non-fatal": (lambda: NonFatalInternalError("a hiccup"), BY_HOST),
    "fatal": (lambda: FatalInternalError("the host is broken"), FATAL),
    "any other": (lambda: KeyError("a defect"), FATAL),
    "system-exit": (lambda: SystemExit(3), FATAL),
    "keyboard-interrupt": (KeyboardInterrupt, FATAL),
    "stray cancellation": (asyncio.CancelledError, FATAL),
    "group of malformed": (
        lambda: ExceptionGroup("two", [MalformedPayloadError("a"), FeatureNotSupportedError("b")]),
        BY_AUTHOR,
    ),
    "group with a task exception": (
        lambda: ExceptionGroup("two", [MalformedPayloadError("a"), TaskExceptionError(UNAVAILABLE, "b")]),
        Verdict("resource-unavailable", "task_exception"),
    ),
    "group with a non-fatal leaf deep inside": (
        lambda: ExceptionGroup(
            "o", [MalformedPayloadError("a"), ExceptionGroup("i", [NonFatalInternalError("b")])]
        ),
        BY_HOST,
    ),
    "group with a defect": (
        lambda: ExceptionGroup("two", [NonFatalInternalError("a"), OSError("b")]),
        FATAL,
    ),
    "group with a SystemExit": (
        lambda: BaseExceptionGroup("two", [NonFatalInternalError("a"), SystemExit(1)]),
        FATAL,
    ),
}


def raising(make_error: Callable[[], BaseException]) -> Callable[..., Any]:
    """Return an `async def` hook that raises."""

    async def hook(*arguments: Any) -> Any:
        raise make_error()

    return hook


def raising_in_thread(make_error: Callable[[], BaseException]) -> Callable[..., Any]:
    """Return a plain `def` hook that raises."""

    def hook(*arguments: Any) -> Any:
        raise make_error()

    return hook


@pytest.mark.parametrize("where", ["hook", "def hook", "creation", "engine", "background"])
@pytest.mark.parametrize("row", TABLE)
@virtual_time
async def test_row(make_run, row, where):
    """Each kind of error makes the same of the run, whichever call it comes from."""
    make_error, verdict = TABLE[row]
    # Who cancels a background task ends it, and that is no error.
    harmless = (row, where) == ("stray cancellation", "background")
    engine, recorder = ScriptedEngine(), HookRecorder()
    broken = ScriptedPlugin("broken")
    match where:
        case "hook":
            broken = ScriptedPlugin("broken", started=raising(make_error))
        case "def hook":
            broken = ScriptedPlugin("broken", started=raising_in_thread(make_error))
        case "creation":
            broken = ScriptedPlugin("broken", new_task_plugin=raising(make_error))
        case "engine":
            engine.deeds["start_sandbox"] = raising(make_error)
        case "background":

            async def started(sandbox: object) -> None:
                broken.context.spawn(raising(make_error)())

            broken = ScriptedPlugin("broken", started=started)
    run = make_run(recorder, broken, engine=engine)

    resolution = await run.wait()

    if harmless:
        assert (resolution.state, errors(run.trace)) == ("completed", [])
        return
    assert resolution.state == "exception"
    assert Verdict.of(run) == verdict
    assert recorder.calls[-2:] == [("exception", verdict.reason), ("dispose",)]
    assert path(run.trace)[-3:] == ["exception", "resolved", "dispose"]


@virtual_time
async def test_payload_breaks_the_schema(make_run):
    """Every issue is in the log with its path, no builder is asked for, who needs a sound part is skipped."""
    logs: list[str] = []

    async def exception(reason: ExceptionReason) -> None:
        with logger.context.extract_log() as log:
            logs.append(log.read().decode())

    logger = ScriptedPlugin(
        "logger", schema={"prefix": {"type": "string"}}, accepts_invalid_payload=True, exception=exception
    )
    strict = ScriptedPlugin("strict", schema={"number": {"type": "integer"}})
    fine = ScriptedPlugin("fine", schema={"flag": {"type": "boolean"}})
    recorder, engine = HookRecorder(), ScriptedEngine()
    payload = {"prefix": 1, "number": "one", "flag": True, "unknown": 0, "engine": 2}
    run = make_run(logger, strict, fine, recorder, engine=engine, payload=payload)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", MALFORMED)
    assert path(run.trace) == ["prepare", "exception", "resolved", "dispose"]
    assert engine.asked == []
    assert [options.payload for options in logger.options] == [None]
    assert strict.options == []
    assert [dict(options.payload or {}) for options in fine.options] == [{"flag": True}]
    assert recorder.calls == [("exception", MALFORMED), ("dispose",)]
    assert [(event.kind, event.plugin) for event in run.trace.of(Kind.CREATED, Kind.NOT_CREATED)] == [
        (Kind.NOT_CREATED, "strict"),
        (Kind.CREATED, "logger"),
        (Kind.CREATED, "fine"),
        (Kind.CREATED, "hookrecorder"),
    ]
    lines = logs[0].splitlines()
    assert all(line.startswith("[stagecall:error] payload.") for line in lines)
    assert sorted(line.split()[1].rstrip(":") for line in lines) == [
        "payload.engine",
        "payload.number",
        "payload.prefix",
        "payload.unknown",
    ]
    assert run.stop_worker is False


@virtual_time
async def test_malformed_payload_errors_are_merged(make_run):
    """The author hears of everything that is malformed, whoever found it, in the log and in the cause."""
    logs: list[str] = []

    async def exception(reason: ExceptionReason) -> None:
        with reader.context.extract_log() as log:
            logs.append(log.read().decode())

    reader = ScriptedPlugin("reader", exception=exception)
    red = ScriptedPlugin("red", new_task_plugin=raising(lambda: MalformedPayloadError("r1", "r2")))
    blue = ScriptedPlugin("blue", new_task_plugin=raising(lambda: FeatureNotSupportedError("b")))
    engine = ScriptedEngine(deeds={"new_sandbox_builder": raising(lambda: MalformedPayloadError("e"))})
    run = make_run(reader, red, blue, engine=engine)

    resolution = await run.wait()

    assert (resolution.reason, resolution.cause) == (
        MALFORMED,
        "new_sandbox_builder: MalformedPayloadError: e; "
        "new_task_plugin of plugin red: MalformedPayloadError: r1; r2; "
        "new_task_plugin of plugin blue: FeatureNotSupportedError: b",
    )
    assert logs == [
        "[stagecall:error] e\n[stagecall:error] r1\n[stagecall:error] r2\n"
        "[stagecall:error] new_task_plugin of plugin blue: FeatureNotSupportedError: b\n"
    ]


@virtual_time
async def test_non_fatal_errors_are_counted_and_told(make_run):
    """However many non-fatal errors a run met, every plugin is told once, and each error is counted."""
    told = []

    def teller(name: str) -> Callable[[], Any]:
        async def tell() -> None:
            told.append(name)

        return tell

    broken = raising(lambda: NonFatalInternalError("a hiccup"))
    names = ("red", "green", "blue")
    plugins = [ScriptedPlugin(name, report_non_fatal_error=teller(name)) for name in names]
    plugins += [ScriptedPlugin("a", started=broken), ScriptedPlugin("b", started=broken)]
    run = make_run(*plugins)

    resolution = await run.wait()

    assert resolution.reason == INTERNAL
    assert sorted(told) == sorted(names)
    assert (run.non_fatal_errors, dict(make_run.monitor.counts)) == (2, {"non-fatal-errors": 2})
    assert run.stop_worker is False


@virtual_time
async def test_hook_timeout(make_run):
    """A hook that overruns its time is a defect with an incident id, and stops the worker."""

    async def started(sandbox: object) -> None:
        await asyncio.Event().wait()

    run = make_run(ScriptedPlugin("slow", started=started))

    resolution = await run.wait()

    assert asyncio.get_running_loop().time() == 100
    assert (resolution.reason, resolution.cause) == (
        INTERNAL,
        "started of plugin slow: HookTimeoutError: started of plugin slow overran its time"
        " (incident incident-1)",
    )
    assert Verdict.of(run) == FATAL
    assert outcomes(run.trace, "started") == {"slow": "timeout"}
    assert make_run.monitor.errors == [("HookTimeoutError", "started of plugin slow")]


@pytest.mark.parametrize(
    ("verdicts", "exit_code", "state"),
    [
        ([True, True], 0, "completed"),
        ([True, False], 0, "failed"),
        ([False, False], 0, "failed"),
        ([False, True], 1, "failed"),
    ],
)
@virtual_time
async def test_stopped_decides(make_run, verdicts, exit_code, state):
    """The task succeeded if every plugin's `stopped` says so; who says no fails it, and that is no error."""

    def judging(verdict: bool) -> Callable[..., Any]:
        async def stopped(result_set: object) -> bool:
            return verdict

        return stopped

    plugins = [ScriptedPlugin(f"p{n}", stopped=judging(verdict)) for n, verdict in enumerate(verdicts)]
    recorder = HookRecorder()
    run = make_run(*plugins, recorder, exit_code=exit_code)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason, run.stop_worker) == (state, None, False)
    assert recorder.calls[-2:] == [("finished", state == "completed"), ("dispose",)]
    assert errors(run.trace) == []


@pytest.mark.parametrize("value", [None, 1, "yes"])
@virtual_time
async def test_stopped_of_another_type(make_run, value):
    """A `stopped` that returns anything but a bool is a defect of the plugin."""

    async def stopped(result_set: object) -> Any:
        return value

    run = make_run(ScriptedPlugin("odd", stopped=stopped))

    resolution = await run.wait()

    assert Verdict.of(run) == FATAL
    assert resolution.cause == (
        f"stopped of plugin odd: TypeError: stopped of plugin odd must return True or False, not {value!r}"
        " (incident incident-1)"
    )


BY_WEIGHT: list[tuple[str, Callable[[], BaseException], str]] = [
    ("malformed", lambda: MalformedPayloadError("m"), MALFORMED),
    ("task_exception", lambda: TaskExceptionError(UNAVAILABLE, "t"), "resource-unavailable"),
    ("non_fatal", lambda: NonFatalInternalError("n"), INTERNAL),
    ("fatal", lambda: FatalInternalError("f"), INTERNAL),
]
"""Each of these outweighs those before it."""


@pytest.mark.parametrize(("light", "heavy"), [*itertools.combinations(BY_WEIGHT, 2)])
@pytest.mark.parametrize("worst_first", [True, False])
@virtual_time
async def test_worst_of_several_decides(make_run, light, heavy, worst_first):
    """Of several errors in a stage the worst decides, whichever came first; the cause tells both, in order."""
    order = [heavy, light] if worst_first else [light, heavy]
    run = make_run(*(ScriptedPlugin(name, started=raising(make)) for name, make, _ in order))

    resolution = await run.wait()

    assert resolution.reason == heavy[2]
    assert resolution.cause is not None
    marks = {heavy[0]: "decided", light[0]: "overruled"}
    told = [sentence.partition(": ")[::2] for sentence in resolution.cause.split("; ")]
    assert [mark for mark, _ in told] == [marks[name] for name, _, _ in order]
    for (_, sentence), (name, _, _) in zip(told, order, strict=True):
        assert sentence.startswith(f"started of plugin {name}: ")
    assert [severity for severity, _, _ in errors(run.trace)] == [name for name, _, _ in order]


@virtual_time
async def test_verdict_is_overruled_by_errors(make_run):
    """A failed task whose run met an error is an exception: nobody can trust the verdict."""
    run = make_run(ScriptedPlugin("broken", stopped=raising(lambda: NonFatalInternalError("n"))), exit_code=1)

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", INTERNAL)


@pytest.mark.parametrize(("make_error", "verdict"), TABLE.values(), ids=TABLE)
@virtual_time
async def test_abort_wins_over_errors(make_run, make_error, verdict):
    """An abort decides over errors, which stay in trace and cause; a fatal one still stops the worker."""

    async def started(sandbox: object) -> None:
        run.abort(ExceptionReason.CANCELED)
        raise make_error()

    recorder = HookRecorder()
    run = make_run(recorder, ScriptedPlugin("broken", started=started))

    resolution = await run.wait()

    assert resolution.cause is not None
    assert resolution.cause.startswith("decided: aborted: canceled; overruled: started of plugin broken: ")
    assert Verdict.of(run) == attrs.evolve(verdict, reason="canceled")
    assert recorder.calls[-2:] == [("exception", "canceled"), ("dispose",)]


@virtual_time
async def test_error_then_abort(make_run):
    """An abort before the end of the stage wins over an error that came before it."""

    async def started(sandbox: object) -> None:
        await asyncio.sleep(1)
        run.abort(ExceptionReason.CANCELED)

    first = ScriptedPlugin("first", started=raising(lambda: FatalInternalError("f")))
    run = make_run(first, ScriptedPlugin("second", started=started))

    resolution = await run.wait()

    assert (resolution.reason, resolution.cause) == (
        "canceled",
        "overruled: started of plugin first: FatalInternalError: f (incident incident-1); "
        "decided: aborted: canceled",
    )
    assert run.stop_worker is True


@virtual_time
async def test_author_is_not_told_what_caused_an_error(make_run):
    """The trace tells an error with what caused it, the task log the error alone: the rest is the host's."""
    logs: list[str] = []

    async def started(sandbox: object) -> None:
        raise NonFatalInternalError("no upload") from OSError("/the/hosts/folder is full")

    async def exception(reason: ExceptionReason) -> None:
        with plugin.context.extract_log() as log:
            logs.append(log.read().decode())

    plugin = ScriptedPlugin("broken", started=started, exception=exception)
    run = make_run(plugin)

    resolution = await run.wait()

    assert logs == [
        "[stagecall:error] started of plugin broken: NonFatalInternalError: no upload (incident incident-1)\n"
    ]
    assert resolution.cause == (
        "started of plugin broken: NonFatalInternalError: no upload, "
        "caused by OSError: /the/hosts/folder is full (incident incident-1)"
    )
    assert [message for _, message, _ in errors(run.trace)] == [resolution.cause]


@virtual_time
async def test_cause_is_the_whole_chain(make_run):
    """The cause tells everything that spoke against the task, from the first error on, and what decided."""

    async def stopped(result_set: object) -> bool:
        return False

    makers: dict[str, Callable[[], BaseException]] = {
        "a": lambda: MalformedPayloadError("m"),
        "b": lambda: NonFatalInternalError("n"),
        "c": lambda: ValueError("v"),
    }
    breaking = [ScriptedPlugin(name, finished=raising(make)) for name, make in makers.items()]
    run = make_run(ScriptedPlugin("judge", stopped=stopped), *breaking)

    resolution = await run.wait()

    assert resolution.cause == (
        "overruled: stopped of plugin judge: the task failed; "
        "overruled: finished of plugin a: MalformedPayloadError: m; "
        "overruled: finished of plugin b: NonFatalInternalError: n (incident incident-1); "
        "decided: finished of plugin c: ValueError: v (incident incident-2)"
    )


@pytest.mark.parametrize("make_error", [Foreign, lambda: BaseExceptionGroup("g", [Foreign(), OSError()])])
@pytest.mark.parametrize("hook", ["started", "exception", "dispose"])
@virtual_time
async def test_foreign_base_exception_is_raised_after_dispose(make_run, make_error, hook):
    """A BaseException that nobody knows is the embedder's: `wait` raises it, once everything is disposed."""

    broken: dict[str, Any] = {hook: raising(make_error)}
    if hook == "exception":
        broken["started"] = raising(lambda: MalformedPayloadError("m"))
    engine = ScriptedEngine()
    recorder = HookRecorder()
    run = make_run(recorder, ScriptedPlugin("broken", **broken), engine=engine)

    with pytest.raises(Foreign):
        await run.wait()
    with pytest.raises(Foreign):
        await run.wait()

    assert recorder.calls[-1] == ("dispose",)
    assert engine.asked[-1] == "dispose_sandbox"
    expected = {"started": INTERNAL, "exception": MALFORMED, "dispose": None}
    assert (run.resolution.reason, run.stop_worker) == (expected[hook], True)
    assert path(run.trace)[-1] == "dispose"


@virtual_time
async def test_finished_errors(make_run):
    """The outcome is provisional until finished has ended: a plugin may get finished, then exception."""
    recorder = HookRecorder()
    run = make_run(recorder, ScriptedPlugin("broken", finished=raising(lambda: NonFatalInternalError("n"))))

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", INTERNAL)
    assert recorder.calls[-3:] == [("finished", True), ("exception", INTERNAL), ("dispose",)]
    assert path(run.trace)[-4:] == ["finished", "exception", "resolved", "dispose"]
    assert len(run.trace.of(Kind.LOG_CLOSED)) == 1


@virtual_time
async def test_finished_is_aborted(make_run):
    """An abort inside finished still turns the run into an exception."""

    async def finished(success: bool) -> None:
        run.abort(ExceptionReason.WORKER_SHUTDOWN)

    recorder = HookRecorder()
    run = make_run(recorder, ScriptedPlugin("aborter", finished=finished))

    resolution = await run.wait()

    assert (resolution.state, resolution.reason) == ("exception", "worker-shutdown")
    assert recorder.calls[-3:] == [("finished", True), ("exception", "worker-shutdown"), ("dispose",)]
    assert run.stop_worker is True


@pytest.mark.parametrize("where", ["exception", "resolved", "dispose"])
@virtual_time
async def test_later_aborts_change_nothing(make_run, where):
    """Once the outcome is final an abort returns False, and neither run nor worker is touched."""

    answers = []

    async def abort(*arguments: Any) -> None:
        answers.append(run.abort(ExceptionReason.WORKER_SHUTDOWN))

    deeds: dict[str, Any] = {} if where == "resolved" else {where: abort}
    malformed = raising(lambda: MalformedPayloadError("m"))
    if where == "exception":
        deeds["started"] = malformed
    report = {"report": abort} if where == "resolved" else {}
    run = make_run(ScriptedPlugin("late", **deeds), **report)

    resolution = await run.wait()
    after = run.abort(ExceptionReason.CANCELED)

    assert (answers, after) == ([False], False)
    expected = ("exception", MALFORMED) if where == "exception" else ("completed", None)
    assert (resolution.state, resolution.reason) == expected
    assert run.stop_worker is False
    told = [(event.stage, event.get("accepted")) for event in run.trace.of(Kind.ABORT)]
    assert told == ([] if where == "dispose" else [(where, False)])


@pytest.mark.parametrize("make_error", [lambda: NonFatalInternalError("n"), lambda: ValueError("v")])
@pytest.mark.parametrize("where", ["exception", "report", "dispose", "dispose_sandbox", "dispose_result_set"])
@virtual_time
async def test_later_errors_touch_trace_and_worker_only(make_run, where, make_error):
    """What goes wrong after the outcome is final goes to worker and trace; all else is disposed."""

    engine, recorder = ScriptedEngine(), HookRecorder()
    broken = raising(make_error)
    of_plugin: dict[str, Any] = {where: broken} if where in ("exception", "dispose") else {}
    if where == "exception":
        of_plugin["started"] = raising(lambda: MalformedPayloadError("m"))
    if where.startswith("dispose_"):
        engine.deeds[where] = broken
    report = {"report": broken} if where == "report" else {}
    run = make_run(recorder, ScriptedPlugin("broken", **of_plugin), engine=engine, **report)

    resolution = await run.wait()

    expected = ("exception", MALFORMED) if where == "exception" else ("completed", None)
    assert (resolution.state, resolution.reason) == expected
    assert "overruled" not in (resolution.cause or "")
    fatal = isinstance(make_error(), ValueError)
    late = [told for told in errors(run.trace) if not told[2]]
    assert [severity for severity, _, _ in late] == ["fatal" if fatal else "non_fatal"]
    assert (run.stop_worker, run.non_fatal_errors) == (fatal, int(not fatal))
    assert len(make_run.monitor.errors) == 1
    assert recorder.calls[-1] == ("dispose",)
    assert engine.asked[-1] == "dispose_sandbox"
    assert [call for _, call, outcome in hooks(run.trace) if outcome != "ok"].count("dispose:sandbox") == (
        where == "dispose_sandbox"
    )


@virtual_time
async def test_report_that_hangs(make_run):
    """A report that overruns `report_budget` does not keep the run from dispose."""

    async def report(resolution: object) -> None:
        await asyncio.Event().wait()

    run = make_run(HookRecorder(), report=report)

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert asyncio.get_running_loop().time() == 10
    assert [event.get("outcome") for event in run.trace.of(Kind.REPORT)] == ["timeout"]
    assert path(run.trace)[-1] == "dispose"
