"""What a run becomes, by what went wrong in it."""

import asyncio
import itertools

import pytest

from stagecall.lifecycle.errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    HookTimeoutError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from stagecall.lifecycle.resolution import (
    CAUSE_LENGTH,
    Failure,
    Resolution,
    Severity,
    decide,
    describe,
    describe_chain,
)

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
    """The cause tells the errors in the order in which they came, and of each whether it decided."""
    resolution = decide(True, failures, None)

    told = [f"{'decided' if failure is DEFECT else 'overruled'}: {failure}" for failure in failures]
    assert resolution == Resolution("exception", ExceptionReason.INTERNAL_ERROR, "; ".join(told))


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
    """Whoever aborts gets the reason they gave; the errors after it are told as overruled."""
    resolution = decide(success, [HICCUP], reason)

    assert resolution == Resolution(
        "exception",
        reason,
        f"decided: aborted: {reason.value}; "
        "overruled: start_sandbox: NonFatalInternalError: a hiccup (incident id-1)",
    )


@pytest.mark.parametrize("place", range(4))
def test_abort_is_told_where_it_came(place):
    """Errors, verdicts and the abort are one chain, in the order in which they happened."""
    resolution = decide(
        False,
        [MALFORMED, DEFECT],
        ExceptionReason.CANCELED,
        aborted_after=place,
        refusals=[(1, "stopped of plugin success")],
    )

    chain = [
        "overruled: started of plugin env: MalformedPayloadError: env: no",
        "overruled: stopped of plugin success: the task failed",
        "overruled: finished of plugin tasklog: KeyError: 'x' (incident id-2)",
    ]
    chain.insert(place, "decided: aborted: canceled")
    assert resolution.cause == "; ".join(chain)


def test_verdict_is_overruled_in_the_chain():
    """Where every error decides, what is marked is the verdict alone."""
    resolution = decide(False, [MALFORMED, MALFORMED], None, refusals=[(0, "stopped of plugin success")])

    assert resolution.cause == (
        f"overruled: stopped of plugin success: the task failed; decided: {MALFORMED}; decided: {MALFORMED}"
    )


@pytest.mark.parametrize(("first", "last"), [(MALFORMED, DEFECT), (DEFECT, MALFORMED)])
def test_cause_is_bounded(first, last):
    """However much went wrong, the first error and the one that decided are told, and how many are not."""
    loud = [
        Failure.of(NonFatalInternalError(f"{number} {'x' * 10_000}"), "started of plugin loud")
        for number in range(99)
    ]

    cause = decide(True, [first, *loud, last], None).cause or ""
    sentences = cause.split("; ")

    assert len(cause) < CAUSE_LENGTH + 100
    assert sentences[0].endswith(str(first))
    assert [text for text in sentences if text.startswith("decided: ")] == [f"decided: {DEFECT}"]
    assert 3 < len(sentences) < 10
    assert sentences[-1] == f"and {101 - len(sentences) + 1} more"


def test_error_is_described_in_one_line():
    """Also one that says nothing, or fails to; a long one is shortened."""

    class Unprintable(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert describe(ValueError("a\n  b")) == "ValueError: a b"
    assert describe(ValueError()) == "ValueError"
    assert describe(Unprintable()) == "Unprintable: (it cannot be shown)"
    assert describe(ValueError("x" * 10**6)) == f"ValueError: {'x' * 3948}... (1,000,012 characters)"


def caused(error, cause):
    """Return an error as `raise error from cause` makes it."""
    error.__cause__ = cause
    return error


def test_error_tells_what_caused_it():
    """The chain of `raise ... from` is told back to the first error; a ring of causes is told once."""
    first, second = OSError("no space"), ValueError("a")
    ring = caused(KeyError("k"), second)
    second.__cause__ = ring

    assert describe_chain(caused(NonFatalInternalError("n"), caused(RuntimeError("r"), first))) == (
        "NonFatalInternalError: n, caused by RuntimeError: r, caused by OSError: no space"
    )
    assert describe_chain(ring) == "KeyError: 'k', caused by ValueError: a"
    assert (
        describe_chain(caused(HookTimeoutError("late"), asyncio.CancelledError())) == "HookTimeoutError: late"
    )


def test_group_tells_its_leaves():
    """Each error that a group holds is told with what caused it, in order, those beyond ten as a number."""
    inner = ExceptionGroup("inner", [caused(KeyError("k"), OSError("o")), ValueError("v")])

    assert describe_chain(ExceptionGroup("outer", [inner])) == (
        "ExceptionGroup: outer (1 sub-exception) [KeyError: 'k', caused by OSError: o | ValueError: v]"
    )
    assert describe_chain(ExceptionGroup("many", [OSError(str(n)) for n in range(13)])) == (
        "ExceptionGroup: many (13 sub-exceptions) ["
        + " | ".join(f"OSError: {n}" for n in range(10))
        + " | and 3 more]"
    )


def test_group_that_is_deeper_than_the_stack():
    """Groups within groups are taken apart however deep they lie."""
    error: Exception = OSError("at the bottom")
    for _ in range(20_000):
        error = ExceptionGroup("", [error])

    failure = Failure.of(error, "started of plugin deep")

    assert failure.severity is Severity.FATAL
    assert str(failure).endswith("[OSError: at the bottom]")
    while isinstance(error, ExceptionGroup):  # let go level by level: to free it all at once recurses
        error = error.exceptions[0]


def test_reason_that_no_run_can_have():
    """A plugin that gives an unknown reason learns of it where it raises; one that gives none has a defect."""

    class Careless(TaskExceptionError):
        def __init__(self):
            Exception.__init__(self, "no reason")
            self.reason = "bored"  # type: ignore[assignment]

    with pytest.raises(ValueError, match="bored"):
        TaskExceptionError("bored", "nothing to do")

    assert TaskExceptionError("superseded", "s").reason is ExceptionReason.SUPERSEDED
    assert Failure.of(Careless(), "here").reason is ExceptionReason.INTERNAL_ERROR
