"""What a journal costs: CPU per run, and syncs per run where many share them."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path

from bench.effort import Effort
from bench.figures import Figure, Result
from bench.measure import Sample, cpu_of, cpu_of_plain, take_turns
from bench.surroundings import MOCK_TASK, SUCCESS, complete, definition, runtime_of
from stagecall.worker.runtime import Runtime

AT_ONCE = 100


async def cpu(effort: Effort) -> Result:
    """CPU that a journal adds to a run, one after another, so that each run pays for its own syncs."""
    runs = effort.of(300, 10)
    task = definition(MOCK_TASK)
    with tempfile.TemporaryDirectory(prefix="stagecall-bench-") as folder:
        async with runtime_of("mock", SUCCESS, journal=True) as kept, runtime_of("mock", SUCCESS) as bare:
            bare_database = _database(Path(folder, "bare.db"))

            async def many() -> None:
                await asyncio.gather(*(complete(kept, task) for _ in range(AT_ONCE)))

            series = await take_turns(
                {
                    "with": cpu_of(lambda: complete(kept, task), runs),
                    "without": cpu_of(lambda: complete(bare, task), runs),
                    "commit": cpu_of_plain(lambda: _commit(bare_database), runs),
                    "at once": cpu_of(many, max(1, runs // AT_ONCE)),
                },
                effort.rounds,
            )
            bare_database.close()
    beside = (
        Figure("a whole run with a journal", series["with"].median, "us"),
        Figure("a whole run without", series["without"].median, "us"),
        Figure(f"a whole run with a journal, {AT_ONCE} at once", series["at once"].median / AT_ONCE, "us"),
    )
    added = series["with"].less(series["without"])
    return Result.of(added, "one bare commit of SQLite, in the same mode", series["commit"], "us", beside)


async def syncs(effort: Effort) -> Result:
    """Syncs per run with 100 runs at once, which share them."""
    rounds = effort.of(5, 1)
    async with runtime_of("mock", SUCCESS, journal=True) as runtime:
        series = await take_turns(
            {"at once": _syncs_of(runtime, AT_ONCE, rounds), "alone": _syncs_of(runtime, 1, 10 * rounds)},
            effort.rounds,
        )
    return Result.of(series["at once"], "syncs of a run that is alone", series["alone"], "syncs")


def _syncs_of(runtime: Runtime, at_once: int, times: int) -> Sample:
    task = definition(MOCK_TASK)

    async def sample() -> float:
        assert runtime.journal is not None
        before = runtime.journal.writer.commits
        for _ in range(times):
            await asyncio.gather(*(complete(runtime, task) for _ in range(at_once)))
        return (runtime.journal.writer.commits - before) / (times * at_once)

    return sample


def _database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (body TEXT)")
    return connection


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO records VALUES (?)", ("x" * 1000,))
    connection.execute("COMMIT")
