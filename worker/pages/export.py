"""The page of a run as one file that opens from disk: trace, log, previews and scripts are in it, artifacts beside it.

What goes in is bounded, so that a browser opens it at once whatever the run has done: the beginning and the end of a
long log, the first previews, of very many artifacts the first ten thousand.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import attrs

from ...lifecycle.surroundings import Artifact
from ...specs.lifecycle import TASK_RUN, Lifecycle
from ...specs.trace import Kind, Trace
from .document import whole_page
from .drawing import diagram_of
from .kinds import PREVIEW_BYTES, bare, is_text, kind_of
from .logs import artifact_file, open_artifact
from .runs import artifact_in, ending_of, stored_artifacts

if TYPE_CHECKING:
    from ...plugins.livelog.sending import Source

HEAD_BYTES = 2 * 1024**2
TAIL_BYTES = 6 * 1024**2
"""What stands of a log in the page: all of one that is no longer than both, else its beginning and its end."""
COUNTED_BYTES = 2 * 1024**3
"""The most of a log's middle that is read to count its lines, so that those after it keep their numbers."""
MOST_ARTIFACTS = 10_000
"""The most artifacts that the page tells of."""
MOST_PREVIEWS = 200
PREVIEWS_BYTES = 4 * 1024**2
"""The most that all previews together hold."""
PICTURE_BYTES = 512 * 1024
"""The largest picture that is shown."""

_LINE_BYTES = 16_384
"""How far from where the log is cut a line's end is looked for."""


@attrs.frozen
class Recorded:
    """A run that is over, for `page_of`: `folder` has `artifacts/`, and `base` is the relative address of that folder.

    `log` is None where nobody kept it; the caller closes it.
    """

    trace: Trace
    label: str
    folder: Path
    log: Source | None = None
    lifecycle: Lifecycle = TASK_RUN
    base: str = "artifacts/"


def page_of(run: Recorded) -> str:
    """Return the page of a run as one file. It takes a while: call it in a thread.

    Raises: OSError where the log cannot be read.
    """
    artifacts = stored_artifacts(run.trace)
    shown = {name: artifacts[name] for name, _ in zip(artifacts, range(MOST_ARTIFACTS), strict=False)}
    data = {
        "trace": _document(run.trace),
        "summary": _summary(run, shown),
        "label": run.label,
        "log": None if run.log is None else _log(run.log),
        "artifacts": dict(_addresses(run, shown)),
        "previews": dict(_previews(run.folder, shown)),
    }
    return whole_page("run", data, diagram_of(run.lifecycle))


def write_page(run: Recorded, file: Path) -> None:
    """Write the page so that nobody ever sees half of it. Raises: OSError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(page_of(run), encoding="utf-8")
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _document(trace: Trace) -> dict[str, Any]:
    """Return the trace as run.json has it, without the artifacts that are too many."""
    room = MOST_ARTIFACTS
    events = []
    for seq, event in enumerate(trace):
        if event.kind is Kind.ARTIFACT and (room := room - 1) < 0:
            continue
        events.append(event.as_dict(seq))
    return {"version": 1, "started": trace.started.isoformat(), "events": events}


def _summary(run: Recorded, shown: Mapping[str, Artifact]) -> dict[str, Any]:
    summary = ending_of(run.trace, run.lifecycle)
    return summary | {"artifacts": [one for one in summary["artifacts"] if one["name"] in shown]}


def _log(log: Source) -> dict[str, Any]:
    """Return the log packed, the middle of a long one left out between two lines where there are any."""
    size = log.size
    head, tail = size, size
    if size > HEAD_BYTES + TAIL_BYTES:
        head, tail = HEAD_BYTES, size - TAIL_BYTES
        before = log.read(head - _LINE_BYTES, _LINE_BYTES)
        head -= len(before) - 1 - before.rfind(b"\n") if b"\n" in before else 0
        tail += log.read(tail, _LINE_BYTES).find(b"\n") + 1
    packer = zlib.compressobj(wbits=31)
    packed = [
        packer.compress(piece)
        for begin, end in ((0, head), (tail, size))
        for piece in _pieces(log, begin, end)
    ]
    data = base64.b64encode(b"".join([*packed, packer.flush()])).decode()
    omitted = tail - head
    lines = (
        sum(piece.count(b"\n") for piece in _pieces(log, head, tail)) if omitted <= COUNTED_BYTES else None
    )
    return {"data": data, "head": head, "bytes": size, "omitted": omitted, "lines": lines}


def _pieces(log: Source, begin: int, end: int) -> Iterator[bytes]:
    while begin < end and (piece := log.read(begin, min(1_048_576, end - begin))):
        begin += len(piece)
        yield piece


def _addresses(run: Recorded, artifacts: Mapping[str, Artifact]) -> Iterator[tuple[str, str]]:
    """Yield where each artifact is to be found from the page: files beside it, or on the web."""
    for name, artifact in artifacts.items():
        target = artifact
        if artifact.storage == "link" and (linked := artifacts.get(artifact.target or "")) is not None:
            target = linked
        elif artifact.storage == "redirect":
            target = artifact_in(run.folder, artifact.url or "", artifacts) or artifact
        if target.storage == "object" and _is_there(run.folder, target.name):
            yield name, run.base + quote(target.name)
        elif urlsplit(target.url or "").scheme in ("http", "https"):
            yield name, str(target.url)


def _is_there(folder: Path, name: str) -> bool:
    try:
        artifact_file(folder, name)
    except (OSError, ValueError):
        return False
    return True


def _previews(folder: Path, artifacts: Mapping[str, Artifact]) -> Iterator[tuple[str, dict[str, Any]]]:
    room, count = PREVIEWS_BYTES, 0
    for name, artifact in artifacts.items():
        if room <= 0 or count >= MOST_PREVIEWS:
            return
        if artifact.storage == "object":
            preview = _preview(folder, artifact, room)
            if "none" not in preview:
                count += 1
                room -= sum(len(value) for value in preview.values() if isinstance(value, str))
            yield name, preview


def _preview(folder: Path, artifact: Artifact, room: int) -> dict[str, Any]:
    """Return the preview of a file, or why there is none."""
    kind = kind_of(artifact.content_type)
    most = min(PICTURE_BYTES if kind == "picture" else PREVIEW_BYTES, room)
    try:
        with open(open_artifact(folder, artifact.name), "rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError):
        return {"none": "gone"}
    if artifact.content_encoding == "gzip":
        data = _unpacked(data, most + 1)
    if kind == "text" or (kind == "other" and is_text(data)):
        return {"text": data[:most].decode("utf-8", "replace"), "cut": len(data) > most}
    if kind == "other":
        return {"none": "binary"}
    if len(data) > most:
        return {"none": "large"}
    return {"image": f"data:{bare(artifact.content_type)};base64,{base64.b64encode(data).decode()}"}


def _unpacked(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, most)
    except zlib.error:
        return b""
