"""Artifacts for browsers. What a task made is hostile: none of it is ever a page, a script or a drawing that runs.

Text of every kind, HTML and SVG too, goes out as `text/plain`; pictures made of points as what they are; everything
else is a download. All of it in a sandbox, with types that a browser may not guess again.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit

from aiohttp import web

from ...lifecycle.errors import NonFatalInternalError
from .kinds import PREVIEW_BYTES, bare, kind_of
from .policy import DATA

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...lifecycle.surroundings import Artifact
    from .runs import Subject

PATIENCE = 60.0
"""Seconds in which a reader must take what it was sent."""
MOST_HOPS = 8
"""The most links that are followed from one artifact to the next."""


def headers_of(artifact: Artifact) -> dict[str, str]:
    """Return the headers with which an artifact may be shown to a browser."""
    kind = kind_of(artifact.content_type)
    last = quote(artifact.name.rpartition("/")[2], safe="")
    types = {
        "text": "text/plain; charset=utf-8",
        "picture": bare(artifact.content_type),
        "other": "application/octet-stream",
    }
    shown = "attachment" if kind == "other" else "inline"
    return {
        **DATA,
        "Content-Type": types[kind],
        "Content-Disposition": f"{shown}; filename*=UTF-8''{last}",
    }


async def serve_artifact(request: web.Request, subject: Subject, name: str) -> web.StreamResponse:
    """Answer a request for an artifact."""
    artifact = await _followed(subject, name)
    if artifact is None:
        return _refusal(404, "The run has no such artifact.")
    if artifact.storage == "redirect":
        return _redirect(artifact)
    if artifact.storage != "object":
        return _refusal(404, f"There is no content: {artifact.reason}: {artifact.message or ''}")
    try:
        async with aclosing(
            cast("AsyncGenerator[bytes, None]", subject.content(artifact.name, 0))
        ) as content:
            if "preview" in request.query:
                return await _preview(artifact, content)
            return await _whole(request, artifact, content)
    except FileNotFoundError as error:
        return _refusal(404, f"The artifact is gone: {error}")
    except NonFatalInternalError as error:
        return _refusal(502, f"The artifact cannot be read: {error}")


async def beginning(artifact: Artifact, content: AsyncIterator[bytes], most: int) -> bytes:
    """Return the first `most` bytes of an artifact, unpacked where it is stored packed."""
    data = bytearray()
    async for piece in _plain(artifact, content):
        data += piece[: most - len(data)]
        if len(data) >= most:
            break
    return bytes(data)


async def _followed(subject: Subject, name: str) -> Artifact | None:
    """Return the artifact that a name stands for, at the end of its links."""
    for _ in range(MOST_HOPS):
        artifact = await subject.artifact(name)
        if artifact is None or artifact.storage not in ("link", "redirect"):
            return artifact
        if artifact.storage == "redirect":
            at_home = (artifact.url or "").startswith("file:")  # nothing that a browser may go to
            return (await subject.artifact_at(artifact.url or "") if at_home else None) or artifact
        name = artifact.target or ""
    return None


def _redirect(artifact: Artifact) -> web.Response:
    url = artifact.url or ""
    if urlsplit(url).scheme not in ("http", "https") or re.search(r"[\x00-\x20\x7f-\U0010ffff]", url):
        return _refusal(404, "The artifact leads to no web address.")
    return web.Response(status=302, headers={**DATA, "Location": url})


async def _preview(artifact: Artifact, content: AsyncIterator[bytes]) -> web.Response:
    data = await beginning(artifact, content, PREVIEW_BYTES)
    return web.Response(body=data, headers={**DATA, "Content-Type": "text/plain; charset=utf-8"})


async def _whole(
    request: web.Request, artifact: Artifact, content: AsyncIterator[bytes]
) -> web.StreamResponse:
    headers = headers_of(artifact)
    packed = artifact.content_encoding
    if packed == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
        content, packed = _plain(artifact, content), None
    elif artifact.bytes is not None:
        headers["Content-Length"] = str(artifact.bytes)
    if packed is not None:
        headers |= {"Content-Encoding": packed, "Vary": "Accept-Encoding"}
    first = await anext(content, b"")  # an error is an answer only as long as nothing was sent
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method == "GET":
        await _send(request, response, first, content)
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, first: bytes, content: AsyncIterator[bytes]
) -> None:
    """Send everything, or close the connection in the middle so that nobody takes it for all there is."""
    piece: bytes | None = first
    try:
        while piece:
            async with asyncio.timeout(PATIENCE):
                await response.write(piece)
            piece = await anext(content, None)
    except (TimeoutError, OSError, NonFatalInternalError, zlib.error):
        if request.transport is not None:
            request.transport.abort()


async def _plain(artifact: Artifact, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield content unpacked, in pieces of bounded size whatever it unpacks to."""
    if artifact.content_encoding != "gzip":
        async for piece in content:
            yield piece
        return
    unpacker = zlib.decompressobj(wbits=31)
    async for piece in content:
        while piece:
            try:
                yield unpacker.decompress(piece, PREVIEW_BYTES)
            except zlib.error:
                return  # what came until here is all that can be shown
            piece = unpacker.unconsumed_tail
            await asyncio.sleep(0)


def _refusal(status: int, text: str, headers: Mapping[str, str] = DATA) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)
