"""`explain` tells a run in sentences, whatever became of it, and whatever is in its trace."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from stagecall.lifecycle import recorder
from stagecall.lifecycle.errors import MalformedPayloadError, NonFatalInternalError
from stagecall.lifecycle.explain import explain
from stagecall.lifecycle.limits import Limits
from stagecall.specs.lifecycle import TASK_RUN, Stage
from stagecall.specs.rules import judge
from stagecall.specs.trace import Event, Kind, Trace, TraceError
from stagecall.testing.doubles import ScriptedEngine, ScriptedPlugin
from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.task_run import TaskRun

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch):
    """Let traces be timed by the loop's clock."""
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(recorder, "time", clock)


def lasting(seconds: float, value: Any = None) -> Callable[..., Any]:
    """Return a hook that takes its time and returns a value, or raises it if it is an error."""

    async def last(*arguments: Any) -> Any:
        await asyncio.sleep(seconds)
        if isinstance(value, BaseException):
            raise value
        return value

    return last


async def stubborn(*arguments: Any) -> None:
    """End after twenty seconds, whoever cancels."""
    end = asyncio.get_running_loop().time() + 20
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            pass


def dated(trace: Trace, until: Callable[[Event], bool] = lambda event: False) -> Trace:
    """Return the trace as if it had begun at one instant, up to the first event that fulfils a condition."""
    end = next((place for place, event in enumerate(trace) if until(event)), len(trace))
    run = attrs.evolve(trace[0], detail={**trace[0].detail, "task_id": "VRzKBhTiQ0-FuPzN5AAWUA"})
    return Trace(STARTED, [run, *trace.events[1:end]])


async def told(run: TaskRun, **options: Any) -> str:
    """Drive a run to its end and explain it."""
    await run.wait()
    return "\n".join(explain(dated(run.trace, **options)))


BEGINNING = """\
What happened
  It was created at 2026-03-01 12:00:00+00:00, with"""


@virtual_time
async def test_completed(make_run):
    """What went well is told in few sentences: how long each stage took, and that every rule was kept."""
    engine = ScriptedEngine(deeds={"wait_for_result": lasting(3)})
    run = make_run(
        ScriptedPlugin("env", build_sandbox=lasting(0.25)), ScriptedPlugin("success"), engine=engine
    )

    text = await told(run)

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it completed, after 3.2s.

{BEGINNING} the plugins env and success.
  It went through prepare (<1ms), build (250ms), start (<1ms), started (<1ms), waiting (3s), stopped (<1ms), \
finished (<1ms), resolved (<1ms) and dispose (<1ms).
  Most of the time it was in waiting.

Why
  Nothing went wrong.

The end
  The task log was closed at 0 bytes.
  Dispose took <1ms: result_set and sandbox, and all went well.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_failed(make_run):
    """Who said that the task failed is named, and that this is no error."""
    text = await told(make_run(ScriptedPlugin("judge", stopped=lasting(1, False))))

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: the task failed, after 1s.

{BEGINNING} the plugin judge.
  It went through prepare (<1ms), build (<1ms), start (<1ms), started (<1ms), waiting (<1ms), stopped (1s), \
finished (<1ms), resolved (<1ms) and dispose (<1ms).
  Most of the time it was in stopped.

Why
  First, at 1s in stopped, stopped of plugin judge said that the task failed.
  So the task failed, which is no error: no hook was left out.

The end
  The task log was closed at 0 bytes.
  Dispose took <1ms: result_set and sandbox, and all went well.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_malformed(make_run):
    """Of a payload that is malformed everything that is wrong with it is told, and who took no part."""
    plugins = [ScriptedPlugin("limit", schema={"limit": {"type": "integer"}}), ScriptedPlugin("b")]
    text = await told(make_run(*plugins, payload={"limit": "no"}))

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it became an exception, malformed-payload, after <1ms.

{BEGINNING} the plugins limit and b.
  It went through prepare (<1ms), exception (<1ms), resolved (<1ms) and dispose (<1ms).
  It never entered build, start, started, waiting, stopped and finished.

Why
  First, at <1ms in prepare, a malformed payload: prepare: MalformedPayloadError: payload.limit: must be an \
integer, not a string.
  So the run left prepare for exception at <1ms.

What did not go as it should
  Plugin limit took no part: its part of the payload is invalid.

The end
  The task log was closed at 66 bytes.
  Dispose took <1ms: temporary_folder, and all went well.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_overruled(make_run):
    """The chain is told in the order in which it happened, with what caused each error, what decided, what was late."""
    cause = OSError("no space")
    hiccup = NonFatalInternalError("cannot store")
    hiccup.__cause__ = cause
    run = make_run(
        ScriptedPlugin("judge", stopped=lasting(0, False)),
        ScriptedPlugin("store", finished=lasting(1, hiccup), dispose=lasting(2, OSError("gone"))),
        ScriptedPlugin(
            "bug", finished=lasting(2, ValueError("x")), exception=lasting(0, MalformedPayloadError("m"))
        ),
        ScriptedPlugin("report", finished=lasting(3, MalformedPayloadError("p"))),
        report=lasting(0.5),
    )

    text = await told(run)

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it became an exception, internal-error, after 5.5s.

{BEGINNING} the plugins judge, store, bug and report.
  It went through prepare (<1ms), build (<1ms), start (<1ms), started (<1ms), waiting (<1ms), stopped (<1ms), \
finished (3s), exception (<1ms), resolved (500ms) and dispose (2s).
  Most of the time it was in finished.

Why
  First, at <1ms in stopped, stopped of plugin judge said that the task failed. This was overruled.
  Then, at 1s in finished, an internal error: finished of plugin store: NonFatalInternalError: cannot store, \
caused by OSError: no space (incident incident-1). This was overruled.
  Then, at 2s in finished, a defect: finished of plugin bug: ValueError: x (incident incident-2). This decided.
  Then, at 3s in finished, a malformed payload: finished of plugin report: MalformedPayloadError: p. \
This was overruled.
  So the run left finished for exception at 3s.
  A defect may concern other runs too: the worker must stop.
  When the outcome was final already, at 3s in exception: a malformed payload: exception of plugin bug: \
MalformedPayloadError: m.
  When the outcome was final already, at 5.5s in dispose: a defect: dispose of plugin store: OSError: gone \
(incident incident-3).

What did not go as it should
  The hook finished of plugin store failed after 1s: NonFatalInternalError: cannot store.
  The hook finished of plugin bug failed after 2s: ValueError: x.
  The hook finished of plugin report failed after 3s: MalformedPayloadError: p.
  The hook exception of plugin bug failed after <1ms: MalformedPayloadError: m.

The end
  The task log was closed at 0 bytes.
  3 messages came when the log was closed; the first says: finished of plugin store: NonFatalInternalError: \
cannot store (incident incident-1).
  The resolution was reported.
  Dispose took 2s: store, result_set, sandbox and report_non_fatal_error.
  The hook dispose of plugin store failed after 2s: OSError: gone.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_every_malformation_decides(make_run):
    """Of several errors that are the payload's each decides, as the author has to mend them all."""
    run = make_run(
        ScriptedPlugin("judge", stopped=lasting(0, False)),
        ScriptedPlugin("a", finished=lasting(1, MalformedPayloadError("a"))),
        ScriptedPlugin("b", finished=lasting(2, MalformedPayloadError("b"))),
    )
    await run.wait()

    assert [line.rpartition(". ")[2] for line in part(run.trace, "Why")[:3]] == [
        "This was overruled.",
        "This decided.",
        "This decided.",
    ]


@virtual_time
async def test_aborted(make_run):
    """An abort is told with its reason, what it cut short, and those that came too late."""
    engine = ScriptedEngine(holds=True, deeds={"abort_sandbox": lasting(0.5)})
    run = make_run(ScriptedPlugin("watch"), engine=engine)
    asyncio.get_running_loop().call_later(2, run.abort, "superseded")
    asyncio.get_running_loop().call_later(2.25, run.abort)

    text = await told(run)

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it became an exception, superseded, after 2.5s.

{BEGINNING} the plugin watch.
  It went through prepare (<1ms), build (<1ms), start (<1ms), started (<1ms), waiting (2.5s), exception (<1ms), \
resolved (<1ms) and dispose (<1ms).
  Most of the time it was in waiting.
  It never entered stopped and finished.

Why
  First, at 2s in waiting, the run was aborted: superseded.
  So the run left waiting for exception at 2.5s.
  The sandbox was aborted at 2s, which took 500ms.
  1 abort came too late to decide: canceled.

What did not go as it should
  The call wait_for_result failed after 2.5s: SandboxAbortedError: the sandbox was aborted.

The end
  The task log was closed at 0 bytes.
  Dispose took <1ms: sandbox, and all went well.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_abandoned_and_late(make_run):
    """A hook that did not end is told as abandoned, with what it got afterwards and when it came back."""
    run = make_run(
        ScriptedPlugin("stuck", started=stubborn, dispose=lasting(0)),
        limits=Limits(hook_timeout=7, abandon_grace=2),
    )
    late = asyncio.Event()
    run.observe(lambda event: late.set() if event.kind is Kind.LATE else None)

    await run.wait()
    await late.wait()
    text = "\n".join(explain(dated(run.trace)))

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it became an exception, internal-error, after 9s.

{BEGINNING} the plugin stuck.
  It went through prepare (<1ms), build (<1ms), start (<1ms), started (9s), exception (<1ms), resolved (<1ms) \
and dispose (<1ms).
  Most of the time it was in started.
  It never entered waiting, stopped and finished.

Why
  First, at 9s in started, a defect: started of plugin stuck: HookTimeoutError: started of plugin stuck overran \
its time and did not end: abandoned (incident incident-1).
  So the run left started for exception at 9s.
  The sandbox was aborted at 9s, which took <1ms.
  A defect may concern other runs too: the worker must stop.

What did not go as it should
  The hook started of plugin stuck overran its time and did not end, and was abandoned after 9s.
  So stuck got nothing more but dispose.
  At 20s started of plugin stuck came back after all.

The end
  The task log was closed at 93 bytes.
  Dispose took <1ms: stuck, sandbox and temporary_folder, and all went well.

The rules
  It kept every rule."""
    )


@virtual_time
async def test_truncated(make_run):
    """A trace that stops in the middle says what was under way, what was held, and that dispose had not begun."""
    run = make_run(ScriptedPlugin("a", started=lasting(4)), ScriptedPlugin("b", started=lasting(6)))
    await run.wait()
    trace = dated(
        run.trace, until=lambda event: event.kind is Kind.RETURN and event.plugin == "b" and event.time > 5
    )
    lease = Event(
        0.0, Kind.LEASE, "prepare", detail={"lease": 1, "what": "folder", "data": {"path": "/tmp/x\n"}}
    )
    gone = attrs.evolve(lease, detail={"lease": 2, "what": "process.marker", "data": {}})
    trace.events[3:3] = [lease, gone, Event(0.0, Kind.RELEASE, "prepare", detail={"lease": 2})]

    text = "\n".join(explain(trace))

    assert text == (
        f"""\
Run 0 of task VRzKBhTiQ0-FuPzN5AAWUA: it has no resolution, after 4s; its trace stops in started.

{BEGINNING} the plugins a and b.
  It went through prepare (<1ms), build (<1ms), start (<1ms) and started (4s).
  Most of the time it was in started.

Why
  Nothing had gone wrong so far.

Where it broke off
  The trace stops at 4s in started: the process died, or the run goes on.
  Under way was started of plugin b (for 4s).
  Dispose had not begun.
  Held there: folder (path /tmp/x\\n).

The rules
  The rules judge runs that have ended; this one has not."""
    )


def recovered(*, undone: str, ended: bool = True) -> Trace:
    """Return the trace of a run whose process died in `waiting`, and which was recovered."""
    trace = Trace(STARTED)

    def add(time: float, kind: Kind, stage: str, call: str | None = None, **detail: Any) -> None:
        trace.events.append(Event(time, kind, stage, None, call, detail or None))

    add(0, Kind.RUN, "pending", lifecycle="task-run", task_id="VRzKBhTiQ0-FuPzN5AAWUA", run_id=1, plugins=[])
    for number, (source, stage) in enumerate(zip(TASK_RUN.main_path, TASK_RUN.main_path[1:6], strict=False)):
        add(number / 10, Kind.MOVE, stage, source=source)
    add(0.5, Kind.LEASE, "waiting", lease=1, what="folder", data={"path": "/tmp/f"})
    add(0.5, Kind.LEASE, "waiting", lease=2, what="process.marker", data={"marker": "ab"})
    add(0.6, Kind.CALL, "waiting", "wait_for_result")
    add(60, Kind.RECOVERED, "waiting", by="process 7", at="2026-03-01T12:01:00+00:00", lost=True)
    add(60, Kind.OUTCOME, "waiting", state="exception", reason="worker-shutdown", cause="it died", final=True)
    add(60, Kind.MOVE, "exception", source="waiting")
    add(60, Kind.LOG_CLOSED, "exception", bytes=12)
    add(60, Kind.MOVE, "resolved", source="exception")
    add(60, Kind.MOVE, "dispose", source="resolved")
    add(60, Kind.CALL, "dispose", "dispose:process.marker")
    add(61, Kind.RETURN, "dispose", "dispose:process.marker", outcome=undone, error="OSError: no")
    if undone == "ok":
        trace.events[-1] = attrs.evolve(trace.events[-1], detail={"outcome": "ok"})
        add(61, Kind.RELEASE, "dispose", lease=2)
    add(61, Kind.CALL, "dispose", "dispose:folder")
    if ended:
        add(62, Kind.RETURN, "dispose", "dispose:folder", outcome="ok")
        add(62, Kind.RELEASE, "dispose", lease=1)
        add(62, Kind.END, "dispose")
    return trace


def part(trace: Trace, heading: str) -> list[str]:
    """Return the sentences under a heading."""
    lines = explain(trace)
    begin = lines.index(heading) + 1
    end = next((place for place in range(begin, len(lines)) if not lines[place]), len(lines))
    return [line.strip() for line in lines[begin:end]]


def test_recovered():
    """Where the process died, who recovered the run and what was undone is told."""
    trace = recovered(undone="ok")

    assert explain(trace)[0] == (
        "Run 1 of task VRzKBhTiQ0-FuPzN5AAWUA: it became an exception, worker-shutdown, after 1m 2s."
    )
    assert part(trace, "Why") == [
        "Nothing had gone wrong before the process died; whoever recovered the run resolved it.",
        "So the run left waiting for exception at 1m.",
    ]
    assert part(trace, "Where it broke off") == [
        "The process that had the run died, in waiting; under way was wait_for_result (for 59.4s).",
        "The run was recovered by process 7 at 2026-03-01T12:01:00+00:00.",
        "Pieces of its trace were lost.",
        "Recovery undid process.marker and folder.",
    ]
    assert part(trace, "The end") == ["The task log was closed at 12 bytes."]


def test_recovered_in_part():
    """What could not be undone is told, and what is held still; so is a recovery that was cut short itself."""
    assert part(recovered(undone="failed"), "Where it broke off")[3:] == [
        "Recovery undid folder.",
        "The call dispose:process.marker failed after 1s: OSError: no.",
        "Still held: process.marker (marker ab).",
    ]

    trace = recovered(undone="ok", ended=False)
    trace.events.append(Event(70, Kind.RECOVERED, "dispose", detail={"by": "process 8"}))
    trace.events.append(Event(71, Kind.END, "dispose"))

    assert part(trace, "Where it broke off")[3:] == [
        "The recovery was cut short itself, in dispose; under way was dispose:folder (for 9s).",
        "The run was recovered by process 8.",
        "Recovery undid process.marker.",
        "The call dispose:folder was under way when the process died.",
        "Still held: folder (path /tmp/f).",
    ]


def test_broken_rules_are_named():
    """A run that breaks rules is told to, at which event."""
    trace = Trace(
        STARTED, [Event(0, Kind.MOVE, "dispose", detail={"source": "pending"}), Event(0, Kind.END, "dispose")]
    )

    assert part(trace, "The rules")[0] == (
        "Rule 1 (declared-order) broken at event 0: "
        "a move from 'pending' to 'dispose', which the table does not have."
    )


def test_other_lifecycle():
    """A run of an embedder's own lifecycle is told too; with its table its verdicts and rules as well."""
    own = TASK_RUN.insert(Stage("scan", hook="scanned"), after="build", name="mine")
    run = Event(0, Kind.RUN, "pending", detail={"lifecycle": "mine"})
    trace = Trace(
        STARTED, [run, Event(0, Kind.MOVE, "scan", detail={"source": "build"}), Event(1, Kind.END, "scan")]
    )

    assert part(trace, "The rules") == [
        "It is a run of the lifecycle mine, whose table is needed to judge it by the rules."
    ]
    assert "a move from 'build' while the run was in 'pending'" in "".join(explain(trace, own))


def test_hostile_text_is_escaped():
    """Whatever a task or plugin wrote into the trace is shown on one line and moves no cursor."""
    hostile = "\x1b]0;title\x07\n\rWhy\u202e\ud800" + "x" * 10**5
    detail = dict.fromkeys(
        (
            "task_id",
            "run_id",
            "reason",
            "message",
            "error",
            "text",
            "name",
            "why",
            "what",
            "by",
            "at",
            "state",
            "bytes",
        ),
        hostile,
    )
    kinds = [kind for kind in Kind if kind is not Kind.RECOVERED]
    events = [
        Event(
            0,
            kind,
            hostile,
            hostile,
            hostile,
            {**detail, "outcome": outcome, "data": {hostile: hostile}, "counted": True},
        )
        for outcome in (hostile, "failed", "abandoned")
        for kind in (*kinds, Kind.RECOVERED)
    ]

    lines = explain(Trace(STARTED, events))

    assert all(line.isprintable() for line in lines)
    assert len(lines) < 100
    assert max(map(len, lines)) < 20_000


def test_run_that_repeats_itself_is_told_shortly():
    """However much there is of one kind, its number is told beyond a hundred."""
    errors = [
        Event(
            0,
            Kind.ERROR,
            "started",
            "p",
            "started",
            {"severity": "fatal", "message": str(n), "counted": True},
        )
        for n in range(1000)
    ]

    lines = explain(Trace(STARTED, errors))

    assert "  And 900 more errors." in lines
    assert len(lines) < 120


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=3,
)
FIELDS = (
    *(
        "lifecycle",
        "task_id",
        "run_id",
        "plugins",
        "source",
        "outcome",
        "error",
        "value",
        "why",
        "hooks",
        "bytes",
    ),
    *(
        "text",
        "reason",
        "accepted",
        "severity",
        "message",
        "counted",
        "state",
        "final",
        "name",
        "lease",
        "what",
    ),
    *("data", "by", "lost", "at", "disposed", "plugin", "call"),
)
"""What some kind of event carries; few are drawn for each, as drawing all takes a hundred times as long."""
LIKELY = st.sampled_from(
    [
        *(
            "ok",
            "failed",
            "abandoned",
            "timeout",
            "cancelled",
            "exception",
            "completed",
            "fatal",
            "malformed",
        ),
        *("env", "stopped", "dispose", "dispose:x", "abort_sandbox", True, False, 1),
        *([], ["stopped"], [["x"]], [{"name": "env", "after": [{}]}], [{"name": {}}], [{}], {"path": "x"}),
    ]
)
EVENTS = st.builds(
    lambda needed, fields: {**dict(fields), **needed},
    st.fixed_dictionaries(
        {
            "time": st.integers(0, 5) | st.floats() | st.just("1"),
            "kind": st.sampled_from([kind.value for kind in Kind]),
            "stage": st.sampled_from([*TASK_RUN.by_name, None, 1, [], "elsewhere"]),
        }
    ),
    st.lists(st.tuples(st.sampled_from(FIELDS), LIKELY | JSON), max_size=6),
)
LISTS = st.sampled_from(
    [
        [],
        ["started"],
        [["x"]],
        [{"name": "env", "after": [{}]}],
        [{"name": {}, "after": 1}],
        [{}],
        ["x"],
        {},
        5,
    ]
)
WITH_LISTS = st.builds(
    lambda kind, plugins, hooks: {
        "time": 0,
        "kind": kind,
        "stage": "prepare",
        "plugins": plugins,
        "hooks": hooks,
    },
    st.sampled_from(["run", "created"]),
    LISTS,
    LISTS,
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "started": st.datetimes().map(str),
        "events": st.lists(EVENTS | WITH_LISTS, max_size=12),
    }
)


@hypothesis.given(DOCUMENTS)
def test_every_trace_that_can_be_read_can_be_explained(document):
    """No trace makes `explain` or the rules fail, and no line of an explanation holds what is not printable."""
    document = json.loads(json.dumps(document))
    try:
        trace = Trace.from_document(document)
    except TraceError:
        hypothesis.reject()

    lines = explain(trace)
    judge(trace)

    assert lines[0].startswith("Run ")
    assert all(line.isprintable() for line in lines)
