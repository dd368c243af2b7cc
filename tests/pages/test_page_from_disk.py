"""The page that is one file, opened from disk in a browser."""

import json

import pytest
from playwright.async_api import expect

from stagecall.worker.cli.page import leave_page

HOSTILE = "</script><script>globalThis.broken = 1</script><img src=x onerror='globalThis.broken = 1'>"


@pytest.fixture
def left(site):
    """`await left(run)`: the page that a run leaves in its output folder, as an address."""

    async def leave(run):
        folder = site.folder / "out"
        folder.mkdir()
        artifacts = site.folder / "store" / run.run.info.task_id / "0"
        artifacts.rename(folder / "artifacts")
        log = await run.subject.log()
        leave_page(folder, run.subject.entry.label, run.run.trace, run.run.lifecycle, log)
        log.close()
        return (folder / "index.html").as_uri()

    return leave


async def test_page_opens_from_disk_and_tells_everything(site, page, left, shoot):
    """State, log, artifacts with previews and what happened are there, and nothing is asked for."""
    run = await site.begin("build")
    run.log("compiling\n\x1b[31merror: it broke\x1b[0m\nlast line\n")
    await run.artifact("public/report.txt", b"all is well")
    await run.finish(success=False)
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    address = await left(run)
    await page.goto(address)

    await expect(page.locator("#state")).to_contain_text("failed")
    await expect(page.locator("#log-view")).to_contain_text("last line")
    await expect(page.locator("#artifacts-view")).to_contain_text("report.txt")
    await expect(page.locator("#story-view")).to_contain_text("Run 0 of task")
    assert await page.locator("#diagram [data-stage]").count() == 11
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address]
    await shoot(page, "static-file")


async def test_hostile_run_harms_nothing(site, page, left):
    """Markup, script and escapes in label, log, names, errors and contents are shown as text, and nothing runs."""
    run = await site.begin(HOSTILE)
    run.log(
        f"{HOSTILE}\n\x1b]0;title\x07\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n\x1b[2J\u202egnp.exe\n"
    )
    await run.artifact(f"public/{HOSTILE.replace('/', '|')}", HOSTILE.encode(), "text/html")
    await run.artifact("public/drawing.svg", b"<svg onload='globalThis.broken = 1'/>", "image/svg+xml")
    await run.run.context.create_error_artifact("public/error", reason=HOSTILE, message=HOSTILE)
    await run.finish()

    await page.goto(await left(run))

    await expect(page.locator("#heading")).to_contain_text(HOSTILE)
    await expect(page.locator("#log-view")).to_contain_text(HOSTILE)
    assert await page.evaluate("globalThis.broken") is None
    assert await page.locator("img[onerror], svg[onload], a[href^='javascript']").count() == 0


async def test_served_page_of_a_hostile_run_harms_nothing(site, page):
    """The same, while it is served."""
    run = await site.begin(HOSTILE)
    run.log(f"{HOSTILE}\n")
    await run.artifact(f"public/{HOSTILE.replace('/', '|')}", HOSTILE.encode(), "text/html")
    await run.finish()

    await page.goto(run.url)

    await expect(page.locator("#log-view")).to_contain_text(HOSTILE)
    assert await page.evaluate("globalThis.broken") is None


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"])
async def test_artifact_runs_nothing_when_it_is_opened(site, page, content_type):
    """An artifact with a script that is opened in a window is text, and the script does not run."""
    run = await site.begin()
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.documentElement.id = 'broken'</script></svg>"
    await run.artifact("public/it", script, content_type)

    await page.goto(f"{run.url}artifacts/public/it")

    assert await page.locator("#broken").count() == 0
    assert "document.documentElement.id" in await page.inner_text("body")


async def test_policy_of_the_file_stops_what_should_ever_get_in(site, page, left, troubles):
    """Would markup get into the file all the same, its policy runs no script of it and loads nothing."""
    run = await site.begin()
    await run.finish()
    await left(run)
    file = site.folder / "out" / "index.html"
    picture = "<img src='https://example.org/x.png' onerror='globalThis.broken = 1'>"
    injected = f"<body><script>globalThis.broken = 1</script>{picture}"
    file.write_text(file.read_text().replace("<body>", injected))

    await page.goto(file.as_uri())
    await expect(page.locator("#state")).to_contain_text("completed")

    assert await page.evaluate("globalThis.broken") is None
    assert len([one for one in troubles if "Content Security Policy" in one]) >= 2, json.dumps(troubles)
    troubles.clear()
