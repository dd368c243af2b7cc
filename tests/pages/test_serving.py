"""What the pages answer: documents, data, artifacts, and the policies that come with them."""

import json

import aiohttp
import pytest

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
