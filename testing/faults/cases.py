"""The cells of the matrix: calls, faults and places, and the ids made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from ...specs.lifecycle import TASK_RUN, Lifecycle
from ..chaos import ENGINE_CALLS, Act, Behaviour

F = TypeVar("F", bound=Callable[..., Any])

SLOW_SECONDS = 3.0
"""How long a slow call takes, by the virtual clock: less than every limit."""

FAULTS: Mapping[str, Behaviour] = MappingProxyType(
    {
        "raise-malformed": Behaviour(Act.MALFORMED),
        "raise-unsupported": Behaviour(Act.UNSUPPORTED),
        "raise-task-exception": Behaviour(Act.TASK_EXCEPTION),
        "raise-intermittent": Behaviour(Act.INTERMITTENT),
        "raise-non-fatal": Behaviour(Act.NON_FATAL),
        "raise-fatal": Behaviour(Act.FATAL),
        "raise-defect": Behaviour(Act.DEFECT),
        "raise-group": Behaviour(Act.GROUP),
        "raise-unprintable": Behaviour(Act.UNPRINTABLE),
        "raise-system-exit": Behaviour(Act.SYSTEM_EXIT),
        "raise-keyboard-interrupt": Behaviour(Act.KEYBOARD_INTERRUPT),
        "raise-cancelled": Behaviour(Act.STRAY_CANCELLED),
        "raise-foreign": Behaviour(Act.FOREIGN),
        "raise-foreign-group": Behaviour(Act.FOREIGN_GROUP),
        "wrong-value": Behaviour(Act.WRONG_VALUE),
        "hang": Behaviour(Act.HANGS),
        "hang-and-swallow": Behaviour(Act.RETURNS_WHEN_CANCELLED),
        "hang-and-raise": Behaviour(Act.RAISES_WHEN_CANCELLED),
        "stubborn": Behaviour(Act.STUBBORN),
        "slow": Behaviour(Act.SLOW, SLOW_SECONDS),
        "cancel-itself": Behaviour(Act.CANCELS_ITSELF),
        "abort": Behaviour(Act.ABORTS),
    }
)
"""What may go wrong in a call, by the name in the id of a case."""

UNBOUNDED = ("hang", "hang-and-swallow", "hang-and-raise", "stubborn")
"""What is no fault of a call that may last as long as it likes."""

IN_THREAD = "-in-thread"
"""What the name of a fault ends with where the hook is a plain `def`."""

AFTER = "-after"
"""What a place ends with where each plugin declares that it comes after those before."""

SEATS = ("1", "2", "3")
PLUGIN_PLACES = (*SEATS, *(f"{seat}{AFTER}" for seat in SEATS))
ENGINE_PLACE = "engine"


@attrs.frozen
class FaultCase:
    """One cell: in `call`, a hook or what the run asks of the engine, `fault` happens; `place` says to whom.

    Places count the plugins from 1 in the order of declaration; `2-after` has each come `after` those before.

    >>> str(FaultCase("stopped", "raise-fatal", "2")), FaultCase.parse("start_sandbox/hang/engine").call
    ('stopped/raise-fatal/2', 'start_sandbox')
    """

    call: str
    fault: str
    place: str

    def __str__(self) -> str:
        return f"{self.call}/{self.fault}/{self.place}"

    @classmethod
    def parse(cls, text: str, lifecycle: Lifecycle = TASK_RUN) -> FaultCase:
        """Return the case with this id.

        Raises: ValueError that says which of its parts there is not.

        >>> FaultCase.parse("stopped/explode/2")
        Traceback (most recent call last):
            ...
        ValueError: no fault case stopped/explode/2: there is no fault 'explode', only raise-malformed, ...
        """
        parts = text.split("/")
        if len(parts) != 3:
            raise ValueError(
                f"no fault case {text!r}: expected CALL/FAULT/PLACE, such as stopped/raise-fatal/2"
            )
        case, why = cls(*parts), f"no fault case {text}"
        _check(why, "call", [case.call], calls_of(lifecycle))
        _check(why, "fault", [case.fault], _faults(threads=True))
        _check(why, "place", [case.place], _places(case.call))
        if not case.possible:
            raise ValueError(f"{why}: {case.fault} is no fault of {case.call}")
        return case

    @property
    def of_engine(self) -> bool:
        """Whether it is the engine that is faulty, not a plugin."""
        return self.call in ENGINE_CALLS

    @property
    def seat(self) -> int | None:
        """The number of the faulty plugin, counted from 1; None where it is the engine."""
        return None if self.of_engine else int(self.place.removesuffix(AFTER))

    @property
    def behaviour(self) -> Behaviour:
        """What the faulty call does."""
        name = self.fault.removesuffix(IN_THREAD)
        return attrs.evolve(FAULTS[name], threaded=name != self.fault)

    @property
    def possible(self) -> bool:
        """Whether there is such a fault of such a call."""
        if self.behaviour.threaded and (self.of_engine or self.behaviour.act is Act.CANCELS_ITSELF):
            return False  # engines are asynchronous, and a thread is no task
        return self.call != "wait_for_result" or self.fault not in UNBOUNDED


def calls_of(lifecycle: Lifecycle) -> list[str]:
    """Return the names of what may be faulty: the hooks, then what is asked of the engine."""
    return [*lifecycle.hooks, *ENGINE_CALLS]


def fault_cases(
    calls: Iterable[str] | None = None,
    faults: Iterable[str] | None = None,
    places: Iterable[str] | None = None,
    *,
    threads: bool = False,
    lifecycle: Lifecycle = TASK_RUN,
) -> list[FaultCase]:
    """Return the cases with these calls, faults and places; without them all there are.

    With `threads` there is one more for each fault of a hook, in which the hook is a plain `def`.

    >>> [str(case) for case in fault_cases(["stopped"], ["hang"], ["1", "2", "2-after"])]
    ['stopped/hang/1', 'stopped/hang/2', 'stopped/hang/2-after']

    Raises: ValueError for a name there is not.
    """
    known = calls_of(lifecycle), _faults(threads=threads), [*PLUGIN_PLACES, ENGINE_PLACE]
    wanted = [
        list(names) if names is not None else known[at] for at, names in enumerate((calls, faults, places))
    ]
    for what, names, there_are in zip(("call", "fault", "place"), wanted, known, strict=True):
        _check("no fault cases", what, names, there_are)
    cases = (
        FaultCase(call, fault, place)
        for call in wanted[0]
        for fault in wanted[1]
        for place in wanted[2]
        if place in _places(call)
    )
    return [case for case in cases if case.possible]


def parametrize(
    calls: Iterable[str] | None = None,
    faults: Iterable[str] | None = None,
    places: Iterable[str] | None = None,
    *,
    threads: bool = False,
    lifecycle: Lifecycle = TASK_RUN,
) -> Callable[[F], F]:
    """Decorate a test so that pytest calls it with each of these cases as `fault`, under its id.

    ::

        @faults.parametrize()
        def test_my_plugin_survives(fault):
            faults.check_fault(fault, plugin=MyPlugin, payload={"myProperty": 1})

    Raises: ValueError as `fault_cases`.
    """
    import pytest

    cases = fault_cases(calls, faults, places, threads=threads, lifecycle=lifecycle)
    return pytest.mark.parametrize("fault", cases, ids=str)


def _faults(*, threads: bool) -> list[str]:
    return [*FAULTS, *(f"{name}{IN_THREAD}" for name in FAULTS if threads)]


def _places(call: str) -> tuple[str, ...]:
    return (ENGINE_PLACE,) if call in ENGINE_CALLS else PLUGIN_PLACES


def _check(why: str, what: str, names: Iterable[str], there_are: Collection[str]) -> None:
    for name in names:
        if name not in there_are:
            raise ValueError(f"{why}: there is no {what} {name!r}, only {', '.join(there_are)}")
