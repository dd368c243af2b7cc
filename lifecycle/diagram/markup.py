"""Elements of SVG and HTML from hostile text, and what text measures.

Names and errors come from anyone. They go into trees, never into strings, so that what is markup in them
stays text, and characters that no XML may hold or that would turn the line around are replaced.
"""

from __future__ import annotations

import re
import unicodedata
from xml.etree.ElementTree import Element

FORBIDDEN = re.compile(
    "[^\t\n -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, lone surrogates, non-characters, and what changes the direction of text."""

WIDTHS = {400: 0.54, 600: 0.58, "mono": 0.605}
"""The mean width of a character in the wider of the usual system fonts, in parts of the font's size."""


LONGEST = 2000
"""More characters than this of one text are not shown anywhere."""


def clean(text: str) -> str:
    """Return `text` with every character that must not reach a picture replaced.

    >>> clean("a\\x00b\\u202ec")
    'a\\ufffdb\\ufffdc'
    """
    return FORBIDDEN.sub("\ufffd", text)


def line_of(text: str) -> str:
    """Return `text` cleaned and on one line.

    >>> line_of("Traceback:\\n  no such file")
    'Traceback: no such file'
    """
    return clean(" ".join(text.split()))


def element(tag: str, *content: str | Element | None, **attributes: str | float | None) -> Element:
    """Return an element; `class_` is the attribute class, `stroke_width` stroke-width; None is left out.

    >>> from xml.etree.ElementTree import tostring
    >>> tostring(element("td", "<b>", class_="name", data_x=None))
    b'<td class="name">&lt;b&gt;</td>'
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = clean(value) if isinstance(value, str) else number(value)
            made.set(name.rstrip("_").replace("_", "-"), text)
    last: Element | None = None
    for part in content:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif part is not None and last is not None:
            last.tail = (last.tail or "") + clean(part)
        elif part is not None:
            made.text = (made.text or "") + clean(part)
    return made


def number(value: float) -> str:
    """Return a coordinate with two decimals at most.

    >>> number(12.3456), number(3.0)
    ('12.35', '3')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def width(text: str, size: float, font: int | str = 400) -> float:
    """Return about how wide `text` is at `size`; `font` is the weight, or "mono"."""
    cells = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return cells * size * WIDTHS[font]


def fit(text: str, room: float, size: float, font: int | str = 400) -> str:
    """Return `text` on one line, cut with an ellipsis where it is wider than `room`.

    >>> fit("wait_for_result", 60, 10, "mono")
    'wait_for…'
    """
    text = shortened(text, 500)
    if width(text, size, font) <= room:
        return text
    while text and width(text + "…", size, font) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def shortened(text: str, most: int) -> str:
    """Return `text` on one line of at most that many characters.

    >>> shortened("a rather long story", 9)
    'a rather…'
    """
    text = line_of(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """Return a duration as people read it.

    >>> [duration(seconds) for seconds in (0.00002, 0.0042, 0.25, 3.14159, 62, 3725)]
    ['20 µs', '4.2 ms', '250 ms', '3.14 s', '1 min 2 s', '1 h 2 min']
    """
    if seconds < 0.0000995:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
