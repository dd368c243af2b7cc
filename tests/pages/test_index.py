"""The list of runs: who followed it to some point is told what came after, and it keeps within its bound."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from stagecall.worker.pages import following
from stagecall.worker.pages.index import Index
from stagecall.worker.pages.runs import Entry
from stagecall.worker.pages.signals import Signal

from .site_support import BOUND, listed


def index_of(runs, keep=10_000):
    """An index of runs that are over, and the subjects in the order in which they were added."""
    index = Index(keep)
    subjects = [
        listed(Entry(f"{number:022}", 0, f"run-{number}", datetime.now(UTC))) for number in range(runs)
    ]
    for subject in subjects:
        index.put(subject)
    return index, subjects


def labels(entries):
    return [entry.label for entry in entries]


def test_follower_is_told_what_changed_after_what_he_knows():
    """Each line comes once however often it changed, in the order of the last changes."""
    index, subjects = index_of(4)
    known = index.since(0)[-1].version

    for number in (2, 0, 2):
        index.put(subjects[number])

    assert labels(index.since(known)) == ["run-0", "run-2"]
    assert labels(index.since(0)) == ["run-1", "run-3", "run-0", "run-2"]
    assert index.since(index.since(0)[-1].version) == []


def test_oldest_runs_give_way_but_not_those_under_way():
    """Beyond its bound the index forgets the runs that changed longest ago, and none that goes on."""
    index, subjects = index_of(5, keep=3)
    subjects[0].over = False

    surplus = index.surplus()

    assert surplus == [subjects[1]]
    assert labels(index.since(0)) == ["run-0", "run-2", "run-3", "run-4"]


def test_replaced_run_is_told_to_nobody():
    """To read a run from its folder from now on changes nothing about its line."""
    index, subjects = index_of(2)
    known = index.since(0)[-1].version

    index.replace(listed(subjects[0].entry))
    index.replace(listed(Entry("gone", 0, "gone", datetime.now(UTC))))

    assert index.since(known) == []
    assert index.get(subjects[0].entry.key) is not subjects[0]
    assert len(index) == 2


def test_change_among_ten_thousand_runs_is_found_at_once():
    """To follow ten thousand runs costs a look at those that changed, not at all of them."""
    index, subjects = index_of(10_000)
    known = index.since(0)[-1].version
    index.put(subjects[5_000])
    looked_at: list[object] = []
    index._subjects = Watched(index._subjects, looked_at)

    changed = index.since(known)

    assert labels(changed) == ["run-5000"]
    assert len(looked_at) == 2


class Watched(dict):
    """A mapping that notes which of its values somebody looked at, from the last on."""

    def __init__(self, content, looked_at):
        super().__init__(content)
        self.looked_at = looked_at

    def values(self):
        return WatchedValues(super().values(), self.looked_at)


class WatchedValues:
    """The values of such a mapping."""

    def __init__(self, values, looked_at):
        self.inner, self.looked_at = values, looked_at

    def __reversed__(self):
        for value in reversed(self.inner):
            self.looked_at.append(value)
            yield value


async def test_who_listens_is_told_what_happened_before_the_end():
    """What changes while a listener is being told, just before the pages close, is told too."""
    index, subjects = index_of(1)
    closing = Signal()
    told = []

    class Stream:
        async def send(self, events):
            told.extend(events)
            if len(told) == 1:
                subjects[0].entry.label = "renamed"
                index.put(subjects[0])
                closing.set()

    stream: Any = Stream()
    await asyncio.wait_for(following._tell_index(stream, index, closing), BOUND)

    assert [b"renamed" in event for event in told] == [False, True]
