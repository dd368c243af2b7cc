"""The page as one file, opened from disk in a real browser: it shows what the live one showed, and asks for nothing."""

import shutil

import pytest
from playwright.async_api import expect

from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.trace import Trace
from stagecall.worker.pages import export
from stagecall.worker.pages.export import Recorded, page_of
from stagecall.worker.pages.logs import unpacked_log

from .test_artifacts_on_page import HOSTILE_NAMES, HOSTILE_TEXT, opened, picture

LOG = b"the first line\n\x1b[31mred\x1b[0m\nerror: it broke\n"


@pytest.fixture
def keep(site, tmp_path):
    """`keep(run)`: the address of its page as a file, its artifacts beside it; `events` of its trace, or all."""

    def write(run, log=LOG, label="Build and test", events=None):
        folder = tmp_path / "out"
        for artifact in run.run.artifacts:
            file = folder / "artifacts" / artifact.name
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(artifact.path, file)
        trace = Trace(run.run.trace.started, list(run.run.trace)[:events])
        recorded = Recorded(trace, label, folder, unpacked_log([log], packed=False))
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text(page_of(recorded), encoding="utf-8")
        return (folder / "index.html").as_uri()

    return write


async def test_file_shows_the_whole_run_and_asks_for_nothing(site, page, keep, shoot):
    """State, diagram, log, time line, artifacts with previews and the explanation are there without any server."""
    run = await site.begin()
    await run.artifact("public/report.txt", b"all is well\n")
    await run.artifact("public/plot.png", picture(40, 30), "image/png")
    await run.finish(success=False)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    address = keep(run)

    await page.goto(address)
    await expect(page.locator("#state")).to_have_text("✕failed")
    await expect(page.locator(".log-text", has_text="the first line")).to_be_visible()
    text, image = await opened(page, "public/report.txt"), await opened(page, "public/plot.png")

    await expect(text.locator("pre")).to_have_text("all is well\n")
    await expect(image.locator("img")).to_have_js_property("naturalWidth", 40)
    link = text.get_by_role("link", name="Download")
    assert await link.get_attribute("href") == "artifacts/public/report.txt"
    assert await page.locator("#heading").inner_text() == "Build and test"
    entered = "#diagram [data-stage]:is(.entered, .refused)"
    assert await page.locator(entered).count() == len(TASK_RUN.main_path)
    assert await page.locator("#timeline [data-call]").count() == len(run.run.trace.of("call"))
    await expect(page.locator("#story .why")).to_contain_text(
        "stopped of plugin success said that the task failed"
    )
    assert await page.get_by_role("link", name="Runs").count() == 0
    assert [url for url in asked if not url.startswith("data:")] == [address]
    await page.evaluate("scrollTo(0, 0)")
    await shoot(page, "run-static", full_page=True)


async def test_search_and_first_error_work_in_the_file(site, page, keep):
    """The log of the file is the same view as the live one."""
    run = await site.begin()
    await run.finish(success=False)
    await page.goto(keep(run, b"line\n" * 500 + LOG + b"line\n" * 500))
    await expect(page.locator(".log-footer")).to_contain_text("1,003 lines")

    await page.get_by_role("button", name="First error in the log").click()

    await expect(page.locator(".log-text", has_text="error: it broke")).to_be_in_viewport()


async def test_hostile_run_harms_nothing(site, page, keep):
    """Names, log and contents that are markup are text in the file too; nothing of them runs."""
    run = await site.begin()
    for name in HOSTILE_NAMES:
        await run.artifact(name, HOSTILE_TEXT.encode(), "text/html")
    await run.finish()
    evil = "</script><script>globalThis.broken = 1</script><img src=x onerror='globalThis.broken = 1'>"

    await page.goto(keep(run, f"{evil}\n{HOSTILE_TEXT}\n".encode(), label=evil))
    await expect(page.locator("#heading")).to_have_text(evil)
    await expect(page.locator(".log-text", has_text="</script><script>")).to_be_visible()
    row = await opened(page, HOSTILE_NAMES[0])

    await expect(row.locator("pre")).to_contain_text("<script>alert(1)</script>")
    assert await page.evaluate("globalThis.broken") is None
    assert await page.locator("img").count() == 0


async def test_long_log_says_what_is_missing(site, page, keep, monkeypatch):
    """Of a log that is too long the beginning and the end are in the file, and a line between says how much is not."""
    monkeypatch.setattr(export, "_LINE_BYTES", 100)
    monkeypatch.setattr(export, "HEAD_BYTES", 4000)
    monkeypatch.setattr(export, "TAIL_BYTES", 4000)
    run = await site.begin()
    await run.finish()
    await page.goto(keep(run, b"".join(b"line %04d\n" % n for n in range(2000))))

    footer = page.locator(".log-footer")
    await expect(footer).to_contain_text("lines")
    await page.get_by_role("searchbox", name="Search in the log").fill("not in this page")

    await expect(page.locator("mark").first).to_be_visible()
    await expect(
        page.locator(".log-text", has_text="[stagecall] 12 KiB of the log are not in this page")
    ).to_be_visible()
    await expect(footer).to_have_text("2,000 lines · 20 KiB")
    numbers = await page.locator(".log-row").evaluate_all(
        "found => found.map((row) => [...row.children].map((part) => part.textContent))"
    )
    kept = [(int(number), text) for number, text in numbers if text.startswith("line")]
    assert {text for number, text in kept if text != f"line {number - 1:04}"} == set()
    assert kept[0][0] < 410 < 1590 < kept[-1][0]


@pytest.mark.parametrize(
    ("content", "content_type", "told"),
    [
        (b"PK\3\4\0\0", "application/octet-stream", "No preview: it is not text."),
        (b"caf\xe9 noir", "application/octet-stream", "No preview: it is not text."),
        (b"x" * 600_000, "image/png", "No preview: it is too large for this page."),
        (b">>>>>> import roman\n", "application/octet-stream", ">>>>>> import roman\n"),
        (b"", "application/octet-stream", "It is empty."),
    ],
    ids=["binary", "latin", "large", "text", "empty"],
)
async def test_preview_is_there_or_says_why_not(site, page, keep, content, content_type, told):
    """What is text is shown whatever its type; why something is not shown is what is so."""
    run = await site.begin()
    await run.artifact("public/file", content, content_type)
    await run.finish()
    await page.goto(keep(run))

    row = await opened(page, "public/file")

    assert await row.locator(".preview").text_content() == told


async def test_preview_of_a_file_that_is_gone_says_so(site, page, keep, tmp_path):
    """A file that was moved away before the page was written has no preview, and no address."""
    run = await site.begin()
    await run.artifact("public/file", b"text")
    await run.finish()
    address = keep(run)
    (tmp_path / "out/artifacts/public/file").unlink()
    recorded = Recorded(run.run.trace, "gone", tmp_path / "out")
    (tmp_path / "out/index.html").write_text(page_of(recorded), encoding="utf-8")
    await page.goto(address)

    row = await opened(page, "public/file")

    await expect(row.locator(".preview")).to_have_text("No preview: the file was not there.")
    assert await row.get_by_role("link").count() == 0


async def test_trace_that_breaks_off_is_shown_as_far_as_it_goes(site, page, keep):
    """A run whose process died has no resolution: the file says so, and shows what was under way."""
    run = await site.begin()
    await run.finish()
    calls = [seq for seq, event in enumerate(run.run.trace) if event.call == "wait_for_result"]

    await page.goto(keep(run, events=calls[0] + 1))

    await expect(page.locator("#state")).to_have_text("?never resolved")
    await expect(page.locator("#timeline .bar.open")).to_have_count(1)
    await expect(page.locator("#story h3", has_text="Where it broke off")).to_be_visible()
