"""Checks, when a plugin's class is made, that what looks like a method called by name is one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any


def check_methods(
    cls: type[Any], base: type[Any], methods: Mapping[str, tuple[str, ...]], kind: str = "hook"
) -> None:
    """Check all public methods that `cls` has beside those of `base`, wherever it has them from.

    `methods` maps the names that are called to the arguments they get; `kind` is what messages call one.

    Raises: TypeError for a name that resembles one of them, or one that cannot be called in that way.
    """
    for name in dir(cls):
        mine = getattr(cls, name, None)
        if name.startswith("_") or mine is None or mine is getattr(base, name, None):
            continue
        if name in methods:
            _check_call(cls, name, methods[name], kind)
        elif inspect.isroutine(mine) and not hasattr(base, name):
            _check_name(cls, name, methods, kind)


def _check_name(cls: type[Any], name: str, methods: Mapping[str, tuple[str, ...]], kind: str) -> None:
    if close := difflib.get_close_matches(name, methods, n=1, cutoff=0.8):
        raise TypeError(
            f"{cls.__name__}.{name} looks like the {kind} {close[0]!r} but is not one; "
            f"{kind}s are {', '.join(methods)}"
        )


def _check_call(cls: type[Any], name: str, arguments: tuple[str, ...], kind: str) -> None:
    method = getattr(cls, name)
    if not callable(method):
        raise TypeError(f"{cls.__name__}.{name} is a {kind} and must be callable, not {method!r}")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise TypeError(f"{cls.__name__}.{name} is a {kind} and must not yield: nothing would run it")
    bound = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))
    try:
        inspect.signature(method).bind(*(() if bound else (None,)), *arguments)
    except TypeError as error:
        wanted = ", ".join(arguments if bound else ("self", *arguments))
        raise TypeError(f"{cls.__name__}.{name} is a {kind} and must take ({wanted}): {error}") from None
