"""What a run becomes, by what went wrong in it."""

import itertools

import pytest

from stagecall.lifecycle.errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from stagecall.lifecycle.resolution import Failure, Resolution, Severity, decide, describe

MALFORMED = Failure.of(MalformedPayloadError("env: no"), "started of plugin env")
UNAVAILABLE = Failure.of(
    TaskExceptionError(ExceptionReason.RESOURCE_UNAVAILABLE, "disk full"), "stopped of plugin a"
)
HICCUP = Failure.of(NonFatalInternalError("a hiccup"), "start_sandbox", "id-1")
DEFECT = Failure.of(KeyError("x"), "finished of plugin tasklog", "id-2")


@pytest.mark.parametrize(
    ("error", "severity", "reason"),
    [
        (MalformedPayloadError("m"), Severity.MALFORMED, ExceptionReason.MALFORMED_PAYLOAD),
        (FeatureNotSupportedError("f"), Severity.MALFORMED, ExceptionReason.MALFORMED_PAYLOAD),
        (
            TaskExceptionError(ExceptionReason.INTERMITTENT_TASK, "t"),
            Severity.TASK_EXCEPTION,
            ExceptionReason.INTERMITTENT_TASK,
        ),
        (NonFatalInternalError("n"), Severity.NON_FATAL, ExceptionReason.INTERNAL_ERROR),
        (FatalInternalError("f"), Severity.FATAL, ExceptionReason.INTERNAL_ERROR),
        (ValueError("v"), Severity.FATAL, ExceptionReason.INTERNAL_ERROR),
        (SystemExit(1), Severity.FATAL, ExceptionReason.INTERNAL_ERROR),
        (
            ExceptionGroup(
                "g", [MalformedPayloadError("m"), ExceptionGroup("h", [NonFatalInternalError("n")])]
            ),
            Severity.NON_FATAL,
            ExceptionReason.INTERNAL_ERROR,
        ),
    ],
)
def test_error_weighs_by_its_type(error, severity, reason):
    """Each type has weight and reason, a group those of its worst, anything unknown is a defect."""
    failure = Failure.of(error, "here")

    assert (failure.error, failure.severity, failure.reason) == (error, severity, reason)


@pytest.mark.parametrize(("success", "state"), [(True, "completed"), (False, "failed")])
def test_verdict_decides_where_nothing_went_wrong(success, state):
    """A failed task is no error: it has no reason and no cause."""
    assert decide(success, [], None) == Resolution(state)
    assert Resolution(state).success is success


@pytest.mark.parametrize("failures", [*itertools.permutations([MALFORMED, UNAVAILABLE, HICCUP, DEFECT])])
def test_worst_error_decides_in_any_order(failures):
    """The cause begins with the worst, and tells each other one as overruled."""
    resolution = decide(True, failures, None)

    others = [f"overruled: {failure}" for failure in failures if failure is not DEFECT]
    assert resolution == Resolution(
        "exception",
        ExceptionReason.INTERNAL_ERROR,
        "; ".join(["finished of plugin tasklog: KeyError: 'x' (incident id-2)", *others]),
    )


def test_first_of_equals_decides():
    """Among errors of one weight the first has caused the others."""
    later = Failure.of(TaskExceptionError(ExceptionReason.INTERMITTENT_TASK, "again"), "there")

    assert decide(True, [UNAVAILABLE, later], None).reason is ExceptionReason.RESOURCE_UNAVAILABLE
    assert decide(True, [later, UNAVAILABLE], None).reason is ExceptionReason.INTERMITTENT_TASK


def test_author_hears_of_every_malformation():
    """Where nothing weighs more, no malformation is overruled by another."""
    other = Failure.of(FeatureNotSupportedError("no volumes"), "build_sandbox of plugin cache")

    assert decide(True, [MALFORMED, other], None) == Resolution(
        "exception",
        ExceptionReason.MALFORMED_PAYLOAD,
        "started of plugin env: MalformedPayloadError: env: no; "
        "build_sandbox of plugin cache: FeatureNotSupportedError: no volumes",
    )


@pytest.mark.parametrize("reason", list(ExceptionReason))
@pytest.mark.parametrize("success", [True, False])
def test_abort_wins_over_errors_and_verdict(reason, success):
    """Whoever aborts gets the reason they gave; the errors are told behind it."""
    resolution = decide(success, [HICCUP], reason)

    assert resolution == Resolution(
        "exception",
        reason,
        f"aborted: {reason.value}; overruled: start_sandbox: NonFatalInternalError: a hiccup (incident id-1)",
    )


def test_error_is_described_in_one_line():
    """Also one that says nothing, or fails to."""

    class Unprintable(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert describe(ValueError("a\n  b")) == "ValueError: a b"
    assert describe(ValueError()) == "ValueError"
    assert describe(Unprintable()) == "Unprintable: (it cannot be shown)"
