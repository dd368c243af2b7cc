"""What the command says of uploads under way."""

import asyncio

import pytest

from stagecall.testing.virtual_time import virtual_time
from stagecall.worker.cli.uploads import LARGE_BYTES, describe, note_uploads
from stagecall.worker.run_artifacts import Progress, Upload


@pytest.mark.parametrize(
    ("under_way", "text"),
    [
        ([], "2 artifacts, 5 bytes"),
        ([Upload("small", 1, 9)], "2 artifacts, 6 bytes"),
        (
            [Upload("a", 1, LARGE_BYTES), Upload("b/c", 2, 2 * LARGE_BYTES)],
            "2 artifacts, 8 bytes; c 2 bytes of 20.0 MB",
        ),
        ([Upload("packed", LARGE_BYTES, None)], "2 artifacts, 10.0 MB; packed 10.0 MB"),
        (
            [Upload("\x1b[31mred\x1b[2J\nline", 0, LARGE_BYTES)],
            "2 artifacts, 5 bytes; red line 0 bytes of 10.0 MB",
        ),
        (
            [Upload("x" * 100, 0, LARGE_BYTES)],
            f"2 artifacts, 5 bytes; {'x' * 21}... 0 bytes of 10.0 MB",
        ),
    ],
)
def test_the_largest_upload_is_shown_by_itself(under_way, text):
    """Small ones only count; a name cannot do anything to the terminal."""
    assert describe(Progress(2, 5, tuple(under_way))) == text


@virtual_time
async def test_only_uploads_that_last_are_noted():
    """What is over between two looks is not worth a line; what goes on is, as long as something changes."""
    progress = [Progress()]
    notes: list[str] = []
    noting = asyncio.create_task(note_uploads(lambda: progress[0], notes.append, 5.0))

    for files in (0, 1, 1, 1, 2, 3, 3, 4):
        progress[0] = Progress(files, files)
        await asyncio.sleep(5.0)
    noting.cancel()

    assert notes == ["3 artifacts, 3 bytes"]
