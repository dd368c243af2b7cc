"""What the pages answer: documents, data, artifacts, and the policies that come with them."""

import asyncio
import gzip
import json
import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from stagecall.worker.pages import recorded, streams
from stagecall.worker.pages.recorded import RecordedRun
from stagecall.worker.pages.runs import stored_artifacts

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def get(url, **options):
    """The status, headers and body of an answer."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status, response.headers, await response.read()


async def events(url, until, **options):
    """The events of a stream, as (name, id, data), up to the first that `until` says is enough."""
    told = []
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        assert response.status == 200, await response.text()
        fields = {}
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line != b"\n":
                fields[name] = value
                continue
            if "data" in fields:
                told.append((fields.get("event", "message"), fields.get("id"), json.loads(fields["data"])))
                if until(told[-1]):
                    return told
            fields = {}
    return told


async def test_page_of_a_run_has_the_policy_and_the_diagram(site):
    """A page names its scripts, which are there, has a card for each stage, and a policy that lets nothing else in."""
    run = await site.begin()

    status, headers, body = await get(run.url)

    assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert b'data-stage="waiting"' in body
    assert b"<!--stagecall" not in body


async def test_events_tell_the_trace_and_then_the_end(site):
    """Every event of the trace is told as run.json has it, its place as the id, and the summary comes last."""
    run = await site.begin()
    await run.finish()

    told = await events(f"{run.url}events", lambda event: event[0] == "end")

    document = run.run.trace.to_document()
    assert [data for name, _, data in told if name == "message"] == json.loads(json.dumps(document["events"]))
    assert [id for name, id, _ in told if name == "message"] == [str(n) for n in range(len(run.run.trace))]
    assert (told[0][0], told[0][2]["label"]) == ("run", "build")
    assert (told[-1][1], told[-1][2]["resolution"]) == ("end", "completed")
    assert told[-1][2]["explanation"][0].startswith("Run 0 of task")


@pytest.mark.parametrize(("last", "first"), [("4", 5), ("-1", 0), ("x", 0), ("99999", None)])
async def test_events_resume_where_the_listener_stopped(site, last, first):
    """A listener who comes back is told what follows the last event that it has seen."""
    run = await site.begin()
    await run.finish()

    told = await events(f"{run.url}events", lambda event: event[0] == "end", headers={"Last-Event-ID": last})

    assert next((data["seq"] for name, _, data in told if name == "message"), None) == first


async def test_listener_that_has_everything_is_told_not_to_come_back(site):
    """Who has seen the end gets 204, upon which browsers stay away."""
    run = await site.begin()
    await run.finish()

    status, _, _ = await get(f"{run.url}events", headers={"Last-Event-ID": "end"})

    assert status == 204


async def test_index_lists_runs_and_tells_of_changes(site):
    """A listener of the index is told every run, and then what becomes of them."""
    first, second = await site.begin("one"), await site.begin("two")
    await first.finish()
    await second.reach("waiting")

    status, _, body = await get(f"{site.url}runs.json")
    listed = await events(f"{site.url}runs/events", lambda event: event[2]["label"] == "two")

    assert status == 200
    assert {run["label"]: (run["state"], run["stage"]) for run in json.loads(body)} == {
        "one": ("completed", "dispose"),
        "two": ("running", "waiting"),
    }
    assert [name for name, _, _ in listed] == ["run"] * len(listed)


async def test_log_is_served_while_it_grows_and_after(site):
    """The log is at `log`, also when the run is over and has removed its file."""
    run = await site.begin()
    run.log("first\nsecond\n")
    await run.finish()

    status, headers, body = await get(f"{run.url}log", headers={"Range": "bytes=6-"})

    assert (status, body[:7]) == (206, b"second\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("stored", "served", "shown"),
    [
        ("text/html", "text/plain; charset=utf-8", "inline"),
        ("image/svg+xml", "text/plain; charset=utf-8", "inline"),
        ("application/xhtml+xml", "text/plain; charset=utf-8", "inline"),
        ("text/javascript", "text/plain; charset=utf-8", "inline"),
        ("image/png", "image/png", "inline"),
        ("application/pdf", "application/octet-stream", "attachment"),
        ("application/octet-stream", "application/octet-stream", "attachment"),
        ("multipart/x-mixed-replace; boundary=x", "application/octet-stream", "attachment"),
    ],
)
async def test_artifacts_never_are_pages(site, stored, served, shown):
    """Whatever an artifact says it is, a browser gets text, a picture made of points, or a download, in a sandbox."""
    run = await site.begin()
    await run.artifact("public/it", b"<script>alert(1)</script>", stored)

    status, headers, body = await get(f"{run.url}artifacts/public/it")

    assert (status, body) == (200, b"<script>alert(1)</script>")
    assert headers["Content-Type"] == served
    assert headers["Content-Disposition"].partition(";")[0] == shown
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_artifacts_lead_on_within_the_run_and_to_the_web(site):
    """A link, and a redirect to the file of another artifact, give its content; a redirect to the web leads there."""
    run = await site.begin()
    context = run.run.context
    stored = await run.artifact("public/logs/backing", b"the log")
    await context.create_link_artifact("link", target="public/logs/backing", content_type="text/plain")
    address = Path(stored.path).as_uri()
    await context.create_redirect_artifact("live", url=address, content_type="text/plain")
    await context.create_redirect_artifact("web", url="https://ci.example.org/", content_type="text/plain")
    await context.create_redirect_artifact("script", url="javascript:alert(1)", content_type="text/plain")
    await context.create_redirect_artifact("passwd", url="file:///etc/passwd", content_type="text/plain")
    await context.create_error_artifact("missing", reason="file-missing-on-worker", message="no such file")

    answers = {
        name: await get(f"{run.url}artifacts/{name}", allow_redirects=False)
        for name in ("link", "live", "web", "script", "passwd", "missing", "nothing", "../../../etc/passwd")
    }

    assert {name: status for name, (status, _, _) in answers.items()} == {
        "link": 200,
        "live": 200,
        "web": 302,
        "script": 404,
        "passwd": 404,
        "missing": 404,
        "nothing": 404,
        "../../../etc/passwd": 404,
    }
    assert (answers["link"][2], answers["live"][2]) == (b"the log", b"the log")
    assert answers["web"][1]["Location"] == "https://ci.example.org/"
    assert b"file-missing-on-worker: no such file" in answers["missing"][2]


async def test_redirect_is_followed_without_a_look_at_every_artifact(site, monkeypatch):
    """A run may have hundreds of thousands of artifacts: which one an address is of is not found by asking them all."""
    run = await site.begin()
    asked: list[str] = []
    for number in range(200):
        await run.run.context.create_error_artifact(
            f"public/{number}", reason="file-missing-on-worker", message=""
        )
    stored = await run.artifact("public/logs/a b%", b"the log")
    address = Path(stored.path).as_uri()
    await run.run.context.create_redirect_artifact("live", url=address, content_type="text/plain")
    url = run.subject.store.url

    def counted(task, name):
        asked.append(name)
        return url(task, name)

    monkeypatch.setattr(run.subject.store, "url", counted)

    answer = await get(f"{run.url}artifacts/live")

    assert (answer[0], answer[2], asked) == (200, b"the log", ["public/logs/a b%"])


async def test_recorded_artifacts_are_gathered_once(site, tmp_path, monkeypatch):
    """The artifacts of a recorded run are taken from its trace once, and not on the loop."""
    run = await site.begin()
    await run.artifact("public/a.txt", b"content")
    await run.finish()
    (tmp_path / "earlier/one").mkdir(parents=True)
    document = json.dumps(run.run.trace.to_document()).replace(run.run.info.task_id, "A" * 22)
    (tmp_path / "earlier/one/run.json").write_text(document)
    shutil.copytree(site.folder / "store" / run.run.info.task_id / "0", tmp_path / "earlier/one/artifacts")
    await site.pages.add_recorded(tmp_path / "earlier")
    threads = []

    def gather(trace):
        threads.append(threading.current_thread())
        return stored_artifacts(trace)

    monkeypatch.setattr(recorded, "stored_artifacts", gather)

    answers = [await get(f"{site.url}runs/{'A' * 22}/0/artifacts/public/a.txt") for _ in range(3)]

    assert [(status, content) for status, _, content in answers] == [(200, b"content")] * 3
    assert [thread is threading.main_thread() for thread in threads] == [False]


async def test_trace_is_served_as_the_run_leaves_it(site):
    """`run.json` of a page and of the output folder say the same."""
    run = await site.begin()
    await run.artifact("public/ü.txt", b"content")
    await run.finish()

    answer = json.loads((await get(f"{run.url}run.json"))[2])

    assert answer == json.loads(json.dumps(run.run.trace.to_document()))


async def test_long_story_is_told_beside_others(site):
    """A listener who takes everything at once does not keep the loop: each piece lets others have their turn."""
    turns = 0

    class Taker(web.StreamResponse):
        async def write(self, data):
            pass

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    stream = streams.EventStream(make_mocked_request("GET", "/"))
    stream.response = Taker()
    beside = asyncio.create_task(others())

    await stream.send(streams.message("x" * streams.PIECE_BYTES) for _ in range(50))

    beside.cancel()
    assert turns >= 50


async def test_preview_is_the_beginning_as_text(site):
    """`?preview` gives at most 64 KiB as text/plain, unpacked where the artifact is packed."""
    run = await site.begin()
    await run.artifact("a.html", gzip.compress(b"<p>" * 100_000), "text/html", content_encoding="gzip")

    status, headers, body = await get(f"{run.url}artifacts/a.html?preview")

    assert (status, body) == (200, (b"<p>" * 30_000)[:65_536])
    assert (headers["Content-Type"], headers["X-Content-Type-Options"]) == (
        "text/plain; charset=utf-8",
        "nosniff",
    )


async def test_packed_artifact_is_unpacked_for_who_cannot(site):
    """What is stored packed goes out packed to who takes that, and plain to others."""
    run = await site.begin()
    await run.artifact("a.txt", gzip.compress(b"plain\n" * 1000), content_encoding="gzip")

    _, packed, _ = await get(f"{run.url}artifacts/a.txt", headers={"Accept-Encoding": "gzip"})
    _, plain, body = await get(f"{run.url}artifacts/a.txt", headers={"Accept-Encoding": "identity"})

    assert (packed.get("Content-Encoding"), plain.get("Content-Encoding")) == ("gzip", None)
    assert body == b"plain\n" * 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(site, method):
    """Every other method than GET and HEAD is refused."""
    run = await site.begin()

    async with aiohttp.ClientSession() as session, session.request(method, run.url) as response:
        answer = response.status, response.headers["Allow"]

    assert answer == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["runs/nobody/0/", "runs/x/", "static/nothing.js", "static/run.html", "x", "static/"]
)
async def test_unknown_addresses_are_not_found(site, path):
    """What is not there is 404, templates included."""
    status, headers, _ = await get(f"{site.url}{path}")

    assert (status, headers["X-Content-Type-Options"]) == (404, "nosniff")


async def test_runs_beyond_the_bound_are_let_go(site):
    """Of runs that are over only so many stay in memory: those with a folder are read from there, others forgotten."""
    site.pages._keep_whole = 1
    runs = [await site.begin(f"run-{number}") for number in range(3)]
    folder = site.folder / "kept"
    folder.mkdir()
    runs[0].subject.folder = folder
    runs[0].log("kept\n")
    for run in runs:
        await run.finish()
        (folder / "run.json").write_text(json.dumps(runs[0].run.trace.to_document()))

    answers = [(await get(run.url))[0] for run in runs]
    told = await events(f"{runs[0].url}events", lambda event: event[0] == "end")

    assert answers == [200, 404, 200]
    assert [id for name, id, _ in told if name == "message"][-1] == str(len(runs[0].run.trace) - 1)
    assert isinstance(site.pages.index.get(runs[0].subject.entry.key), RecordedRun)


async def test_listener_that_takes_nothing_is_dropped(site, monkeypatch):
    """Who does not read is cut off after a while, and has held up nobody: the run ended in the meantime."""
    monkeypatch.setattr(streams, "PATIENCE", 0.2)
    dropped = asyncio.Event()
    write = streams.EventStream._write

    async def watched(stream, piece):
        try:
            await write(stream, piece)
        except streams.DroppedError:
            dropped.set()
            raise

    monkeypatch.setattr(streams.EventStream, "_write", watched)
    run = await site.begin()
    await run.reach("waiting")
    address = urlsplit(run.url)
    with socket.create_connection((address.hostname, address.port)) as listener:
        listener.sendall(f"GET {address.path}events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())

        for number in range(200):
            await run.run.context.create_error_artifact(f"{number}", reason="x", message="y" * 100_000)
        await run.finish()
        async with asyncio.timeout(30):
            await dropped.wait()
        listener.settimeout(30)
        taken = 0
        with suppress(ConnectionError):
            while piece := listener.recv(1_048_576):
                taken += len(piece)

    assert taken < 20_000_000
    assert run.run.resolution.state == "completed"


async def test_many_listeners_of_one_run_see_everything(site):
    """A hundred listeners follow the same trace, each to its end."""
    run = await site.begin()
    following = [
        asyncio.create_task(events(f"{run.url}events", lambda event: event[0] == "end")) for _ in range(100)
    ]
    await run.finish()

    told = await asyncio.gather(*following)

    assert {len([1 for name, _, _ in one if name == "message"]) for one in told} == {len(run.run.trace)}


async def test_recorded_runs_are_listed_with_their_logs_and_artifacts(site, tmp_path):
    """What earlier commands left is listed, and shown as a run of this one; what is no run is passed over."""
    run = await site.begin()
    run.log("an old line\n")
    await run.artifact("public/a.txt", b"old content")
    await run.finish()
    earlier = tmp_path / "earlier"
    place = earlier / "some-task"
    place.mkdir(parents=True)
    document = json.dumps(run.run.trace.to_document()).replace(run.run.info.task_id, "AAAAAAAAAAAAAAAAAAAAAA")
    (place / "run.json").write_text(document)
    shutil.copytree(site.folder / "store" / run.run.info.task_id / "0", place / "artifacts")
    for name, text in {
        "broken": "{",
        "strange": '{"version": 1, "started": "2026-01-01T00:00:00Z", "events": []}',
    }.items():
        (earlier / name).mkdir()
        (earlier / name / "run.json").write_text(text)
    (earlier / "fifo").mkdir()
    os.mkfifo(earlier / "fifo" / "run.json")
    (earlier / "way-out").mkdir()
    (earlier / "way-out" / "run.json").symlink_to("/etc/passwd")

    await site.pages.add_recorded(earlier)

    url = f"{site.url}runs/AAAAAAAAAAAAAAAAAAAAAA/0/"
    listed = {entry["label"] for entry in json.loads((await get(f"{site.url}runs.json"))[2])}
    assert listed == {"build", "some-task"}
    assert (await get(url))[0] == 200
    assert (await get(f"{url}log"))[2] == b"an old line\n"
    assert (await get(f"{url}artifacts/public/a.txt"))[2] == b"old content"
    shutil.rmtree(earlier)
    assert (await get(f"{url}artifacts/public/a.txt"))[0] == 404
