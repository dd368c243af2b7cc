"""What the command says of artifacts while they are uploaded: on the stage line, or now and then in a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.filesize import decimal

from ..run_artifacts import Progress, Upload
from .escapes import colourless, harmless

LARGE_BYTES = 10_000_000
"""From this size on an upload is shown by itself."""

MAX_NAME = 24
"""Characters of an artifact's name that are shown."""

NOTE_SECONDS = 5.0
"""How often an upload is noted where there is no terminal; one that is over sooner is not noted at all."""


def describe(progress: Progress) -> str:
    """Return how far the uploads of a run are, in a few words; nothing if there were none.

    >>> describe(Progress(12, 1_100_000_000, (Upload("public/app.bin", 340_000_000, 5_000_000_000),)))
    '12 artifacts, 1.4 GB; app.bin 340.0 MB of 5.0 GB'
    >>> describe(Progress(1, 20)), describe(Progress())
    ('1 artifact, 20 bytes', '')
    """
    if not progress.files_done and not progress.under_way:
        return ""
    count = "1 artifact" if progress.files_done == 1 else f"{progress.files_done} artifacts"
    text = f"{count}, {decimal(progress.bytes_read)}"
    if (largest := max(progress.under_way, key=_weight, default=None)) and _weight(largest) >= LARGE_BYTES:
        of = "" if largest.bytes_total is None else f" of {decimal(largest.bytes_total)}"
        text += f"; {_short(largest.name)} {decimal(largest.bytes_done)}{of}"
    return text


async def note_uploads(look: Callable[[], Progress], note: Callable[[str], None], every: float) -> None:
    """Note how far uploads are every so many seconds, while they go on for longer than that; until cancelled."""
    told, busy = describe(look()), False
    while True:
        await asyncio.sleep(every)
        text = describe(look())
        if text != told and busy:
            note(text)
        told, busy = text, text != told


def _weight(upload: Upload) -> int:
    return upload.bytes_done if upload.bytes_total is None else upload.bytes_total


def _short(name: str) -> str:
    """Return the last part of an artifact's name: a plugin may have given it any."""
    last = " ".join(colourless(harmless(name)).split()).rpartition("/")[2]
    return last if len(last) <= MAX_NAME else f"{last[: MAX_NAME - 3]}..."
