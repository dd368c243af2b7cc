"""Shows text from elsewhere in one line: what a task, a file name or an error says can neither move a cursor nor
pretend to be a line of its own.
"""

from __future__ import annotations

MOST = 500
"""Characters that one quoted text may have, unless somebody asks for more."""


def escaped(text: object, most: int = MOST) -> str:
    r"""Return `text` with everything that is not printable as a Python escape, shortened to `most` characters.

    >>> escaped("one\ntwo \x1b[2J caf\u00e9 \u202e")
    'one\\ntwo \\x1b[2J café \\u202e'
    >>> escaped("x" * 1000, 10)
    'xxxxxxxxxx... (1,000 characters)'
    """
    whole = str(text)
    shown = whole[:most]
    if not shown.isprintable():
        shown = "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in shown
        )
    return shown if len(whole) <= most else f"{shown}... ({len(whole):,} characters)"
