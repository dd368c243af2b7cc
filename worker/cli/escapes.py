"""Makes a task's output fit for a terminal: colours pass, what could move, clear or answer does not.

A task prints what it likes. On a terminal that may be a sequence that scrolls the stage line away, switches
to the alternate screen, sets the window's title or makes the terminal type an answer into the shell. Of all
escape sequences only SGR (`ESC [ ... m`) is let through.
"""

from __future__ import annotations

import re

RESET = "\x1b[0m"

MAX_CARRY = 256
"""Characters of colour that are carried from one line to the next; real programs need about 20."""

_SEQUENCES = re.compile(
    r"(?P<colour>\x1b\[[0-9;:]{0,64}m)"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\n]*?(?:\x07|\x1b\\|\x9c|(?=\n)|\Z)"  # OSC, DCS and their text
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|\x1b[ -/]*[0-~]?"  # every other escape
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"  # what is left of C0 and C1, but tab and ends of lines
)
_COLOUR = re.compile(r"\x1b\[([0-9;:]{0,64})m")


def harmless(text: str) -> str:
    r"""Return `text` without control characters and escape sequences, but for tab, \\n, \\r and colours.

    >>> harmless("\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07 plain\x07")
    '\x1b[31mred\x1b[0m plain'
    """
    return _SEQUENCES.sub(lambda found: found["colour"] or "", text)


def colourless(text: str) -> str:
    r"""Return `text`, which went through `harmless`, without its colours.

    >>> colourless("\x1b[31mred\x1b[0m")
    'red'
    """
    return _COLOUR.sub("", text)


def last_overwrite(line: str) -> str:
    r"""Return what a line shows once its carriage returns have let the rest overwrite it.

    >>> last_overwrite("10 %\r20 %\r")
    '20 %'
    """
    return line.rstrip("\r").rpartition("\r")[2]


class TerminalLines:
    r"""One task's complete lines made fit for a terminal: colours end with each and carry on in the next.

    >>> TerminalLines("a | ").render("\x1b[32mgreen\nstill\n")
    'a | \x1b[32mgreen\x1b[0m\na | \x1b[32mstill\x1b[0m\n'
    """

    __slots__ = ("_carry", "_prefix")

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._carry = ""

    def render(self, text: str) -> str:
        """Return complete lines, each ended by a newline, with the prefix before each."""
        text = harmless(text).removesuffix("\n")
        if "\r" not in text and "\x1b" not in text and not self._carry:  # most output, and much of it
            return self._prefix + text.replace("\n", f"\n{self._prefix}") + "\n"
        lines = (self._coloured(last_overwrite(line)) for line in text.split("\n"))
        return "".join(f"{self._prefix}{line}\n" for line in lines)

    def _coloured(self, line: str) -> str:
        if "\x1b" not in line and not self._carry:
            return line
        begun = self._carry + line
        for found in _COLOUR.finditer(line):
            self._carry = _carried(self._carry, found)
        return begun + RESET


def _carried(carry: str, found: re.Match[str]) -> str:
    """Return the colours in force after one more sequence; a leading 0, or nothing, resets them first."""
    first, _, rest = found[1].partition(";")
    if first.strip("0"):
        longer = carry + found[0]
        return longer if len(longer) <= MAX_CARRY else found[0]
    return found[0] if rest else ""
