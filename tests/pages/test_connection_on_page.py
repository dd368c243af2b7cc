"""The line to the worker: a page says when it is gone, comes back by itself, and tells what it cannot show."""

import re

from playwright.async_api import expect

LOST = "Connection lost; what is shown may be old. Trying again"


async def test_page_that_lost_the_worker_says_so_and_catches_up(site, page, troubles):
    """While the line is down the page says that it may be old; back again it has everything, and nothing twice."""
    run = await site.begin()
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("running")
    line = page.locator("#connection")

    await page.context.set_offline(True)
    await page.evaluate("stagecall.runPage.source.stream.source.dispatchEvent(new Event('error'))")
    await expect(line).to_contain_text(LOST)
    await run.artifact("public/meanwhile.txt", b"x")
    await run.finish()
    await page.context.set_offline(False)

    await expect(page.locator("#state")).to_have_text("✓completed")
    await expect(page.locator("#artifacts .files > li")).to_have_count(2)
    heard = await page.evaluate("stagecall.runPage.history.version")
    assert heard == len(run.run.trace)
    troubles.clear()  # the browser notes each try that failed


async def test_clock_stands_while_the_worker_cannot_be_heard(site, page, troubles):
    """Time that nobody told of is not made up."""
    run = await site.begin()
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("running")

    await page.context.set_offline(True)
    await page.evaluate("stagecall.runPage.source.stream.source.dispatchEvent(new Event('error'))")
    await expect(page.locator("#connection")).to_contain_text(LOST)

    runs = await page.evaluate("stagecall.runPage.clock.runs")
    assert runs is False
    assert await page.locator("#timeline .bar.open").count() == 1
    troubles.clear()


async def test_worker_that_answers_again_is_asked_at_once_on_request(site, page, troubles):
    """Nobody has to wait for the next try: there is a button, and it leads back."""
    run = await site.begin()
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("running")
    await page.route("**/events", lambda route: route.abort())
    await page.evaluate(
        """const stream = stagecall.runPage.source.stream;
           stream.attempt = 5; stream.source.dispatchEvent(new Event("error"))"""
    )
    again = page.get_by_role("button", name="Try now")
    await expect(again).to_be_visible()

    await page.unroute("**/events")
    await again.click()

    await expect(page.locator("#connection")).to_contain_text("Connected again")
    troubles.clear()


async def test_run_that_is_not_known_any_more_is_said(site, page, troubles):
    """A page whose run the worker has forgotten says that instead of trying for ever."""
    run = await site.begin()
    await page.route("**/events", lambda route: route.fulfill(status=404, body="no such run"))

    await page.goto(run.url)

    await expect(page.locator("#state")).to_have_text("?not found")
    await expect(page.locator("#summary")).to_contain_text("No run is known at this address")
    assert await page.evaluate("stagecall.runPage.source.stream.over") is True
    troubles.clear()


async def test_page_opened_before_the_run_begins_waits_for_it(site, page):
    """There is nothing to show yet, and the page says so; once the run begins it follows."""
    run = await site.begin(driven=False)
    await page.goto(run.url)

    await expect(page.locator("#state")).to_have_text("pending")
    await expect(page.locator("#summary")).to_have_text("Waiting for the first event.")
    run.drive()

    await expect(page.locator("#state")).to_have_text("running")
    await expect(page.locator("#diagram .current")).to_have_attribute("data-name", "waiting")


async def test_index_says_when_it_may_be_old(site, page, troubles):
    """The list of runs tells of a lost line too, and comes back by itself."""
    await page.goto(site.url)
    await expect(page.locator("#none")).to_have_text("No runs yet. They appear here as they begin.")

    broken = re.compile(".*/runs/events")
    await page.route(broken, lambda route: route.abort())
    await page.evaluate("stagecall.indexPage.stream.source.dispatchEvent(new Event('error'))")
    await expect(page.locator("#connection")).to_contain_text(LOST)
    await page.unroute(broken)
    await site.begin("the one that began meanwhile")

    await expect(page.locator("#rows a")).to_have_text("the one that began meanwhile")
    troubles.clear()
