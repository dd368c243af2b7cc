"""Undos that somebody else wrote: whatever one does, it ends in time, is named, and the others are called."""

import asyncio
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stagecall import recover
from stagecall.lifecycle.journal import Journal
from stagecall.lifecycle.recovery import undos

from .journal_support import die

HOSTILE = """
import asyncio, threading, time

over = threading.Event()
undone = []

async def blocks(lease):
    over.wait(30)

def blocks_before_it_is_awaited(lease):
    over.wait(30)

async def waits(lease):
    await asyncio.sleep(1000)

async def waits_stubbornly(lease):
    while not over.is_set():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass

async def stops_its_loop(lease):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(1000)

async def cancels_all(lease):
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(1000)

class Unspeakable(BaseException):
    def __str__(self):
        raise SystemExit(3)

async def raises_what_cannot_be_shown(lease):
    raise Unspeakable

is_no_function = "what?"

async def undoes(lease):
    undone.append(lease.data["name"])
"""
NAMES = [
    "blocks",
    "blocks_before_it_is_awaited",
    "waits",
    "waits_stubbornly",
    "stops_its_loop",
    "cancels_all",
    "raises_what_cannot_be_shown",
    "is_no_function",
    "missing",
]


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs undos, by kind, that a module has."""

    def install(module: str, source: str, **kinds: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        points = {kind: [EntryPoint(kind, f"{module}:{name}", undos.GROUP)] for kind, name in kinds.items()}
        monkeypatch.setattr(undos, "_entry_points", lambda: points)

    return install


async def leave(path: Path, *kinds: str) -> None:
    """Leave leases of these kinds behind, the last to be undone first."""
    journal = await Journal.open(path)
    for kind in kinds:
        await journal.lease(kind, name=kind)
    await die(journal)


@pytest.mark.parametrize("name", NAMES)
async def test_an_installed_undo_holds_nobody_up(path, install, monkeypatch, name):
    """One that blocks its loop, or does worse, is left behind in its time; its lease stays, the others go."""
    install("hostile_undos", HOSTILE, hostile=name, good="undoes")
    monkeypatch.setattr(undos, "UNDO_SECONDS", 0.3)
    monkeypatch.setattr(undos, "GRACE_SECONDS", 0.1)
    await leave(path, "good", "hostile")

    async with asyncio.timeout(20):
        recovery = await recover(path)

    hostile = sys.modules.pop("hostile_undos")
    hostile.over.set()
    assert hostile.undone == ["good"]
    assert [left.lease.kind for left in recovery.left] == ["hostile"]
    assert [lease.kind for lease in recovery.undone] == ["good"]


@pytest.mark.parametrize(
    "source", ["raise SystemExit(3)", "raise KeyboardInterrupt", "import no_such_module"]
)
async def test_an_undo_that_cannot_be_imported_is_named(path, install, source):
    """What a module raises when it is imported concerns its own leases only."""
    install("broken_undos", source, broken="undoes")
    await leave(path, "broken")

    recovery = await recover(path)

    assert [left.lease.kind for left in recovery.left] == ["broken"]


async def test_an_installed_undo_is_told_that_its_time_is_over(path, install, monkeypatch):
    """It is cancelled, so that it can let go of what it holds."""
    source = """
    import asyncio
    told = []
    async def waits(lease):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
    """
    install("waiting_undos", textwrap.dedent(source), waiting="waits")
    monkeypatch.setattr(undos, "UNDO_SECONDS", 0.3)
    await leave(path, "waiting")

    recovery = await recover(path)

    assert sys.modules.pop("waiting_undos").told == ["cancelled"]
    assert "took more than 0.3 seconds" in recovery.left[0].why


def test_a_program_ends_in_spite_of_an_undo_that_does_not(path):
    """An undo that refuses to be cancelled keeps neither the recovery nor the end of the program waiting."""
    program = """
    import asyncio, sys
    import stagecall
    from stagecall.lifecycle.journal import Journal
    from stagecall.lifecycle.recovery import undos

    undos.UNDO_SECONDS = undos.GRACE_SECONDS = 0.1

    async def refuses(lease):
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

    async def main():
        async with await Journal.open(sys.argv[1]) as journal:
            await journal.lease("held", name="x")
        recovery = await stagecall.recover(sys.argv[1], undos={"held": refuses})
        print(recovery.left[0].why)

    asyncio.run(main())
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "NonFatalInternalError: it took more than 0.1 seconds\n"
