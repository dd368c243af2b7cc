"""The fault matrix: each case becomes what the table of errors says, and a driver or plugin that is broken fails it."""

import asyncio
import os
import subprocess
import sys

import attrs
import pytest

from stagecall.lifecycle.errors import ExceptionReason, MalformedPayloadError
from stagecall.lifecycle.explain import explain
from stagecall.lifecycle.resolution import Resolution, Severity
from stagecall.plugins.base import Plugin, TaskPlugin
from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.trace import Kind
from stagecall.testing import faults
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.testing.faults import FaultCase, FaultFailedError, check_fault, expect, fault_cases, replay
from stagecall.testing.faults.__main__ import main
from stagecall.testing.faults.cases import calls_of
from stagecall.worker.task_run import TaskRun

from ..support.invented import INVENTED

MORE = bool(os.environ.get("STAGECALL_CI"))


def failing(cases, **options):
    """The ids of the cases that do not become what they must, with why."""
    failed = {}
    for case in cases:
        try:
            check_fault(case, **options)
        except FaultFailedError as error:
            failed[str(case)] = error.report.wrong
    return failed


@pytest.mark.parametrize("call", calls_of(TASK_RUN))
def test_every_case_becomes_what_it_must(call):
    """Whatever goes wrong in a call, wherever: all rules hold, and the run becomes what the table of errors says."""
    cases = fault_cases([call], threads=MORE)
    if not MORE:
        cases += fault_cases([call], places=["2", "engine"], threads=True)

    failed = failing(dict.fromkeys(cases))

    assert failed == {}


@pytest.mark.parametrize("call", ["scanned", "audited", "exception"])
def test_matrix_of_a_lifecycle_of_ones_own(call):
    """Stages that somebody invented have their cases too, and the same guarantees."""
    places = None if MORE else ["2", "3-after"]
    cases = fault_cases([call], places=places, lifecycle=INVENTED)

    failed = failing(cases, lifecycle=INVENTED)

    assert len(cases) == len(faults.FAULTS) * (6 if MORE else 2)
    assert failed == {}


def test_the_matrix_is_complete():
    """There is one case for each call, fault and place, less those that cannot be, and each has an id of its own."""
    cases = fault_cases(threads=True)

    ids = [str(case) for case in cases]
    kinds, endless = len(faults.FAULTS), 4
    hooks = len(TASK_RUN.hooks) * 6 * (kinds + kinds - 1)  # no thread can cancel its task
    engine = 7 * kinds - endless  # a sandbox may last as long as it likes
    assert len(set(ids)) == len(ids) == hooks + engine
    assert [FaultCase.parse(text) for text in ids] == cases
    assert set(fault_cases()) < set(cases)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stopped", "no fault case 'stopped': expected CALL/FAULT/PLACE, such as stopped/raise-fatal/2"),
        ("stoped/hang/1", "no fault case stoped/hang/1: there is no call 'stoped', only new_task_plugin, "),
        ("stopped/burn/1", "no fault case stopped/burn/1: there is no fault 'burn', only raise-malformed, "),
        ("stopped/hang/4", "no fault case stopped/hang/4: there is no place '4', only 1, 2, 3, 1-after, "),
        ("start_sandbox/hang/1", "there is no place '1', only engine"),
        ("wait_for_result/hang/engine", "hang is no fault of wait_for_result"),
        ("stopped/cancel-itself-in-thread/1", "cancel-itself-in-thread is no fault of stopped"),
        ("start_sandbox/raise-fatal-in-thread/engine", "raise-fatal-in-thread is no fault of start_sandbox"),
    ],
)
def test_id_that_there_is_not(text, message):
    """A case that cannot be is refused with what there is instead."""
    with pytest.raises(ValueError, match="no fault case") as caught:
        FaultCase.parse(text)

    assert message in str(caught.value)


def test_names_that_there_are_not():
    """Who chooses cases learns of a misspelt name, and does not get an empty matrix."""
    with pytest.raises(ValueError, match="no fault cases: there is no call 'stoped', only"):
        fault_cases(["stoped"])
    with pytest.raises(ValueError, match="no fault cases: there is no place '7', only"):
        fault_cases(places=["7"])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            "started/raise-malformed/1",
            "exception malformed-payload; the call ends failed, the worker goes on",
        ),
        ("new_task_plugin/raise-task-exception/2", "exception resource-unavailable; the call ends failed, "),
        ("finished/hang/3", "exception internal-error; the call ends timeout, the worker stops"),
        ("finished/hang-in-thread/3", "exception internal-error; the call ends abandoned, the worker stops"),
        ("stopped/wrong-value/1", "exception internal-error; the call ends ok, the worker stops"),
        ("started/wrong-value/1", "completed; the call ends ok, the worker goes on"),
        ("build_sandbox/abort/1", "exception superseded; the call ends ok, the worker goes on"),
        ("dispose/abort/1", "completed; the call ends ok, the worker goes on"),
        (
            "exception/raise-non-fatal/1",
            "exception intermittent-task; the call ends failed, the worker counts",
        ),
        (
            "dispose/raise-foreign/1",
            "completed; the call ends failed, the worker stops, the error is raised after",
        ),
        ("abort_sandbox/raise-fatal/engine", "exception canceled; the call ends failed, the worker stops"),
        (
            "dispose:builder/stubborn/engine",
            "exception intermittent-task; the call ends abandoned, the worker",
        ),
    ],
)
def test_oracle(case, expected):
    """What is expected of a case follows from the table of errors: written out here for one of each kind."""
    assert str(expect(FaultCase.parse(case))).startswith(expected)


def test_oracle_counts_from_what_becomes_of_a_sound_run():
    """Where the plugin under test fails a task, a fault that changes nothing leaves it failed."""
    expected = expect(FaultCase.parse("dispose/raise-fatal/1"), sound=Resolution("failed"))

    assert (expected.state, expected.reason) == ("failed", None)


class NoFence(TaskRun):
    """Calls a plugin on although one of its hooks was abandoned."""

    def _fence(self, plugin):
        pass


class Lenient(TaskRun):
    """Lets the worker go on, whatever happens."""

    def fail(self, error, where, call=None):
        super().fail(error, where, call)
        self.stop_worker = False


class Deaf(TaskRun):
    """Counts no error that is merely the task's."""

    def fail(self, error, where, call=None):
        if not isinstance(error, MalformedPayloadError):
            super().fail(error, where, call)


class Discreet(TaskRun):
    """Keeps what a hook raised from whoever waits."""

    def fail(self, error, where, call=None):
        super().fail(error, where, call)
        self._raise = None


class Credulous(TaskRun):
    """Takes any value for a verdict."""

    def _combine(self, call):
        self.success &= bool(call.value)


class Rash(TaskRun):
    """Gives up a stage's other hooks when one of them fails."""

    def call_failed(self, call):
        super().call_failed(call)
        if self.stage != "dispose":
            self._barrier.cancel([one for one in self._barrier.open if one is not call])


class Vengeful(TaskRun):
    """Lets an error in dispose change what was resolved."""

    def fail(self, error, where, call=None):
        super().fail(error, where, call)
        if self.stage == "dispose":
            self.resolution = Resolution("exception", ExceptionReason.INTERNAL_ERROR)


class WeighsWrong(TaskRun):
    """Takes each error for one that the worker survives."""

    def fail(self, error, where, call=None):
        super().fail(error, where, call)
        self.failures = [attrs.evolve(failure, severity=Severity.MALFORMED) for failure in self.failures]
        self.non_fatal_errors = 0


@pytest.mark.parametrize(
    ("broken", "case", "why"),
    [
        (NoFence, "started/stubborn/1", "rule 4 (one-hook-at-a-time)"),
        (
            Lenient,
            "started/raise-fatal/1",
            "it became: exception internal-error; the call ends failed, the worker goes on",
        ),
        (Lenient, "dispose/hang/2", "the worker goes on"),
        (Deaf, "new_task_plugin/raise-malformed/3", "it became: completed"),
        (Discreet, "stopped/raise-foreign/2", "a waiter got None"),
        (Credulous, "stopped/wrong-value/3-after", "it became: completed"),
        (Rash, "build_sandbox/raise-defect/1", "rule 5 (stage-barrier)"),
        (Vengeful, "dispose/raise-non-fatal/1", "it became: exception internal-error"),
        (WeighsWrong, "finished/raise-non-fatal/1", "the worker goes on"),
    ],
)
def test_broken_driver_is_convicted_by_a_named_case(monkeypatch, broken, case, why):
    """Each defect of a driver fails the case that is made for it, with what is wrong in words."""
    monkeypatch.setattr("stagecall.worker.runtime.TaskRun", broken)

    with pytest.raises(FaultFailedError) as caught:
        check_fault(case)

    assert why in " ".join(caught.value.report.wrong)
    assert str(caught.value).endswith(
        f"to run it again: faults.replay('{case}'), with the same plugin if you gave one"
    )


class Quota(Plugin):
    """A sound plugin with a property of its own."""

    after = frozenset({"sound-1"})

    def payload_schema(self):
        return {"quota": {"type": "integer"}}

    async def new_task_plugin(self, options):
        return _Quota(options.payload["quota"])


class _Quota(TaskPlugin):
    def __init__(self, quota):
        self.quota = quota

    async def stopped(self, result_set):
        return self.quota > 0


@faults.parametrize(places=["2-after", "engine"] if not MORE else None, threads=MORE)
def test_sound_guest_survives(fault):
    """A sound plugin among the three passes each case, under the case's id."""
    report = check_fault(fault, plugin=Quota, payload={"quota": 1})

    assert report.wrong == ()
    assert {"quota"} < {event.plugin for event in report.trace.of(Kind.CREATED, Kind.NOT_CREATED)}


@pytest.mark.parametrize(("quota", "state"), [(1, "completed"), (0, "failed")])
def test_guest_decides_what_a_sound_run_becomes(quota, state):
    """What the run becomes without a fault is found out first, as the plugin may fail the task."""
    report = check_fault("dispose/raise-defect/3", plugin=Quota, payload={"quota": quota})

    assert report.resolution is not None
    assert (report.expected.state, report.resolution.state) == (state, state)


async def careless(reason):
    """What a hook does that expects to be called after others only."""
    raise KeyError("started")


async def lingering(reason):
    """What a hook does that takes its time, even when it is told to end."""
    try:
        await asyncio.sleep(1_000_000)
    except asyncio.CancelledError:
        await asyncio.sleep(50)


@pytest.mark.parametrize(
    ("hooks", "case", "why"),
    [
        (
            {"exception": careless},
            "started/raise-fatal/1",
            "exception of plugin guest failed with a defect: KeyError",
        ),
        ({"exception": careless}, "wait_for_result/raise-malformed/engine", "failed with a defect: KeyError"),
        (
            {"exception": lingering},
            "started/hang/3",
            "exception of plugin guest did not end when it was cancelled",
        ),
    ],
)
def test_guest_that_is_not_up_to_errors_of_others(hooks, case, why):
    """A plugin whose own hook fails because another one did is named, with the hook and the error."""
    with pytest.raises(FaultFailedError) as caught:
        check_fault(case, plugin=lambda: ScriptedPlugin("guest", **hooks))

    assert why in " ".join(caught.value.report.wrong)


def test_guest_whose_own_run_is_an_exception():
    """Where the run fails without any fault, no case would prove anything, and this is said."""
    with pytest.raises(
        ValueError, match=r"without any fault the run is an exception, .*quota.*prove nothing"
    ):
        check_fault("started/hang/1", plugin=Quota, payload={"quota": "many"})


def test_replay_prints_the_story(capsys):
    """One line reproduces a case: it explains the run, says what was expected, and how it compares."""
    report = replay("started/raise-non-fatal/3-after")

    lines = capsys.readouterr().out.splitlines()
    assert lines == report.story.splitlines()
    assert lines[0] == (
        "started/raise-non-fatal/3-after: of three plugins the third has the fault raise-non-fatal in started, "
        "each being after those before"
    )
    assert lines[2:-3] == explain(report.trace)
    assert any("The hook started of plugin fault-3 failed" in line for line in lines)
    assert lines[-2:] == [
        "expected: exception internal-error; the call ends failed, the worker counts a non-fatal error",
        "as expected",
    ]


def test_replay_prints_the_story_of_a_failure_too(capsys, monkeypatch):
    """A case that fails is told in the same way, and then raised."""
    monkeypatch.setattr("stagecall.worker.runtime.TaskRun", Lenient)

    with pytest.raises(FaultFailedError):
        replay("started/raise-fatal/1")

    said = capsys.readouterr().out
    assert "wrong: it became: exception internal-error; the call ends failed, the worker goes on" in said


def test_command_reproduces_a_case():
    """`python -m stagecall.testing.faults ID` tells one case; what it prints and exits with says how it went."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "stagecall.testing.faults", "stopped/raise-fatal/2"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "stopped/raise-fatal/2: of three plugins the second has the fault raise-fatal"
    )
    assert done.stdout.endswith("as expected\n1 cases, 0 failed\n")


def test_command_tells_what_fails(capsys, monkeypatch):
    """A case that fails is told and counted, and the exit code says so."""
    monkeypatch.setattr("stagecall.worker.runtime.TaskRun", Lenient)

    code = main(["started/raise-fatal/1", "started/slow/1"])

    assert code == 1
    assert capsys.readouterr().out.endswith("2 cases, 1 failed\n")


def test_command_lists_and_refuses(capsys):
    """It lists every id there is, and refuses others with exit code 2."""
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == list(map(str, fault_cases(threads=True)))
    with pytest.raises(SystemExit, match="2"):
        main(["started/burn/1"])
    assert "there is no fault 'burn'" in capsys.readouterr().err
