"""What lies where a journal should: only a journal is opened, and nobody's file is touched."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stagecall import recover
from stagecall.lifecycle import JournalError
from stagecall.lifecycle.journal import Journal

from .journal_support import die, locks


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "journal.db"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_file_is_not_even_opened(path, make: Callable[[Path], None]):
    """A folder or a fifo is named at once by all who would use it, and nothing is left beside it."""
    make(path)

    for use in (Journal.open(path), recover(path), recover(path, dry_run=True)):
        async with asyncio.timeout(20):
            with pytest.raises(JournalError, match="no regular file; name another"):
                await use

    assert os.listdir(path.parent) == [path.name]


async def test_a_letter_about_journals_is_no_journal(path):
    """To speak of a journal is not enough to be set aside as a damaged one."""
    letter = "My notes on the stagecall journal, which I should be sorry to lose.\n" * 200
    path.write_text(letter)

    for use in (Journal.open(path), recover(path), recover(path, dry_run=True)):
        with pytest.raises(JournalError, match="is not a journal; name another file"):
            await use

    assert path.read_text() == letter
    assert not path.with_name("journal.db.damaged-1").exists()


async def test_a_dry_run_takes_an_empty_file_for_an_empty_journal(path):
    """A worker that was killed before its first record leaves one: there is nothing to recover."""
    path.touch()

    recovery = await recover(path, dry_run=True)

    assert (recovery.found, path.stat().st_size) == (False, 0)


async def test_a_dry_run_foretells_that_a_damaged_file_is_set_aside(path):
    """Whether the damage shows when the file is opened or when it is read through."""
    async with await Journal.open(path):
        pass
    sound = path.read_bytes()
    told = []
    for place in (0, sound.index(b"CREATE TABLE") - 200, 4096):
        path.write_bytes(sound[:place] + b"\xff" * 64 + sound[place + 64 :])
        told.append((await recover(path, dry_run=True)).damage)

    assert [damage and damage.endswith("it would be set aside") for damage in told] == [True, None, True]


async def test_a_link_leads_to_the_journal_that_it_names(path):
    """Who comes by the link sees the locks of those who did not, and recovers what they left."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    journal = await Journal.open(link)
    await journal.lease("nothing.real", name="x")

    async def undo(lease):
        undone.append(lease.kind)

    undone: list[str] = []
    living = await recover(path, undos={"nothing.real": undo})
    await die(journal)
    dead = await recover(link, undos={"nothing.real": undo})

    assert (living.living, living.found) == (1, False)
    assert (dead.living, undone, locks(path)) == (0, ["nothing.real"], [])
    assert link.is_symlink()
