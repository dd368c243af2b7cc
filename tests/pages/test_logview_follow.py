"""Reading a log over HTTP: taken up where a connection broke off, and never twice, never with a gap."""

import base64
import random
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _connections_fail_here(open_page, troubles) -> Iterator[None]:
    """What the browser itself says about connections and statuses is expected here."""
    yield
    troubles[:] = [trouble for trouble in troubles if "Failed to load resource" not in trouble]


FOLLOW = """
globalThis.states = [];
globalThis.stop = new AbortController();
globalThis.over = stagecall.followLog("log", view, {
  signal: stop.signal,
  onState: ({ state, offset, retryIn, error }) => states.push([state, offset, retryIn, error && error.message]),
});
let following = true;
over.then(() => (following = false));
const tell = async () => { while (following) { await fetch(`seen/${view.size}`); await frame(); } };
tell();
"""
CONTENT = """
const content = async () => {
  const blob = await new Blob(view.store.parts()).arrayBuffer();
  return btoa(Array.from(new Uint8Array(blob), (byte) => String.fromCharCode(byte)).join(""));
};
"""
LOG = "".join(f"line {number} é\n" for number in range(5000)).encode()


async def followed(log):
    """What followLog came to, and the bytes that the view has."""
    state, content = await log.run(
        f"{FOLLOW}{CONTENT} const state = await over; return [state, await content()];"
    )
    return state, base64.b64decode(content)


async def test_log_is_read_to_its_end(log):
    """A response that ends as it should is the whole log."""
    log.site.log = LOG

    assert await followed(log) == ("ended", LOG)
    assert log.site.asked == [None]
    assert await log.run("return view.store.ended") is True


async def test_dropped_connections_are_taken_up_where_they_broke_off(log):
    """However often the connection drops, each byte comes once: the rest is asked for by Range."""
    log.site.log = LOG
    random.seed(4)
    cuts = sorted(random.sample(range(1, len(LOG)), 6))
    log.site.cuts = list(cuts)

    state, content = await followed(log)
    states = await log.run("return states")

    assert (state, content == LOG) == ("ended", True)
    assert [offset for name, offset, *_ in states if name == "waiting"] == cuts
    assert log.site.asked == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert states[-1] == ["ended", len(LOG), None, None]


async def test_server_without_ranges_is_read_again_from_the_start(log):
    """If the whole log is answered to a request for the rest, what the view has already is skipped."""
    log.site.log = LOG
    log.site.cuts = [1000, 40_000]
    log.site.ranges = False

    assert await followed(log) == ("ended", LOG)


async def test_log_that_ended_while_nobody_was_connected_is_complete(log):
    """When nothing is left behind what the view has, the log has ended."""
    log.site.log = LOG[:1000]
    await log.run("await view.append(fromBase64(x))", base64.b64encode(LOG[:1000]).decode())

    assert await followed(log) == ("ended", LOG[:1000])
    assert log.site.asked == ["bytes=1000-"]


async def test_server_that_is_busy_is_asked_again(log):
    """Errors that pass are tried again after a pause that grows; the view says so meanwhile."""
    log.site.log = LOG
    log.site.statuses = [503, 502]

    assert await followed(log) == ("ended", LOG)

    waits = await log.run("return states.filter(([state]) => state === 'waiting')")
    assert [error for *_, error in waits] == ["503 Service Unavailable", "502 Bad Gateway"]
    assert 0.125 <= waits[0][2] <= 0.25 <= waits[1][2] <= 0.5


async def test_log_that_is_gone_is_not_asked_for_again(log):
    """A final answer is the end, and said below the log."""
    log.site.statuses = [410]

    state, content = await followed(log)
    told = await log.page.locator(".log-footer").inner_text()

    assert (state, content, len(log.site.asked)) == ("failed", b"", 1)
    assert told == "0 lines · 0 B · cannot be read: 410 Gone"


@pytest.mark.parametrize("ranges", [True, False])
async def test_log_that_became_shorter_is_refused(log, ranges):
    """A log with fewer bytes than were read from it is another log: nothing of it is mixed in."""
    log.site.log = b"short"
    log.site.ranges = ranges
    await log.run("await view.append(new Uint8Array(1000))")

    state, _ = await followed(log)

    assert (state, await log.run("return view.size")) == ("failed", 1000)


async def test_following_stops_when_told(log):
    """A signal ends it at once, also while it waits to try again."""
    log.site.statuses = [503] * 100

    state = await log.run(
        f"{FOLLOW} await until(() => states.some(([state]) => state === 'waiting')); stop.abort(); return await over"
    )

    assert state == "stopped"
    assert len(log.site.asked) == 1


async def test_attempts_are_bounded(log):
    """After twelve attempts in a row that brought nothing it gives up and says so; called again, it goes on."""
    log.site.log = LOG
    log.site.statuses = [503] * 12

    state = await log.run(
        f"const wait = setTimeout; globalThis.setTimeout = (then, ms) => wait(then, Math.min(ms, 5)); {FOLLOW}"
        "return await over"
    )

    assert (state, len(log.site.asked)) == ("lost", 12)
    assert await followed(log) == ("ended", LOG)


async def test_lines_are_seen_while_the_task_runs(site, open_page):
    """On the page of a run, a line that the task writes is in sight before it writes the next."""
    run = await site.begin()
    page = await open_page()
    await page.goto(run.url)

    for number in range(5):
        run.log(f"\x1b[32mstep {number}\x1b[0m\n")
        await page.get_by_text(f"step {number}", exact=True).wait_for()
    await run.finish()
    await page.get_by_text("complete").wait_for()
