"""The view of a log in a real browser: what a person does with it."""

LINES = "".join(f"line {number} of the log\n" for number in range(1, 1001))


async def test_rows_in_sight_are_drawn_and_no_others(log):
    """A log of a thousand lines follows its end, and no more rows are in the document than a window needs."""
    await log.show(LINES)

    numbers = await log.numbers()
    assert numbers[-1] == "1000"
    assert (await log.texts())[-1] == "line 1000 of the log"
    assert await log.run("return document.querySelectorAll('.log-row').length") < len(numbers) + 30


async def test_scrolling_up_leaves_the_end_and_coming_back_follows_again(log):
    """Who scrolls up stays there while lines arrive; who scrolls back to the end follows them again."""
    await log.show(LINES, end=False)

    await log.page.mouse.move(400, 300)
    await log.page.mouse.wheel(0, -400)
    await log.run("await until(() => !view.list.following)")
    before = await log.numbers()
    await log.show(LINES, end=False)
    assert await log.numbers() == before
    assert await log.page.get_by_role("button", name="Follow").get_attribute("aria-pressed") == "false"
    await log.page.mouse.wheel(0, 40_000)
    await log.run("await until(() => view.list.following)")
    await log.show(LINES, end=False)

    assert (await log.numbers())[-1] == "3000"


async def test_search_counts_and_walks_through_matches(log):
    """The count is of all matches; Enter goes to the next and Shift+Enter back, around the ends."""
    await log.show(LINES)
    await log.page.locator(".log-scroller").press("Home")
    box = log.page.get_by_role("searchbox")

    await log.page.keyboard.press("/")
    await log.page.keyboard.type("LINE 99")
    told = []
    for key in ("Shift", "Enter", "Shift+Enter", "Shift+Enter"):
        await box.press(key)
        await log.run("await until(() => view.active.done); await frame()")
        current = log.page.locator("mark.log-current")
        row = log.page.locator(".log-row").filter(has=current)
        count = await log.page.locator(".log-count").inner_text()
        told.append((count, await current.inner_text(), await row.locator(".log-number").inner_text()))

    assert told == [
        ("1 of 11", "line 99", "99"),
        ("2 of 11", "line 99", "990"),
        ("1 of 11", "line 99", "99"),
        ("11 of 11", "line 99", "999"),
    ]
