"""The page of a run in a real browser: what a person sees while the run goes on, and when it is over."""

import re

import pytest
from playwright.async_api import expect

from stagecall.lifecycle.errors import MalformedPayloadError, NonFatalInternalError
from stagecall.specs.lifecycle import TASK_RUN

LIT = "#diagram [data-stage].current"


async def names(page, selector):
    """The stages of the cards that match, in the order of the diagram."""
    return await page.eval_on_selector_all(selector, "found => found.map(card => card.dataset.name)")


async def taken(page):
    """The edges that are marked, by their ends."""
    return await page.eval_on_selector_all(
        "#diagram .edge.taken", "found => found.map(edge => edge.dataset.edge)"
    )


async def bars(page):
    """The bars of the time line as (row, what a screen reader says of them)."""
    return await page.eval_on_selector_all(
        "#timeline [data-call]", "found => found.map(bar => bar.getAttribute('aria-label'))"
    )


async def test_light_moves_with_the_run_and_edges_stay_marked(site, page):
    """The stage that the run is in is lit, alone; what it left is marked, and so is the way it took."""
    run = await site.begin(hold=["start_sandbox"])
    await page.goto(run.url)

    await expect(page.locator(LIT)).to_have_attribute("data-name", "start")
    lit = [await names(page, LIT)]
    run.release("start_sandbox")
    await expect(page.locator(LIT)).to_have_attribute("data-name", "waiting")
    lit.append(await names(page, LIT))
    on_the_way = await taken(page)
    await run.finish()
    await expect(page.locator("#state")).to_have_text("✓completed")

    assert lit == [["start"], ["waiting"]]
    assert on_the_way == [
        "pending prepare", "prepare build", "build start", "start started", "started waiting"
    ]  # fmt: skip
    assert await names(page, LIT) == []
    assert await names(page, "#diagram .entered") == list(TASK_RUN.main_path)
    assert await names(page, "#diagram .skipped") == ["exception"]


async def test_way_to_the_exception_leads_over_branch_and_trunk(site, page):
    """A run that is aborted in waiting leaves it for the exception stage; the stages after are not entered."""
    run = await site.begin()
    await page.goto(run.url)
    await expect(page.locator(LIT)).to_have_attribute("data-name", "waiting")

    await run.end()

    await expect(page.locator("#state")).to_have_text("!exception: canceled")
    assert [edge for edge in await taken(page) if "exception" in edge] == [
        "waiting waiting/exception",
        "exception resolved",
        "waiting/exception stopped/exception",
        "stopped/exception exception",
    ]
    assert await names(page, "#diagram .skipped") == ["stopped", "finished"]


async def test_stage_in_which_the_task_failed_is_marked(site, page):
    """That a hook says that the task failed is seen on its stage, which is something else than an error."""
    run = await site.begin()
    await page.goto(run.url)

    await run.finish(success=False)

    await expect(page.locator("#state")).to_have_text("✕failed")
    assert await names(page, "#diagram .refused") == ["stopped"]
    assert await names(page, "#diagram .failed") == []


async def test_log_lines_arrive_while_the_task_runs(site, page):
    """What the task writes is on the page before the task has ended."""
    run = await site.begin()
    await page.goto(run.url)
    await run.reach("waiting")

    run.log("the first line\n")
    await expect(page.locator(".log-text", has_text="the first line")).to_be_visible()
    run.log("and another\n")
    await expect(page.locator(".log-text", has_text="and another")).to_be_visible()

    assert await names(page, LIT) == ["waiting"]


async def test_time_line_grows_as_hooks_run(site, page):
    """Each call has its bar in its plugin's row, under way while it runs, and a word for how it went after."""
    run = await site.begin(hold=["start_sandbox"])
    await page.goto(run.url)
    await expect(page.locator("#timeline .bar.open")).to_have_count(1)
    rows = await page.locator(".tl-names span").all_inner_texts()
    early = await bars(page)

    run.release("start_sandbox")
    await run.finish()
    await expect(page.locator("#state")).to_have_text("✓completed")

    late = await bars(page)
    assert rows == ["engine", "success", "env", "artifacts", "tasklog"]
    assert early[-1].startswith("start · engine · start_sandbox · under way")
    assert early[:-1] == late[: len(early) - 1]
    assert [told.rpartition(" · ")[0] for told in late[len(early) - 1 :]][:4] == [
        "start · engine · start_sandbox · ok",
        "waiting · engine · wait_for_result · ok",
        "stopped · success · stopped · ok",
        "finished · tasklog · finished · ok",
    ]
    assert await page.locator("#timeline .bar.open").count() == 0
    assert (await page.locator(".stagename").all_text_contents()) == list(TASK_RUN.main_path)


async def test_bars_are_as_long_as_their_calls_took(site, page):
    """In its stage's column a call takes the share of the width that it took of the time, while it runs and after."""
    run = await site.begin(plugins={"success": {}})
    await page.goto(run.url)
    waiting = page.locator("#timeline [data-call]", has_text="wait_for_result")
    column = page.locator("#timeline [data-column=waiting] .column")
    await expect(page.locator("#elapsed")).to_have_text(re.compile(r"^1\.[0-9] s$"))

    async def share():
        bar, room = await waiting.locator("rect").bounding_box(), await column.bounding_box()
        return bar["width"] / room["width"]

    while_it_ran = await share()
    await run.finish()
    await expect(page.locator("#state")).to_have_text("✓completed")

    assert [while_it_ran, await share()] == [pytest.approx(1.0, abs=0.05)] * 2


async def test_time_line_is_a_table_too(site, page):
    """Whoever would rather read gets stages and calls with their times and outcomes as a table."""
    run = await site.begin()
    await run.finish(success=False)
    await page.goto(run.url)

    await page.get_by_text("As a table").click()

    row = page.locator(".calls tr", has_text="success stopped")
    await expect(row.locator("td").last).to_have_text("says failed")
    assert await page.locator(".calls .of-stage th").all_inner_texts() == list(TASK_RUN.main_path)


async def test_clock_goes_on_between_events_and_stands_when_the_run_is_over(site, page):
    """The time that a run has taken grows while nothing happens, and is the trace's own at the end."""
    run = await site.begin()
    await page.goto(run.url)
    elapsed = page.locator("#elapsed")
    await expect(elapsed).to_have_text(re.compile(r"^1\.[0-9] s$"))

    await run.finish()

    await expect(page.locator("#state")).to_have_text("✓completed")
    assert await elapsed.inner_text() == await page.locator("#diagram").evaluate(
        "() => stagecall.duration(stagecall.runPage.history.now)"
    )


async def test_cause_of_a_failure_is_told_in_sentences(site, page):
    """Of a run that failed the head says who says so, and the explanation of the trace is told below, word for word."""
    run = await site.begin()
    await page.goto(run.url)

    await run.finish(success=False)

    await expect(page.locator("#summary")).to_have_text(
        "The plugin success said in stopped that the task failed."
    )
    headings = await page.locator("#story :is(h2, h3)").all_inner_texts()
    assert headings == ["What happened", "Why", "The end", "The rules"]
    assert "false" not in await page.locator("#story").inner_text()
    told = await page.locator("#story .chapter.why p").all_inner_texts()
    assert told[1:] == ["So the task failed, which is no error: no hook was left out."]


async def _full():
    raise OSError(28, "No space left on device")


async def test_error_of_the_engine_is_told_with_its_incident(site, page):
    """A defect is seen on its stage, on its bar, and among the errors, with the number to look it up by."""
    run = await site.begin(deeds={"start_sandbox": _full})
    await page.goto(run.url)

    await expect(page.locator("#state")).to_have_text("!exception: internal-error")

    incident = next(event.get("incident") for event in run.run.trace if event.kind == "error")
    await expect(page.locator("#story .notes .bad")).to_contain_text(
        f"No space left on device (incident {incident})"
    )
    assert await names(page, "#diagram .failed") == ["start"]
    await expect(page.locator("#timeline .bar.failed")).to_have_count(1)
    await expect(page.locator("#summary")).to_contain_text(
        "start_sandbox: OSError: [Errno 28] No space left on device"
    )


async def test_errors_that_are_not_fatal_and_late_messages_are_shown(site, page):
    """What the run survives, and what came when the log was closed, has its place on the page."""

    async def fails():
        raise NonFatalInternalError("the volume could not be kept")

    run = await site.begin(deeds={"start_sandbox": fails})
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("!exception: internal-error")

    run.run.context.log("a word too late")
    await page.reload()

    await expect(page.locator("#story .notes li")).to_have_count(2)
    told = await page.locator("#story .notes .told").all_inner_texts()
    assert "the volume could not be kept" in told[0]
    assert told[1] == "a word too late"
    assert await page.locator("#story-note").inner_text() == "1 error, 1 late message"


async def test_malformed_payload_lists_what_is_wrong_with_it(site, page):
    """The messages for the author of the task stand on the page."""

    async def refuses():
        raise MalformedPayloadError("command: must not be empty", "image: there is none of that name")

    run = await site.begin(deeds={"new_sandbox_builder": refuses})
    await page.goto(run.url)

    await expect(page.locator("#state")).to_have_text("!exception: malformed-payload")
    await expect(page.locator("#summary")).to_contain_text("command: must not be empty")
    await expect(page.locator("#summary")).to_contain_text("image: there is none of that name")


async def test_first_error_of_the_log_is_one_press_away(site, page):
    """The head of a run that failed leads to the first error in its log."""
    run = await site.begin()
    run.log("".join(f"line {n}\n" for n in range(500)) + "error: it broke\n" + "more\n" * 500)
    await run.finish(success=False)
    await page.goto(run.url)

    lead = page.get_by_role("button", name="First error in the log, line 501 error: it broke")
    await lead.click()

    await expect(page.locator(".log-text", has_text="error: it broke")).to_be_in_viewport()


@pytest.mark.parametrize(
    ("line", "success", "leads"),
    [
        ("2 + 2 = 5", False, 0),
        ("[stagecall] the command exited with code 1", False, 1),
        ("error: that was handled", True, 0),
    ],
    ids=["no error", "exit code", "completed"],
)
async def test_head_promises_no_error_that_is_not_in_the_log(site, page, line, success, leads):
    """A run that did not complete leads to the line that tells of an error where there is one, and only there."""
    run = await site.begin()
    run.log(f"{line}\n")
    await run.finish(success=success)
    await page.goto(run.url)
    await expect(page.locator("#state")).to_contain_text("completed" if success else "failed")
    await expect(page.locator(".log-text", has_text=line)).to_be_visible()
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert await page.get_by_role("button", name="First error in the log").count() == leads
    await expect(page.get_by_role("link", name="1 artifact")).to_have_attribute("href", "#artifacts")


async def test_time_line_fits_a_laptop(site, page):
    """At 1280 pixels every stage of the task's lifecycle can be seen without scrolling, and so can every bar."""
    run = await site.begin()
    await run.finish()
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("✓completed")

    inner, outer = await page.locator(".tl-scroll").evaluate(
        "found => [found.scrollWidth, found.clientWidth]"
    )
    right = await page.locator(".tl [data-call] rect").evaluate_all(
        "found => Math.max(...found.map((bar) => bar.x.baseVal.value + bar.width.baseVal.value))"
    )

    assert inner <= outer
    assert right <= outer


async def test_search_in_the_log_has_one_frame(site, page):
    """The field lies in its box without a frame of its own."""
    run = await site.begin()
    await page.goto(run.url)

    field = page.get_by_role("searchbox", name="Search in the log")

    assert await field.evaluate("found => getComputedStyle(found).borderTopWidth") == "0px"


@pytest.mark.parametrize(
    ("success", "colour"), [(True, "1f9d5c"), (False, "d63a46")], ids=["completed", "failed"]
)
async def test_title_and_icon_tell_the_state(site, page, success, colour):
    """Among many tabs one sees which run is over, and how it ended."""
    run = await site.begin("Nightly")
    await page.goto(run.url)
    await expect(page).to_have_title("waiting · Nightly")

    await run.finish(success=success)

    await expect(page).to_have_title(f"{'completed' if success else 'failed'} · Nightly")
    assert colour in await page.locator("link[rel=icon]").get_attribute("href")


async def test_screen_reader_is_told_the_stage_and_the_end(site, page):
    """A live region says where the run has come to, once it stays there, and what became of it."""
    run = await site.begin()
    await page.goto(run.url)
    status = page.locator("#announcement")
    await expect(status).to_have_text("Stage waiting.")

    await run.finish(success=False)

    await expect(status).to_have_text("The run is over: failed.")
    stages = await page.locator("#diagram ol li").all_text_contents()
    assert [told.partition(":")[0] for told in stages] == [stage.name for stage in TASK_RUN.stages]
    assert stages[8] == "exception: not entered"
    assert stages[6].startswith("stopped: said that the task failed, took ")


async def test_lifecycle_without_a_picture_is_told_in_words(site, page, monkeypatch):
    """Where no Graphviz is installed the stages are a list, and everything else is as ever."""
    monkeypatch.setattr("stagecall.worker.pages.site.diagram_of", lambda lifecycle: "")
    run = await site.begin()
    await page.goto(run.url)

    await expect(page.locator(".stage-list li", has_text="waiting: the run is here")).to_be_visible()
    await run.finish()

    await expect(page.locator("#state")).to_have_text("✓completed")
