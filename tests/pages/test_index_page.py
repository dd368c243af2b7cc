"""The index of runs in a real browser: it follows them, and finds those that one looks for."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from stagecall.worker.pages.runs import Entry

from .site_support import listed

ROWS = "#rows tr"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def put(site, number, label, state="completed", reason=None, seconds=61.0):
    """Put a run into the index that never was."""
    entry = Entry(
        f"{number:022}", 0, label, START - timedelta(minutes=number), state, "dispose", reason, seconds
    )
    site.pages.index.put(listed(entry))


async def labels(page):
    """The names of the runs that are shown, from the top."""
    return await page.locator(f"{ROWS} a").all_inner_texts()


def put_some(site):
    """Four runs, one of each state."""
    put(site, 1, "build the site")
    put(site, 2, "integration tests", "failed")
    put(site, 3, "nightly", "exception", "intermittent-task")
    put(site, 4, "build the docs", "unresolved")


async def test_runs_appear_and_change_as_they_happen(site, page):
    """A run is listed once it begins, with its stage while it goes on, and its state when it is over."""
    await page.goto(site.url)
    await expect(page.locator("#none")).to_have_text("No runs yet. They appear here as they begin.")

    run = await site.begin("Build")
    await expect(page.locator(f"{ROWS} .of-stage")).to_have_text("waiting")
    while_it_ran = await page.locator(f"{ROWS} .state").inner_text()
    await run.finish(success=False)

    await expect(page.locator(f"{ROWS} .state")).to_have_text("✕failed")
    assert while_it_ran == "running"
    await expect(page.locator(f"{ROWS} .of-stage")).to_have_text("")


async def test_newest_run_is_first_and_leads_to_its_page(site, page):
    """Runs are listed by when they began, and their names lead to them."""
    put_some(site)
    run = await site.begin("the newest")
    await page.goto(site.url)
    await expect(page.locator(ROWS)).to_have_count(5)

    listed = await labels(page)
    await page.get_by_role("link", name="the newest").click()

    await expect(page.locator("#heading")).to_have_text("the newest")
    assert page.url == run.url
    assert listed == ["the newest", "build the site", "integration tests", "nightly", "build the docs"]
    await page.get_by_role("link", name="Runs").click()
    await expect(page.locator(ROWS)).to_have_count(5)


async def test_rows_tell_state_reason_and_time(site, page):
    """A row says what became of the run, why, and how long it took."""
    put_some(site)
    await page.goto(site.url)
    await expect(page.locator(ROWS)).to_have_count(4)

    states = await page.locator(f"{ROWS} .state .word").all_inner_texts()

    assert states == ["completed", "failed", "exception: intermittent-task", "never resolved"]
    assert set(await page.locator(f"{ROWS} .of-time").all_inner_texts()) == {"1 min 1 s"}


@pytest.mark.parametrize("width", [390, 1280])
async def test_reason_is_never_cut(site, open_page, width):
    """Also on a phone there is room for the longest reason, and the filter is as wide as the page there."""
    put(site, 1, "long", "exception", "resource-unavailable")
    page = await open_page(width=width)
    await page.goto(site.url)

    inner, outer = await page.locator("#rows .word").evaluate(
        "found => [found.scrollWidth, found.clientWidth]"
    )
    box = await page.locator("#filter").bounding_box()

    assert inner == outer
    assert box["width"] == (width - 2 * 14 - 15 if width == 390 else 320)


async def test_filter_finds_by_words_and_by_state(site, page):
    """All words must be in name, task, stage or reason; states are chosen beside; the counts say how many there are."""
    put_some(site)
    await page.goto(site.url)
    await expect(page.locator(ROWS)).to_have_count(4)

    await page.keyboard.press("/")
    await page.keyboard.type("BUILD the")
    await expect(page.locator(ROWS)).to_have_count(2)
    by_words = await labels(page)
    await page.get_by_label("Completed").check()
    await expect(page.locator(ROWS)).to_have_count(1)
    both = await labels(page)
    counts = await page.locator("#states label").all_text_contents()

    assert by_words == ["build the site", "build the docs"]
    assert both == ["build the site"]
    assert counts == ["All2", "Running0", "Completed1", "Failed0", "Exception0"]
    assert page.url.endswith("?q=BUILD+the&state=completed")


async def test_filter_is_in_the_address(site, page):
    """Who opens the address of a filtered list gets that list."""
    put_some(site)

    await page.goto(f"{site.url}?q=intermittent&state=exception")

    await expect(page.locator(ROWS)).to_have_count(1)
    assert await labels(page) == ["nightly"]
    assert await page.locator("#filter").input_value() == "intermittent"


async def test_nothing_found_is_said(site, page):
    """An empty list says why it is empty."""
    put_some(site)
    await page.goto(f"{site.url}?q=unheard-of")

    await expect(page.locator("#none")).to_have_text("No run is like that.")
    assert await page.locator("#count").inner_text() == "0 of 4 runs"


async def test_long_list_is_shown_in_portions(site, page):
    """Of many runs some are drawn, and more when somebody asks; what is filtered for is found among all."""
    for number in range(1000):
        put(site, number, f"run {number}")
    await page.goto(site.url)
    await expect(page.locator("#count")).to_have_text("1,000 runs")

    first = await page.locator(ROWS).count()
    await page.get_by_role("button", name="Show 200 more").click()
    await expect(page.locator(ROWS)).to_have_count(400)
    await page.locator("#filter").fill("run 999")

    await expect(page.locator(ROWS)).to_have_count(1)
    assert first == 200


async def test_arrow_keys_walk_from_the_filter_through_the_runs(site, page):
    """Without a mouse one goes down from the filter into the list, and back up."""
    put_some(site)
    await page.goto(site.url)
    await expect(page.locator(ROWS)).to_have_count(4)
    await page.locator("#filter").focus()

    visited = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"):
        await page.keyboard.press(key)
        visited.append(await page.evaluate("document.activeElement.textContent || document.activeElement.id"))

    assert visited == ["build the site", "integration tests", "build the site", "filter"]


async def test_hostile_labels_stay_text(site, page):
    """A name cannot become markup, and cannot turn the line around."""
    put(site, 1, '<img src=x onerror="alert(1)">\u202egpj')

    await page.goto(site.url)

    await expect(page.locator(f"{ROWS} a")).to_have_text('<img src=x onerror="alert(1)">\ufffdgpj')
    assert await page.locator("#rows img").count() == 0
