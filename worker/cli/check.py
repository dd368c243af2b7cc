"""`stagecall check`: judges a stored run by the rules, or takes every way through a lifecycle and judges those."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from ...lifecycle.check import Report, explore, line_of, story, table_of_states, walkable
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.lifecycle_lint import lint
from ...specs.rules import RULES, judge
from ...specs.trace import Trace
from .exits import Exit, Problem
from .inspect import check_same, declared_lifecycle, lifecycle_of, trace_of
from .tasks import name_of, read_document


@attrs.frozen
class Wanted:
    """What is to be told of a lifecycle beside the verdicts."""

    paths: bool = False
    states: bool = False
    counterexample: str | None = None

    @property
    def options(self) -> list[str]:
        """The options that ask for it."""
        given = {
            "--paths": self.paths,
            "--states": self.states,
            "--counterexample": self.counterexample is not None,
        }
        return [option for option, asked in given.items() if asked]


def check(file: str | None, lifecycle_file: str | None, wanted: Wanted) -> tuple[Iterator[str], Exit]:
    """Return the verdicts on a stored trace or a lifecycle, a line each, and the exit code.

    Raises: Problem.
    """
    document = None if file is None else read_document(file)
    if file is not None and isinstance(document, Mapping) and "events" in document:
        if wanted.options:
            raise Problem(f"{name_of(file)}: a stored trace, and {wanted.options[0]} is for a lifecycle")
        trace, lifecycle = trace_of(document, file), declared_lifecycle(lifecycle_file)
        check_same(lifecycle, trace, file)
        return _trace_verdicts(trace, lifecycle), _exit(judge(trace, lifecycle) == [])
    if file is not None and lifecycle_file is not None:
        raise Problem(f"{name_of(file)}: not a stored trace, which --lifecycle would be for")
    return _check_lifecycle(TASK_RUN if file is None else lifecycle_of(document, file), wanted)


def _exit(sound: bool) -> Exit:
    return Exit.COMPLETED if sound else Exit.FAILED


def _trace_verdicts(trace: Trace, lifecycle: Lifecycle) -> Iterator[str]:
    broken = judge(trace, lifecycle)
    for rule in RULES:
        against = [one for one in broken if one.rule is rule]
        yield f"{'BROKEN' if against else 'ok':6}  {rule.number} {rule.name}: {rule.sentence}"
        yield from (f"        event {one.seq}: {one.message}" for one in against)


def _check_lifecycle(lifecycle: Lifecycle, wanted: Wanted) -> tuple[Iterator[str], Exit]:
    findings = [f"BROKEN  {finding}" for finding in lint(lifecycle)]
    if not walkable(lifecycle):
        return iter([*findings, "        no run can be taken through this table"]), Exit.FAILED
    paths: list[str] = []
    report = explore(
        lifecycle,
        every_path=wanted.paths,
        show=(lambda path: paths.append(line_of(path))) if wanted.paths else None,
    )
    if wanted.counterexample is not None and report.counterexample is not None:
        _write(report.counterexample.trace, wanted.counterexample)
    lines = [*findings, *_table(lifecycle, sound=not findings), *_verdicts(report)]
    if wanted.states:
        lines += ["", *table_of_states(report)]
    return iter([*lines, *([""] if paths else []), *paths]), _exit(not findings and not report.broken)


def _table(lifecycle: Lifecycle, sound: bool) -> Iterator[str]:
    if sound:
        yield f"ok      {lifecycle.name}: {' > '.join(lifecycle.main_path)}"
        yield f"        on an error or abort: {', '.join(sorted(lifecycle.exception_stages))}"


def _verdicts(report: Report) -> Iterator[str]:
    yield (
        f"        {len(report.states):,} states; {report.transitions:,} transitions between them, each judged on "
        f"a path to the end; {report.judged:,} of {report.paths:,} paths judged"
    )
    for rule in RULES:
        verdict = "BROKEN" if rule.name in report.broken else "ok"
        yield f"{verdict:6}  {rule.number} {rule.name}: {rule.sentence}"
    if (path := report.counterexample) is not None:
        yield ""
        yield f"The shortest path that breaks a rule: {line_of(path)}"
        yield from story(path.trace, path.broken)


def _write(trace: Trace, file: str) -> None:
    try:
        Path(file).write_text(json.dumps(trace.to_document(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise Problem(f"--counterexample {file}: {error.strerror or error}") from error
