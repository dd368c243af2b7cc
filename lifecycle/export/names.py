"""What the languages of other tools ask of a table: names that they can write, edges that lead somewhere."""

from __future__ import annotations

from ...specs.lifecycle import Lifecycle


class ExportError(ValueError):
    """A table that cannot be written down in the language asked for: the message names what and why."""


def check_names(lifecycle: Lifecycle, language: str, *, ascii_only: bool = False) -> None:
    """Refuse a table whose names a language cannot tell apart. Raises: ExportError.

    >>> from stagecall.specs.lifecycle import Stage
    >>> check_names(Lifecycle("lost", (Stage("a", next="b"),)), "SCXML")
    Traceback (most recent call last):
        ...
    stagecall.lifecycle.export.names.ExportError: stage 'a' leads to 'b', which is no stage; stages are a
    """
    names = [stage.name for stage in lifecycle.stages]
    if not names:
        raise ExportError(f"lifecycle {lifecycle.name!r} has no stages")
    for name in names:
        if not name.isidentifier() or (ascii_only and not name.isascii()):
            allowed = "letters, digits and _ of ASCII" if ascii_only else "letters, digits and _"
            raise ExportError(f"stage {name!r} cannot be named in {language}: a name has {allowed}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ExportError(f"{names.count(twice)} stages are called {twice!r}; names must differ")
    for source, target in lifecycle.edges():
        if target not in lifecycle.by_name:
            known = ", ".join(names)
            raise ExportError(f"stage {source!r} leads to {target!r}, which is no stage; stages are {known}")
