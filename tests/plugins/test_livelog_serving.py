"""A log over HTTP: replayed, followed, resumed, and never at the cost of whoever writes it."""

import asyncio
import itertools
import json
import re
import socket
import ssl
import subprocess

import pytest
from aiohttp import ClientPayloadError
from hypothesis import given
from hypothesis import strategies as st

from stagecall.lifecycle.errors import LifecycleError
from stagecall.plugins.livelog import sending
from stagecall.plugins.livelog.events import TextEvents
from stagecall.plugins.livelog.ranges import LIVE_END, Part, UnsatisfiableError, requested

from .livelog_support import (
    BOUND,
    TEXT_HEADERS,
    GrowingLog,
    Reading,
    connected,
    port_of,
    served,
    server_context,
)

HOSTILE = b"<script>alert(1)</script>\xff\xfe\x00\r\n\x1b[31mred\n\xe2\x82"
BIG = bytes(range(256)) * 8192
"""More than any piece or buffer on the way but the socket's."""


@pytest.fixture
def new_log(tmp_path):
    """`new_log(text, ended=False)` is a log for one test."""
    made: list[GrowingLog] = []

    def new(text=b"", ended=False):
        made.append(GrowingLog(tmp_path / f"log-{len(made)}", text, ended))
        return made[-1]

    yield new
    for log in made:
        log.close()


@pytest.mark.parametrize("ended", [True, False])
async def test_headers_are_exactly_those_that_clients_know(new_log, ended):
    """Each header of the protocol is there, and nothing that could make markup of a log."""
    log = new_log(HOSTILE, ended)

    async with served(log) as session, session.get("/") as response:
        headers = {name: response.headers.get(name) for name in TEXT_HEADERS}
        framing = response.headers.get("Content-Length"), response.headers.get("Transfer-Encoding")
        log.end()
        body = await response.read()

    assert (response.status, body, headers) == (200, HOSTILE, TEXT_HEADERS)
    assert framing == ((str(len(HOSTILE)), None) if ended else (None, "chunked"))


async def test_reader_sees_a_line_while_more_is_to_come(new_log):
    """What is written arrives before the next is written, and the end with the log's."""
    log = new_log()

    async with served(log) as session, session.get("/") as response:
        for line in (b"one\n", b"\xffno UTF-8\x00\n", b"three\n"):
            log.write(line)
            assert await asyncio.wait_for(response.content.readexactly(len(line)), BOUND) == line
        assert not response.content.at_eof()
        log.end()
        assert await response.read() == b""


async def test_what_lies_on_disk_is_not_copied(new_log, monkeypatch):
    """It goes from file to socket: a reader far behind costs the worker no memory."""
    log = new_log(BIG)
    copied: list[int] = []
    monkeypatch.setattr(Reading, "read", lambda self, offset, count: copied.append(count))

    async with served(log) as session, session.get("/") as response:
        begin = await response.content.readexactly(len(BIG))
        log.end()

    assert begin == BIG
    assert copied == []


@pytest.mark.parametrize("tls", [False, True])
async def test_large_log_arrives_unchanged(new_log, tmp_path, tls):
    """A log is replayed whole, also what came while it was, from file to socket or through TLS."""
    log = new_log(BIG)
    context = server_context(tmp_path) if tls else None

    async with served(log, context) as session, session.get("/", ssl=False) as response:
        begin = await response.content.readexactly(100)
        log.write(BIG)
        log.write(HOSTILE)
        log.end()
        body = begin + await response.read()

    assert body == BIG + BIG + HOSTILE


async def test_loop_without_sendfile_copies(new_log, monkeypatch):
    """A loop that cannot send files serves the same, in one answer and over one connection."""

    async def refuse(*arguments, **options):
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sendfile", refuse)

    async with served(new_log(BIG, ended=True)) as session:
        async with session.get("/") as response:
            whole = await response.read()
        async with session.get("/", headers={"Range": "bytes=7-"}) as response:
            rest = await response.read()

    assert (whole, rest) == (BIG, BIG[7:])


async def test_head_tells_the_length_and_never_lies(new_log):
    """A log that grows has no Content-Length, as no GET would have that many bytes; what it has so far is told."""
    log = new_log(b"12345")

    async with served(log) as session:
        async with session.head("/") as response:
            growing = dict(response.headers)
        log.end()
        async with session.head("/") as response:
            ended = dict(response.headers)

    assert growing.items() >= TEXT_HEADERS.items()
    assert (growing["X-Log-Bytes"], growing.get("Content-Length")) == ("5", None)
    assert (ended["X-Log-Bytes"], ended["Content-Length"]) == ("5", "5")


async def test_connection_is_used_again(new_log):
    """Whatever was asked, the next request on the same connection gets its own answer."""
    log = new_log(BIG, ended=True)
    head = "{} HTTP/1.1\r\nHost: x\r\n{}\r\n"
    requests = [
        ("HEAD /", ""),
        ("GET /", ""),
        ("POST /", "Content-Length: 0\r\n"),
        ("GET /events", "Last-Event-ID: end\r\n"),
        ("GET /", f"Range: bytes={len(BIG) - 1}-\r\nConnection: close\r\n"),
    ]

    async with served(log) as session:
        reader, writer = await connected(session, "".join(head.format(*one) for one in requests))
        text = await asyncio.wait_for(reader.read(), BOUND)
        writer.close()

    assert re.findall(rb"HTTP/1\.1 (\d+)", text) == [b"200", b"200", b"405", b"204", b"206"]
    assert text.count(BIG) == 1
    assert text.endswith(b"\r\n\r\n\xff")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/events"])
async def test_other_methods_are_refused(new_log, method, path):
    """Everything but GET and HEAD gets 405, and is told what would do."""
    log = new_log(b"text", ended=True)

    async with served(log) as session, session.request(method, path) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert log.opened == 0


@pytest.mark.parametrize("path", ["/other", "/events/", "/log", "/index.html"])
async def test_other_paths_are_unknown(new_log, path):
    """There are two addresses below a hook."""
    async with served(new_log(b"text", ended=True)) as session, session.get(path) as response:
        assert response.status == 404


async def test_log_below_another_root(new_log):
    """A page serves the log where it wants."""
    log = new_log(b"text", ended=True)

    async with served(log, root="/runs/1/log") as session:
        found = {}
        for path in ("/", "/events", "/runs/1/log", "/runs/1/log/events"):
            async with session.get(path) as response:
                found[path] = response.status

    assert found == {"/": 404, "/events": 404, "/runs/1/log": 200, "/runs/1/log/events": 200}


async def test_log_that_is_gone():
    """A log that was disposed with its run is gone for good."""

    def gone():
        raise LifecycleError("disposed")

    async with served(gone) as session, session.get("/") as response:
        assert response.status == 410


@given(text=st.binary(max_size=40), offset=st.integers(0, 45), ended=st.booleans())
def test_part_from_any_offset(text, offset, ended):
    """`bytes=N-` is the rest; behind the end there is nothing, at the end of what grows there will be."""
    size = len(text)
    if offset > size or (ended and offset == size):
        with pytest.raises(UnsatisfiableError):
            requested(f"bytes={offset}-", size, ended)
    else:
        assert requested(f"bytes={offset}-", size, ended) == Part(offset, size if ended else None)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=-", "bytes=5-3", "bytes=a-", "bytes=1-2,4-", "lines=1-", "bytes", "", "bytes=--1", "bytes=\uff11-"
    ],
)  # fmt: skip
def test_ranges_that_nobody_understands_mean_everything(header):
    """RFC 9110: what is not understood is ignored."""
    assert requested(header, 10, ended=True) is None


@pytest.mark.parametrize(
    ("header", "ended", "part"),
    [
        ("bytes=2-4", True, Part(2, 5)),
        ("bytes=2-4", False, Part(2, 5)),
        ("BYTES=2-400", False, Part(2, 10)),
        ("bytes=-3", True, Part(7, 10)),
        ("bytes=-300", False, Part(0, None)),
        (f"bytes=2-{LIVE_END}", False, Part(2, None)),
        (f"bytes=2-{'9' * 5000}", True, Part(2, 10)),
        ("bytes=0002-0002", True, Part(2, 3)),
        ("bytes=10-12", False, None),
        ("bytes=-0", False, None),
        (f"bytes={'9' * 5000}-", False, None),
    ],
)
def test_other_ranges(header, ended, part):
    """A part with an end is what is there now; a very large one, or none, follows the log."""
    try:
        found = requested(header, 10, ended)
    except UnsatisfiableError:
        found = None

    assert found == part


async def test_log_is_resumed_at_every_offset(new_log):
    """Wherever a reader was cut off, the rest follows, byte for byte, and what comes then."""
    text = HOSTILE + b"the end\n"
    log = new_log(text)

    async with served(log) as session:
        responses = [
            await session.get("/", headers={"Range": f"bytes={offset}-"}) for offset in range(len(text) + 2)
        ]
        log.write(b"more\n")
        log.end()
        bodies = [await response.read() for response in responses]

    *resumed, beyond = zip(responses, bodies, strict=True)
    assert [(one.status, one.headers["Content-Range"], body) for one, body in resumed] == [
        (206, f"bytes {offset}-{LIVE_END}/*", (text + b"more\n")[offset:]) for offset in range(len(text) + 1)
    ]
    assert (beyond[0].status, beyond[0].headers["Content-Range"]) == (416, f"bytes */{len(text)}")


async def test_part_of_a_log_that_has_ended_has_a_length(new_log):
    """Then everything is known, and 416 says that a reader has all of it."""
    log = new_log(b"0123456789", ended=True)

    async with served(log) as session:
        async with session.get("/", headers={"Range": "bytes=4-"}) as response:
            part = response.status, response.headers["Content-Range"], response.headers["Content-Length"]
            body = await response.read()
        async with session.get("/", headers={"Range": "bytes=10-"}) as response:
            end = response.status, response.headers["Content-Range"], await response.read()
        async with session.get("/", headers={"Range": "bytes=4-", "If-Range": '"tag"'}) as response:
            whole = response.status, await response.read()

    assert (part, body) == ((206, "bytes 4-9/10", "6"), b"456789")
    assert end == (416, "bytes */10", b"")
    assert whole == (200, b"0123456789")


async def test_curl_resumes(new_log, need, tmp_path):
    """A common program continues what it has with its usual option."""
    have = tmp_path / "have"
    have.write_bytes(BIG[:1000])

    async with served(new_log(BIG, ended=True)) as session:
        command = [need("curl"), "-sS", "-C", "-", "-o", have, f"http://127.0.0.1:{port_of(session)}/"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=BOUND)

    assert have.read_bytes() == BIG


async def test_old_clients_get_the_log_until_the_connection_closes(new_log):
    """HTTP/1.0 knows no chunks."""
    log = new_log(BIG)

    async with served(log) as session:
        reader, writer = await connected(session, "GET / HTTP/1.0\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), BOUND)
        log.write(b"end")
        log.end()
        body = await asyncio.wait_for(reader.read(), BOUND)
        writer.close()

    assert b"chunked" not in head
    assert body == BIG + b"end"


async def events_of(response):
    """Return the events of an answer as (id, event, data)."""
    events = []
    async for line in response.content:
        if line == b"\n":
            continue
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            events.append([value, "message", None])
        elif name == "event":
            events[-1][1] = value
        elif name == "data":
            events[-1][2] = json.loads(value)
    return [tuple(event) for event in events]


async def test_events_tell_text_and_where_it_ends(new_log):
    """Pages get the log as text, with the offset behind it, and are told of the end."""
    log = new_log("one\n€uro \xff".encode() + b"\xff\xe2\x82")

    async with served(log) as session, session.get("/events") as response:
        headers = {name: response.headers[name] for name in ("Content-Type", "Access-Control-Allow-Origin")}
        first = await response.content.readuntil(b"\n\n")
        log.write(b"\xac!")
        second = await response.content.readuntil(b"\n\n")
        log.end()
        rest = await events_of(response)

    assert headers == {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Access-Control-Allow-Origin": "*",
    }
    assert first.decode() == 'id: 14\ndata: "one\\n€uro ÿ\ufffd"\n\n'
    assert second.decode() == 'id: 18\ndata: "€!"\n\n'
    assert rest == [("end", "end", {"bytes": 18})]


@given(text=st.binary(max_size=60) | st.text(max_size=30).map(str.encode), data=st.data())
def test_events_resume_at_every_offset(text, data):
    """However the log comes in pieces, and wherever a page goes on, the text is the log's."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    events, told = TextEvents(0), [(0, "")]
    for begin, end in itertools.pairwise(cuts):
        if event := events.feed(text[begin:end]):
            told.append((int(event.split(b"\n")[0][4:]), told[-1][1] + _text(event)))

    seen = {
        at: before + _text(TextEvents(at).feed(text[at:]), TextEvents(at), text[at:]) for at, before in told
    }

    assert set(seen.values()) <= {text.decode(errors="replace")}
    assert told[-1][1] + _text(events.end()) == text.decode(errors="replace")


def _text(event, again=None, rest=b""):
    """Return the text of an event's bytes; of a whole rest, with what its end brings."""
    if again is not None:
        return _text(again.feed(rest)) + _text(again.end())
    pieces = [line[6:] for line in event.split(b"\n") if line.startswith(b'data: "')]
    return "".join(json.loads(piece) for piece in pieces)


@pytest.mark.parametrize("by", ["header", "query"])
async def test_events_go_on_where_a_page_was(new_log, by):
    """Last-Event-ID, which browsers send by themselves, and `?from=` name the offset; the header counts."""
    log = new_log(b"0123456789", ended=True)
    headers = {"Last-Event-ID": "4"} if by == "header" else {}

    async with (
        served(log) as session,
        session.get(f"/events?from={4 if by == 'query' else 9}", headers=headers) as response,
    ):
        events = await events_of(response)

    assert events == [("10", "message", "456789"), ("end", "end", {"bytes": 10})]


@pytest.mark.parametrize(
    ("last", "status"), [("x", 400), ("-1", 400), ("9" * 50, 400), ("11", 416), ("end", 204)]
)
async def test_events_from_nowhere(new_log, last, status):
    """What is no offset of the log is refused; who has the end is not sent it again."""
    async with (
        served(new_log(b"0123456789", ended=True)) as session,
        session.get("/events", headers={"Last-Event-ID": last}) as response,
    ):
        assert response.status == status


async def test_silent_log_shows_signs_of_life(new_log, monkeypatch):
    """Proxies close what says nothing, so events say something."""
    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.01)
    log = new_log()

    async with served(log) as session, session.get("/events") as response:
        line = await asyncio.wait_for(response.content.readuntil(b"\n\n"), BOUND)
        log.end()

    assert line == b": still here\n\n"


@pytest.mark.parametrize("path", ["/", "/events"])
async def test_reader_who_left_is_noticed_although_nothing_is_written(new_log, monkeypatch, path):
    """Nothing is kept for a reader who closed the connection to a silent log."""
    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.01)
    log = new_log(b"text\n")

    async with served(log) as session:
        response = await session.get(path)
        response.close()
        await asyncio.wait_for(log.closed.wait(), BOUND)

    assert (log.opened, log.waiting) == (0, 0)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("path", ["/", "/events"])
async def test_reader_who_takes_nothing_is_dropped(new_log, tmp_path, path, tls):
    """A reader must take something in the time it has; then the connection is cut, not ended."""
    log = new_log(BIG * 8, ended=True)
    context = server_context(tmp_path) if tls else None
    reasons: asyncio.Queue[str] = asyncio.Queue()
    trusting = ssl._create_unverified_context() if tls else None

    async with served(log, context, patience=0.2, dropped=reasons.put_nowait) as session:
        _, writer = await connected(session, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n", limit=1, ssl=trusting)
        reason = await asyncio.wait_for(reasons.get(), BOUND)
        writer.transport.abort()

    assert reason == "took too little for 0.2 s"
    assert log.opened == 0


async def test_slow_reader_is_not_dropped(new_log):
    """Who reads a little now and then takes longer than the patience in all, and gets everything."""
    log = new_log(BIG * 2, ended=True)
    patience = 1.0
    size, taken = 2 * len(BIG), 0
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()

        async with served(log, patience=patience) as session, asyncio.timeout(BOUND):
            await loop.sock_connect(reader, ("127.0.0.1", port_of(session)))
            await loop.sock_sendall(reader, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            start = loop.time()
            while taken < size:
                taken += len(await loop.sock_recv(reader, 131_072))
                await asyncio.sleep(2 * patience * 131_072 / size)  # as a slow line would

    assert loop.time() - start > patience


async def test_log_that_is_cut_short_breaks_the_answer(new_log):
    """A reader must not take a part for the whole."""
    log = new_log(BIG, ended=True)
    log.size += 1000
    reasons: list[str] = []

    async with served(log, dropped=reasons.append) as session, session.get("/") as response:
        with pytest.raises(ClientPayloadError):
            await response.read()

    assert reasons == ["could not be served: the log was cut short by somebody else"]


async def test_writer_waits_for_no_reader(new_log):
    """However many readers take nothing, the log grows, and who reads gets it."""
    log = new_log(BIG)

    async with served(log) as session:
        stuck = [await connected(session, limit=1) for _ in range(20)]
        async with session.get("/") as response:
            await response.content.readexactly(len(BIG))
            log.write(b"line\n")
            line = await asyncio.wait_for(response.content.readexactly(5), BOUND)
        log.end()
        for _, writer in stuck:
            writer.transport.abort()

    assert line == b"line\n"
