"""The guarantee: wherever a worker is killed, recovery brings its run to dispose, and nothing is left of it."""

import asyncio
import os
import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..engines.process_support import no_cgroup
from .crash_support import Crash, Nursery, Scenario, nursery
from .points import Census, Point

EVERYTHING = bool(os.environ.get("STAGECALL_CI"))
"""Whether every point is tried, and not only one of each sort."""

INSTANTS = 300
"""How many workers are killed at any instant."""

CONTAINMENTS = ("cgroup", "marker", "none")
CRUCIAL = ("start", "waiting")
"""The stages in which containments differ: of those but the first that can be had only they, and commits, are tried."""
FAMILIAR = ("none", "pending", "prepare", "build", "start", "started")
"""What a run that is to be aborted passes as any other."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Nursery]:
    with nursery() as made:
        yield made


@pytest.fixture(scope="module")
def no_groups() -> str:
    return asyncio.run(no_cgroup())


@pytest.fixture(params=CONTAINMENTS)
def containment(request: pytest.FixtureRequest, no_groups: str) -> str:
    if request.param == "cgroup" and no_groups:
        pytest.skip(no_groups)
    return str(request.param)


@pytest.fixture
def crucial(containment: str, no_groups: str) -> Callable[[Point], bool]:
    """Whether a point is worth a try in this containment."""
    first = CONTAINMENTS[1 if no_groups else 0]
    return lambda point: EVERYTHING or containment == first or point.at == "commit" or point.stage in CRUCIAL


@pytest.mark.timeout(600)
@pytest.mark.parametrize("abort", [False, True], ids=["completed", "aborted"])
def test_nothing_is_left_of_a_worker_that_was_killed_anywhere(
    forks, containment, abort, crucial, tmp_path, closing_line
):
    """Killed at any event, commit, effect on the host or piece of output, a run is brought to dispose all the same."""
    scenario = Scenario(containment, abort)
    census = passed(forks, scenario, tmp_path / "whole")
    failures: list[str] = []
    tried = 0

    for number, point in enumerate(filter(crucial, chosen(census))):
        if abort and point.stage in FAMILIAR:
            continue
        with crash(forks, scenario, tmp_path / str(number), point, failures) as worker:
            killed = worker.live(point)  # or it has not got there: what overlaps is not the same each time
            tried += killed
            worker.heal()
            trace = worker.check()
            assert trace is not None or not (killed and must_be_recovered(census, point))
            worker.heal()
            assert not worker.recovery()["found"]

    closing_line(
        f"workers killed at {tried} points of a run ({scenario}), of which {len(failures)} left something"
    )
    assert failures == []
    assert tried >= 5


@pytest.mark.timeout(600)
def test_nothing_is_left_when_recovery_itself_was_killed(forks, containment, crucial, tmp_path, closing_line):
    """Killed before or after any of its commits, or before any of its effects, a recovery is finished by the next."""
    scenario = Scenario(containment, abort=True)
    census = passed(forks, scenario, tmp_path / "whole")
    failures: list[str] = []
    tried = 0

    for victim in richest(census):
        first = Crash(forks, scenario, tmp_path / f"{victim.number}")
        assert first.live(victim)
        first.heal()
        for number, point in enumerate(filter(crucial, chosen(first.census("heal")))):
            with crash(forks, scenario, tmp_path / f"{victim.number}-{number}", point, failures) as worker:
                assert worker.live(victim)
                tried += worker.heal(point)
                worker.heal()
                assert worker.check() is not None
                worker.heal()
                assert not worker.recovery()["found"]

    closing_line(f"recoveries killed at {tried} points ({scenario}), of which {len(failures)} left something")
    assert failures == []
    assert tried >= 5


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("abort", [False, True], ids=["completed", "aborted"])
def test_nothing_is_left_whenever_worker_and_recovery_were_killed(
    forks, containment, abort, tmp_path, closing_line
):
    """Killed at any instant, which may lie within a system call, workers and recoveries leave nothing either."""
    scenario = Scenario(containment, abort)
    whole = measured(forks, scenario, tmp_path / "whole")
    failures: list[str] = []
    killed = 0

    for number in range(INSTANTS):
        lived, healed = random.uniform(0, whole), random.uniform(0, whole)
        instant = f"after {lived:.6f} s, its recovery after {healed:.6f} s"
        with crash(forks, scenario, tmp_path / str(number), instant, failures) as worker:
            killed += worker.live(seconds=lived)
            killed += worker.heal(seconds=healed)
            worker.heal()
            worker.check()
            worker.heal()
            assert not worker.recovery()["found"]

    closing_line(
        f"killed {killed} times at any instant ({scenario}), of which {len(failures)} left something"
    )
    assert failures == []


def measured(forks: Nursery, scenario: Scenario, folder: Path) -> float:
    """Return how many seconds a run takes."""
    passed(forks, scenario, folder / "first")
    begin = time.monotonic()
    Crash(forks, scenario, folder / "second").live()
    return time.monotonic() - begin


def passed(forks: Nursery, scenario: Scenario, folder: Path) -> Census:
    """Return what a run passes that nobody kills; it leaves nothing to recover."""
    worker = Crash(forks, scenario, folder)
    assert not worker.live()
    worker.heal()
    assert worker.check() is None
    return worker.census("live")


def chosen(census: Census) -> Iterable[Point]:
    """Return all points, or the first of each sort."""
    points = census.points()
    return points if EVERYTHING else {point.sort: point for point in reversed(points)}.values()


def richest(census: Census) -> list[Point]:
    """Return points at which all is held at once and, to try everything, where much is gone or not there yet."""
    points = [
        census.before("waiting abort"),
        census.before("dispose call dispose"),
        census.before("start lease"),
    ]
    return points if EVERYTHING else points[:1]


def must_be_recovered(census: Census, point: Point) -> bool:
    """Whether a run was under way at a point for sure: it is in the journal from prepare on, until it is disposed."""
    if point.at != "event":
        return point.at == "output"
    begun = census.before("prepare move").number
    return begun <= point.number < census.before("dispose call dispose:journal").number


@contextmanager
def crash(
    forks: Nursery, scenario: Scenario, folder: Path, point: Point | str, failures: list[str]
) -> Iterator[Crash]:
    """A worker that is to be killed at a point; what does not hold then goes into `failures`."""
    worker = Crash(forks, scenario, folder)
    try:
        yield worker
    except AssertionError as error:
        failures.append(f"killed {point}: {''.join(traceback.format_exception(error)[-2:])}")
    else:
        shutil.rmtree(folder)
    finally:
        worker.clean_up()
