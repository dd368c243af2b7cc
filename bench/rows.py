"""The rows of the benchmark: those of the last section of the design, and what each is held against."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import attrs

from bench import (
    artifacts,
    cancel,
    cpu,
    hooks,
    imports,
    journal,
    memory,
    output,
    serving,
    spawn,
    uploads,
    webhooks,
)
from bench.effort import Effort, UnavailableError
from bench.figures import Result, Target

Measure = Callable[[Effort], Result | Coroutine[Any, Any, Result]]


@attrs.frozen
class Row:
    """One row; `reference` is what the Go worker was measured at, and `reference_ratio` that to the floor that
    was measured beside it.
    """

    name: str
    title: str
    unit: str
    _measure: Measure
    reference: str | None = None
    reference_ratio: float | None = None
    target: Target | None = None

    def run(self, effort: Effort) -> dict[str, Any]:
        """Measure, and return what that adds to the row's document."""
        try:
            made = self._measure(effort)
            result = made if isinstance(made, Result) else asyncio.run(made)
        except UnavailableError as reason:
            return {"unavailable": str(reason)}
        met = None if self.target is None else self.target.met(result.value)
        return {**result.to_document(), "met": met}

    def to_document(self) -> dict[str, Any]:
        """Return what is known of the row before it is measured."""
        return {
            "row": self.name,
            "title": self.title,
            "unit": self.unit,
            "reference": self.reference,
            "reference_ratio": self.reference_ratio,
            "target": None if self.target is None else self.target.text,
        }


_ROWS = (
    Row(
        "cpu-success",
        "CPU per run on the mock engine with the plugin success",
        "us",
        cpu.success,
        reference="112-149",
        target=Target("< 112", most=112),
    ),
    Row(
        "cpu-three",
        "CPU per run on the mock engine with success, env and maxruntime",
        "us",
        cpu.three_plugins,
        reference="296",
        target=Target("< 197", most=197),
    ),
    Row(
        "journal-cpu",
        "CPU that a journal adds to a run, syncs included",
        "us",
        journal.cpu,
        target=Target("< 1000", most=1000),
    ),
    Row(
        "journal-syncs",
        "syncs per run with a journal, 100 runs at once",
        "syncs",
        journal.syncs,
        target=Target("< 1", most=1),
    ),
    Row("def-hook", "CPU that a def hook adds to a run, in a thread", "us", hooks.def_hook),
    Row(
        "memory-in-flight",
        "resident memory per run in flight",
        "KB",
        memory.in_flight,
        reference="22-33",
        target=Target("< 10", most=10),
    ),
    Row(
        "memory-kept",
        "memory kept per finished run",
        "B",
        memory.kept,
        reference="1300-5300",
        target=Target("0", most=4),
    ),
    Row(
        "spawn-1",
        "tasks of /bin/true per second, one after another",
        "/s",
        spawn.uncontained_one,
        reference="920",
        reference_ratio=0.66,
        target=Target(">= 920", least=920),
    ),
    Row(
        "spawn-4",
        "tasks of /bin/true per second, four at once",
        "/s",
        spawn.uncontained_four,
        reference="1594",
        reference_ratio=0.71,
        target=Target(">= 1594", least=1594),
    ),
    Row("contained-1", "contained tasks per second, one after another", "/s", spawn.contained_one),
    Row("contained-4", "contained tasks per second, four at once", "/s", spawn.contained_four),
    Row(
        "output",
        "output of a task into its log",
        "MB/s",
        output.to_log,
        reference="1030",
        reference_ratio=0.49,
        target=Target("> 1030", least=1030),
    ),
    Row("output-masked", "output of a task into a log that shows no secrets", "MB/s", output.masked),
    Row("output-limited", "output of a task of which the log takes a MiB", "MB/s", output.limited),
    Row("artifacts", "small files of a task's directory into a folder", "/s", artifacts.directory),
    Row("artifacts-memory", "memory that a run holds of an artifact", "B", artifacts.held),
    Row("upload", "one large file into object storage", "MB/s", uploads.large),
    Row("upload-files", "files of 4 KB into object storage, five at once", "/s", uploads.small),
    Row("upload-memory", "memory that uploading a file of 1 GB takes at most", "MB", uploads.memory),
    Row("webhook-cpu", "CPU per request to a web hook", "us", webhooks.requests),
    Row(
        "log-to-1",
        "a log that still grows to one HTTP reader",
        "MB/s",
        serving.to_one,
        reference="1143",
        target=Target("> 1143", least=1143),
    ),
    Row("log-to-100", "the same to a hundred readers, together", "MB/s", serving.to_hundred),
    Row(
        "log-line",
        "until the last of a hundred HTTP readers has a line, at worst",
        "ms",
        serving.line,
        target=Target("<= 100", most=100),
    ),
    Row(
        "cancel",
        "from a cancellation until all processes of the task are dead",
        "s",
        cancel.to_death,
        reference="38",
        target=Target("0.1", most=0.1),
    ),
    Row(
        "cancel-ignored",
        f"the same where the task ignores SIGTERM, with killGrace {cancel.GRACE:g}",
        "s",
        cancel.to_forced_death,
        target=Target(f"{cancel.GRACE:g} + 0.1", most=cancel.GRACE + 0.1),
    ),
    Row(
        "cancel-journal",
        "the same as cancel, with a journal",
        "s",
        cancel.to_death_journaled,
        target=Target("0.1", most=0.1),
    ),
    Row(
        "import",
        "import stagecall, beyond bare Python",
        "ms",
        imports.package,
        target=Target("<= 100", most=100),
    ),
    Row("import-run", "from stagecall import run_task, beyond bare Python", "ms", imports.run_task),
)

ROWS: Mapping[str, Row] = {row.name: row for row in _ROWS}
