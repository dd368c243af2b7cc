"""A journal or a recovery may be cancelled, or forked, at any moment: what is left of it keeps no lock."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stagecall import recover
from stagecall.lifecycle.journal import Journal, session
from stagecall.lifecycle.journal.store import Store

from .journal_support import die, locks, until


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


class Held:
    """Holds up the calls of a function until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        self.returned = threading.Event()
        function = getattr(owner, name)

        def held(*args: Any, **kwargs: Any) -> Any:
            self.reached.set()
            assert self.go.wait(30)
            try:
                return function(*args, **kwargs)
            finally:
                self.returned.set()

        monkeypatch.setattr(owner, name, held)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Held] = []

    def hold(owner: Any, name: str) -> Held:
        made.append(Held(monkeypatch, owner, name))
        return made[-1]

    yield hold
    for each in made:
        each.go.set()


async def ignore(lease: object) -> None:
    """Undo nothing."""


async def leave(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.lease("nothing.real", name="x")
    await die(journal)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()


async def test_a_recovery_that_is_cancelled_while_it_opens_keeps_no_session(path, held):
    """What a thread opens and claims after all is let go: the next recovery finds the session dead."""
    await leave(path)
    opening = held(sys.modules["stagecall.lifecycle.recovery.recover"]._Work, "read")
    task = asyncio.create_task(recover(path, undos={"nothing.real": ignore}))
    await until(opening.reached.is_set)

    await cancelled(task)
    opening.go.set()
    await until(lambda: opening.returned.is_set() and not _held_here(path))
    recovery = await recover(path, undos={"nothing.real": ignore})

    assert (recovery.living, len(recovery.undone)) == (0, 1)
    assert locks(path) == []


def _held_here(path: Path) -> bool:
    from stagecall.lifecycle.journal.locks import lives, sessions_with_locks

    return any(lives(path, name) for name in sessions_with_locks(path))


async def test_a_recovery_that_is_cancelled_in_a_commit_closes_the_file_after_it(path, held, monkeypatch):
    """SQLite would crash the process if one thread closed what another is using."""
    await leave(path)
    order: list[tuple[Store, str]] = []
    transact, close = Store._transact, Store.close

    def noted(store: Store, statements: Any) -> None:
        transact(store, statements)
        order.append((store, "committed"))

    def closed(store: Store) -> None:
        close(store)
        order.append((store, "closed"))

    monkeypatch.setattr(Store, "_transact", noted)
    monkeypatch.setattr(Store, "close", closed)
    commit = held(Store, "_transact")
    task = asyncio.create_task(recover(path, undos={"nothing.real": ignore}))
    await until(commit.reached.is_set)

    task.cancel()
    await asyncio.wait([task], timeout=0.1)
    commit.go.set()
    await asyncio.wait([task], timeout=30)

    assert task.cancelled()
    recovering = order[-1][0]
    assert [what for store, what in order if store is recovering] == ["committed", "closed"]


async def test_a_journal_whose_opening_is_cancelled_leaves_no_session(path, held):
    """The thread that opens it finds out that nobody waits, and leaves nothing that seems to live."""
    opening = held(session, "open_store")
    task = asyncio.create_task(Journal.open(path))
    await until(opening.reached.is_set)

    await cancelled(task)
    opening.go.set()
    await until(opening.returned.is_set)
    await until(lambda: locks(path) == [])
    recovery = await recover(path)

    assert (recovery.living, recovery.found) == (0, False)


FORKS = """
import asyncio, os, sys
from pathlib import Path
import stagecall
from stagecall.lifecycle.journal import Journal
from stagecall.lifecycle.journal.locks import guarded
from stagecall.lifecycle.offload import offload

path = Path(sys.argv[1])
children = []

def fork():
    ready, wait = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(wait[1])
        os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    children.append(wait)

async def fails(lease):
    fork()
    raise ValueError

async def undoes(lease):
    pass

async def leave():
    journal = await Journal.open(path)
    await journal.lease("held", name="x")
    os._exit(0)

async def main():
    with guarded(path):
        fork()
    first = await stagecall.recover(path, undos={"held": fails})
    second = await stagecall.recover(path, undos={"held": undoes})
    print(len(first.left), second.living, len(second.undone))

if os.fork() == 0:
    asyncio.run(leave())
os.wait()
asyncio.run(main())

async def in_child():
    print(await offload(lambda stop: "a thread of its own", reserved=True), flush=True)

if os.fork() == 0:
    asyncio.run(in_child())
    os._exit(0)
os.wait()
"""


def test_a_forked_child_that_lives_on_keeps_no_locks_and_has_threads_of_its_own(path):
    """A child forked while the file is guarded, or sessions are being recovered, holds up neither."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKS), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1 0 1", "a thread of its own"]
