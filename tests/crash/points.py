"""The points of a run at which a worker is killed: what they are, and how a process kills itself at one.

This runs in the victim, which shall be as it is without it: nothing is watched but the places that every run passes,
and nothing is changed there but that they are counted.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal

import attrs

from stagecall.lifecycle.journal.store import Store
from stagecall.lifecycle.log import TaskLog
from stagecall.lifecycle.recorder import Recorder

At = Literal["event", "commit", "effect", "output"]
When = Literal["before", "after"]

WAYS: tuple[tuple[At, When], ...] = (
    ("event", "before"),
    ("event", "after"),
    ("commit", "before"),
    ("commit", "after"),
    ("effect", "before"),
    ("output", "after"),
)
"""How a process may be killed at each place; what comes after an effect is the next one, or an event."""

ENDINGS = ("return", "lease", "release", "artifact", "report", "end")
"""The events before which something has been done that the trace does not tell of yet."""

EFFECTS = {
    "os.mkdir",
    "os.rmdir",
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.killpg",
    "subprocess.Popen",
}
"""The audit events of Python that change something outside of the process, beside the opening of files to write."""


@attrs.frozen
class Point:
    """The `number`th trace event, commit of the journal, effect on the host, or piece of output moved into the log.

    Numbers count from 0; `label` is what happened there when nobody was killed.
    """

    at: At
    number: int
    when: When = "before"
    label: str = ""

    def __str__(self) -> str:
        return f"{self.when} {self.at} {self.number} ({self.label})"

    @property
    def stage(self) -> str:
        """The stage that the run is in; `none` where there is no run."""
        return self.label.split()[0]

    @property
    def sort(self) -> str:
        """What the point has in common with others: for an event all but the stage and the plugin.

        No two commits are of one sort.
        """
        if self.at == "commit":
            return f"commit {self.number}"
        words = self.label.split()
        return " ".join((self.at, *(word for word in words[1:] if not word.startswith("plugin:"))))


@attrs.define
class Census:
    """What a process passes: a label for each place of a kind."""

    event: list[str] = attrs.field(factory=list)
    commit: list[str] = attrs.field(factory=list)
    effect: list[str] = attrs.field(factory=list)
    output: list[str] = attrs.field(factory=list)

    def points(self) -> list[Point]:
        """Return every point."""
        return [
            Point(at, number, when, label)
            for at, when in WAYS
            for number, label in enumerate(getattr(self, at))
            if (at, when) != ("event", "before") or label.split()[1] in ENDINGS
        ]

    def before(self, beginning: str) -> Point:
        """Return the point before the first event whose label begins so."""
        number = next(number for number, label in enumerate(self.event) if label.startswith(beginning))
        return Point("event", number, "before", self.event[number])


def die() -> None:
    """Die as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def watch(point: Point | None) -> Census:
    """Kill this process at a point, and return what it passes until then."""
    census = Census()
    stage = ["none"]

    def event(recorder: Recorder, kind: Any, plugin: Any = None, call: Any = None, detail: Any = None) -> str:
        run: Any = recorder._run
        stage[0] = run.stage
        told = (run.stage, kind, call, plugin and f"plugin:{plugin}", (detail or {}).get("what"))
        return " ".join(str(part) for part in told if part is not None)

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in EFFECTS or (name == "open" and _writes(arguments)):
            here = len(census.effect)
            census.effect.append(f"{stage[0]} {name}")
            if point is not None and (point.at, point.number) == ("effect", here):
                die()

    _count(Recorder, "record", event, census.event, point, "event")
    _count(Store, "commit", lambda *_: stage[0], census.commit, point, "commit")
    _count(TaskLog, "_settle", lambda log: f"{stage[0]} output", census.output, point, "output")
    sys.addaudithook(audit)
    return census


def _writes(arguments: tuple[Any, ...]) -> bool:
    return isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def _count(
    cls: type, name: str, label: Callable[..., str], passed: list[str], point: Point | None, at: At
) -> None:
    original = getattr(cls, name)
    when = point.when if point is not None and point.at == at else None
    number = point.number if point is not None else -1

    def counted(*arguments: Any, **named: Any) -> Any:
        here = len(passed)
        passed.append(label(*arguments, **named))
        if when == "before" and here == number:
            die()
        value = original(*arguments, **named)
        if when == "after" and here == number:
            die()
        return value

    setattr(cls, name, counted)
