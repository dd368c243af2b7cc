"""What conformance kits have in common: checks that are inherited, skipped only by name of what a subject cannot do,
and never lost in silence.

A kit is a class of `test_*` checks. Whoever wrote a plugin or an engine subclasses it in a test module; pytest then
collects the checks there. The pytest plugin (`pytest_plugin.py`) skips those that need what the subject cannot do, and
shows where a subject departs from its kit.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from ..specs.schemas import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

PREFIX = "test_"
_NEEDS = "__stagecall_needs__"


class Conformance:
    """A kit of checks; a subclass made with `kit=True` is one, any other subclass uses one.

    In a kit, `flags` maps what a subject may or may not be able to do to a sentence, and `needs` marks the checks that
    need one. A check may be `async def`: it is then run by `drive`, under any mode of any pytest plugin for asyncio.

    In a class that uses a kit, `capabilities` are the flags of what its subject can do (all, unless it says otherwise).
    A check that is overridden, or removed by setting it to None, must be named in `departures` with the reason, which
    the test report then shows; anything else fails when the class is made.

    >>> class Kit(Conformance, kit=True):
    ...     flags = {"flies": "it can fly"}
    ...     def test_walks(self): ...
    ...     @needs("flies")
    ...     def test_flies(self): ...
    >>> class TestPenguin(Kit):
    ...     capabilities = Kit.capabilities - {"flies"}
    >>> missing(TestPenguin, "test_flies")
    ('flies',)
    >>> class TestSnail(Kit):
    ...     test_walks = None
    Traceback (most recent call last):
        ...
    TypeError: TestSnail overrides or removes test_walks of Kit; declare it: departures = {"test_walks": "why"}
    """

    flags: ClassVar[Mapping[str, str]] = {}
    """What a subject of the kit may or may not be able to do, each with a sentence."""
    capabilities: ClassVar[frozenset[str]] = frozenset()
    """The flags of what this subject can do."""
    departures: ClassVar[Mapping[str, str]] = {}
    """The checks of the kit that are overridden or removed, each with the reason."""
    bound: ClassVar[float] = 60.0
    """How many seconds an `async def` check may take."""

    kit_checks: ClassVar[Mapping[str, Any]] = {}
    """The checks as the kit declares them."""

    def __init_subclass__(cls, *, kit: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if wrong := defects(cls):
            raise TypeError("; ".join(wrong))
        if kit:
            _declare(cls)

    def drive(self, check: Coroutine[Any, Any, None]) -> None:
        """Run an `async def` check to its end, on a loop of its own. Raises: TimeoutError after `bound` seconds."""
        asyncio.run(asyncio.wait_for(check, self.bound))


def needs(*flags: str) -> Callable[[F], F]:
    """Mark a check of a kit as one that needs all of these capabilities."""

    def mark(check: F) -> F:
        setattr(check, _NEEDS, flags)
        return check

    return mark


def missing(cls: type[Conformance], check: str) -> tuple[str, ...]:
    """Return the flags that a check needs and the class leaves out of its capabilities."""
    needed: tuple[str, ...] = getattr(getattr(cls, check, None), _NEEDS, ())
    return tuple(flag for flag in needed if flag not in cls.capabilities)


def skip_reason(cls: type[Conformance], check: str) -> str | None:
    """Return why a check is skipped for this class, None if it is not."""
    lacking = "; ".join(f"{flag!r} ({cls.flags[flag]})" for flag in missing(cls, check))
    return f"{cls.__name__}.capabilities leaves out {lacking}" if lacking else None


def defects(cls: type[Conformance]) -> list[str]:
    """Return what is wrong with how a class uses its kit, one sentence each.

    Asked when the class is made, and again when it is collected, since checks can be deleted in between.
    """
    return [*_undeclared(cls), *_unfounded(cls), *_unknown(cls)]


def _undeclared(cls: type[Conformance]) -> Iterator[str]:
    for kit in _kits(cls):
        for name in _departed(cls, kit):
            if kit is cls:
                yield f"{cls.__name__} has lost its check {name} since it was made"
            elif name not in cls.departures:
                yield (
                    f"{cls.__name__} overrides or removes {name} of {kit.__name__}; "
                    f'declare it: departures = {{"{name}": "why"}}'
                )


def _unfounded(cls: type[Conformance]) -> Iterator[str]:
    departed = {name for kit in _kits(cls) for name in _departed(cls, kit)}
    for name, why in cls.departures.items():
        if name not in departed:
            yield (
                f"{cls.__name__}.departures names {name}, but the check is as the kit has it: "
                "override it, set it to None, or drop the departure"
            )
        elif not (isinstance(why, str) and why.strip()):
            yield f"{cls.__name__}.departures must say why {name} departs from the kit, not {why!r}"


def _unknown(cls: type[Conformance]) -> Iterator[str]:
    if isinstance(cls.capabilities, str):
        yield f"{cls.__name__}.capabilities must be a set of flags, not the text {cls.capabilities!r}"
        return
    for flag in sorted(cls.capabilities - cls.flags.keys()):
        yield f"{cls.__name__}.capabilities: unknown flag {flag!r}; {did_you_mean(flag, cls.flags)}"


def _departed(cls: type[Conformance], kit: type[Conformance]) -> Iterator[str]:
    for name, check in kit.__dict__["kit_checks"].items():
        if inspect.getattr_static(cls, name, None) is not check:
            yield name


def _kits(cls: type[Conformance]) -> Iterator[type[Conformance]]:
    """Yield the kits that a class is made from, itself included."""
    return (one for one in cls.__mro__ if "kit_checks" in one.__dict__ and one is not Conformance)


def _declare(cls: type[Conformance]) -> None:
    """Make a class a kit: take down its checks as they are now, and make those that are async plain."""
    checks = {name: getattr(cls, name) for name in dir(cls) if name.startswith(PREFIX)}
    for name, check in checks.items():
        if unknown := set(getattr(check, _NEEDS, ())) - cls.flags.keys():
            raise TypeError(
                f"{cls.__name__}.{name} needs {', '.join(sorted(unknown))}, which is none of its flags"
            )
        if inspect.iscoroutinefunction(check):
            setattr(cls, name, _driven(check))
    cls.kit_checks = {name: inspect.getattr_static(cls, name) for name in checks}
    if "capabilities" not in cls.__dict__:
        cls.capabilities = frozenset(cls.flags)


def _driven(check: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(check)
    def run(self: Conformance, *args: Any, **kwargs: Any) -> None:
        self.drive(check(self, *args, **kwargs))

    return run
