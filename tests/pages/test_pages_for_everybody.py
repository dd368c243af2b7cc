"""Pages for everybody: without a mouse, in dark and light, on a phone, read out, with little motion."""

import itertools
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from stagecall.lifecycle.diagram.palette import DARK, LIGHT
from stagecall.worker.pages.assets import asset

SCRIPTS = Path(__file__).parent
CONTRAST = (SCRIPTS / "contrast.js").read_text(encoding="utf-8")
FOCUS = (SCRIPTS / "focus.js").read_text(encoding="utf-8")
SHIFTS = """
globalThis.shifts = [];
const named = ({ node }) => node?.id || node?.className || node?.nodeName;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) globalThis.shifts.push([one.value, one.sources.map(named)]);
}).observe({ type: "layout-shift", buffered: true });
"""


async def show_everything(site):
    """A run that failed, with artifacts of every kind, and messages that came late."""
    run = await site.begin("Build and test")
    await run.artifact("public/report.txt", b"all is well\n")
    await run.run.context.create_error_artifact(
        "public/gone.bin", reason="file-missing-on-worker", message="none"
    )
    await run.run.context.create_redirect_artifact(
        "public/live", url="https://example.org/", content_type="text/plain"
    )
    run.log("error: it broke\n")
    await run.finish(success=False)
    run.run.context.log("too late")
    return run


async def shown(page, url):
    """Open the page of a run that failed, with everything on it that can be opened."""
    await page.goto(url)
    await expect(page.locator("#state")).to_have_text("✕failed")
    await page.get_by_text("As a table").click()
    await page.locator("summary", has_text="report.txt").click()
    await expect(page.locator(".preview pre")).to_have_text("all is well\n")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(site, open_page, scheme):
    """All texts of both pages have a contrast of 4.5 to 1 at least, as WCAG 2.2 asks for (1.4.3, AA)."""
    over = await show_everything(site)
    going_on = await site.begin("Still running", hold=["start_sandbox"])
    page = await open_page(color_scheme=scheme, reduced_motion="reduce")
    found = []

    await shown(page, over.url)
    found += await page.evaluate(CONTRAST)
    await page.goto(going_on.url)
    await expect(page.locator("#diagram .current")).to_have_attribute("data-name", "start")
    found += await page.evaluate(CONTRAST)
    await page.goto(site.url)
    await expect(page.locator("#rows tr")).to_have_count(2)
    found += await page.evaluate(CONTRAST)

    assert len(found) > 150
    assert sorted(one for one in found if one[0] < 4.5) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_colours_are_those_of_the_pictures(page, scheme):
    """The pages and the diagrams of the command line share one palette."""
    css = asset("page.css")
    block = css.partition("@media (prefers-color-scheme: dark)")[0 if scheme == "light" else 2]

    told = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))

    palette = LIGHT if scheme == "light" else DARK
    assert {name: told.get(name) for name in palette} == dict(palette)


@pytest.mark.parametrize("width", [390, 320])
async def test_phone_shows_everything_without_scrolling_sideways(site, open_page, width):
    """No page is wider than a phone's screen, whatever stands on it; what must be wide scrolls by itself."""
    run = await site.begin("a name that is long and has " + "x" * 80 + " in it")
    await run.artifact("public/" + "folder-with-a-long-name/" * 6 + "y" * 120 + ".txt", b"z" * 4000)
    run.log("w" * 3000 + "\n")
    await run.finish(success=False)
    page = await open_page(width=width, height=844, has_touch=True, is_mobile=True)
    widths = []

    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("✕failed")
    await page.get_by_text("As a table").click()
    await page.locator("#artifacts summary").first.click()
    await expect(page.locator(".preview pre")).to_be_visible()
    widths.append(await page.evaluate("document.documentElement.scrollWidth"))
    await page.goto(site.url)
    await expect(page.locator("#rows tr")).to_have_count(1)
    widths.append(await page.evaluate("document.documentElement.scrollWidth"))

    assert widths == [width, width]


async def walk(page, most=60):
    """What the Tab key comes to, from the top: how each is named, and whether one sees where the focus is."""
    told: list[list[object]] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        one = await page.evaluate(FOCUS)
        if one is None or (told and one == told[0]):
            break
        told.append(one)
    return told


async def test_tab_reaches_everything_in_reading_order(site, page):
    """Without a mouse one comes to every part of a run's page, and sees where one is."""
    run = await show_everything(site)
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("✕failed")

    told = await walk(page)

    names = [name for name, _ in told]
    wanted = ["Skip to the log", "Runs", "First error in the log", "4 artifacts", "Stages", "run.json"]
    wanted += ["Log of the task", "Time line, scrollable", "As a table", "public/gone.bin"]
    places = [
        next((place for place, name in enumerate(names) if name.startswith(one)), one) for one in wanted
    ]
    assert places == sorted(places, key=lambda place: (isinstance(place, str), place))
    assert [name for name, visible in told if not visible] == []
    assert all(names)


async def test_skip_link_leads_to_the_log(site, page):
    """The first thing that the keyboard reaches leads past everything to the log."""
    run = await site.begin()
    await page.goto(run.url)

    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to the log")).to_be_in_viewport()
    await page.keyboard.press("Enter")

    await expect(page.locator("#log")).to_be_focused()


async def test_arrow_keys_walk_the_time_line(site, page):
    """From bar to bar in the order in which calls began; what each stands for is said below."""
    run = await site.begin()
    await run.finish(success=False)
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("✕failed")
    detail = page.locator(".tl-detail")

    await page.locator("#timeline [data-call]").first.focus()
    said = [await detail.inner_text()]
    for key in ("ArrowRight", "End", "ArrowLeft", "Home"):
        await page.keyboard.press(key)
        said.append(await detail.inner_text())

    calls = [
        (call.stage, call.plugin or "engine", call.call) for call in run.run.trace if call.kind == "call"
    ]
    wanted = [calls[place] for place in (0, 1, -1, -2, 0)]
    assert [tuple(one.split(" · ")[:3]) for one in said] == wanted


async def test_parts_of_the_page_have_names(site, page):
    """A screen reader finds landmarks with names, headings in order, and a picture with a description."""
    run = await show_everything(site)
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("✕failed")

    for name in ("Stages", "Log", "Time line", "Artifacts", "What happened"):
        await expect(page.get_by_role("region", name=name, exact=True)).to_have_count(1)
    await expect(page.get_by_role("banner")).to_have_count(1)
    await expect(page.get_by_role("main")).to_have_count(1)
    await expect(page.get_by_role("navigation")).to_have_count(2)
    await expect(page.get_by_role("img", name="Lifecycle task-run")).to_have_count(1)
    levels = await page.eval_on_selector_all(
        "h1, h2, h3", "found => found.filter(one => one.checkVisibility()).map(one => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    nameless = await page.eval_on_selector_all(
        "a, button, input, [role=img], [role=region], summary, progress",
        "found => found.filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length "
        "|| one.getAttribute('aria-labelledby'))).map(one => one.outerHTML)",
    )
    assert nameless == []


async def test_nothing_moves_for_who_wants_no_motion(site, open_page):
    """Where motion is to be reduced, nothing pulses and nothing slides."""
    run = await site.begin()
    page = await open_page(reduced_motion="reduce")
    await page.goto(run.url)
    await expect(page.locator("#diagram .current")).to_have_attribute("data-name", "waiting")

    assert await page.evaluate("document.getAnimations().length") == 0


async def test_page_does_not_jump_while_the_run_goes_on(site, page):
    """What one looks at stays where it is while stages, lines and artifacts arrive."""
    await page.add_init_script(SHIFTS)
    run = await site.begin(hold=["start_sandbox"])
    await page.goto(run.url)
    await expect(page.locator("#diagram .current")).to_have_attribute("data-name", "start")

    run.release("start_sandbox")
    await run.reach("waiting")
    run.log("line\n" * 100)
    for number in range(12):
        await run.artifact(f"public/file-{number}.txt", b"x")
    await run.finish(success=False)
    await expect(page.locator("#story h3")).to_have_count(3)

    shifts = [shift for shift in await page.evaluate("shifts") if shift[1] != ["log-rows"]]  # which scroll
    assert sum(value for value, _ in shifts) < 0.001, shifts


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height", "kind"), [(1440, 900, "desk"), (390, 844, "phone")])
async def test_pictures_are_kept_to_be_looked_at(site, open_page, shoot, scheme, width, height, kind):
    """Running, failed and listed, light and dark, on a desk and on a phone: the pictures are there after the tests."""
    over = await show_everything(site)
    running = await site.begin("Still running")
    running.log("".join(f"\x1b[3{n % 6 + 1}mstep {n}\x1b[0m of 30\n" for n in range(30)))
    page = await open_page(color_scheme=scheme, width=width, height=height)
    kept = []

    await shown(page, over.url)
    await page.evaluate("scrollTo(0, 0)")
    kept.append(await shoot(page, f"run-failed-{scheme}-{kind}", full_page=True))
    await page.goto(running.url)
    await expect(page.locator(".log-text", has_text="step 29")).to_be_visible()
    kept.append(await shoot(page, f"run-running-{scheme}-{kind}", full_page=True))
    await page.goto(site.url)
    await expect(page.locator("#rows tr")).to_have_count(2)
    kept.append(await shoot(page, f"index-{scheme}-{kind}", full_page=True))

    assert [file.read_bytes()[:4] for file in kept] == [b"\x89PNG"] * 3
