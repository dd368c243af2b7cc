"""Small parts of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..escaping import escaped

MOST = 100
"""How many of one kind of thing are told; a run that repeats itself for ever is told no longer."""


def listed(things: Iterable[str], none: str = "nothing", most: int = MOST) -> str:
    """Return things as a list in a sentence, at most so many of them.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed([]), listed("abcdef", most=3)
    ('a, b and c', 'a', 'nothing', 'a, b and 4 more')
    """
    everything = list(things)
    if len(everything) > most:
        everything = [*everything[: most - 1], f"{len(everything) - most + 1:,} more"]
    if len(everything) < 2:
        return everything[0] if everything else none
    return f"{', '.join(everything[:-1])} and {everything[-1]}"


def few(sentences: Sequence[str], what: str) -> list[str]:
    """Return sentences, the last of them a count where there are too many."""
    if len(sentences) <= MOST:
        return list(sentences)
    return [*sentences[:MOST], f"And {len(sentences) - MOST:,} more {what}."]


def count(number: int, what: str) -> str:
    """Return a number of things.

    >>> count(1, "artifact"), count(2, "artifact")
    ('1 artifact', '2 artifacts')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def stop(text: str) -> str:
    """Return a sentence with its full stop.

    >>> stop("it is over"), stop("it says: why?")
    ('it is over.', 'it says: why?')
    """
    return text if text.endswith((".", "?", "!")) else f"{text}."


def name(text: object) -> str:
    """Return a name from elsewhere."""
    return escaped(text, 100)
