"""The artifacts on the page of a run: what was stored, a look into it, and nothing that a task made ever runs."""

import asyncio
import struct
import zlib

import pytest
from playwright.async_api import expect

ROWS = "#artifacts .files > li"
HOSTILE_NAMES = [
    "public/<script>alert(1)</script>.txt",
    'public/"><img src=x onerror=alert(1)>.txt',
    "public/\u05d0\u05d1\u05d2.txt",
    "public/a b%2fc?preview#d&e.txt",
    "public/ünïcødé/名前.txt",
]
HOSTILE_TEXT = "<script>alert(1)</script>\n<img src=x onerror=alert(1)>\n\x1b]0;title\x07 \x1b[2J"


def picture(width, height):
    """A PNG file, all of one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = (b"\0" + b"\x2f\x62\xd9" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


async def opened(page, name):
    """The row of that artifact, opened."""
    row = page.locator(ROWS, has=page.get_by_title(name, exact=True))
    await row.locator("summary").click()
    return row


async def test_artifacts_are_listed_as_they_are_stored(site, page):
    """Each appears with its kind, type and size; the sum stands in the head."""
    run = await site.begin()
    context = run.run.context
    await page.goto(run.url)
    await expect(page.locator("#artifacts .empty")).to_have_text("Nothing has been stored so far.")

    await run.artifact("public/report.txt", b"x" * 2048)
    await context.create_error_artifact("public/gone.bin", reason="file-missing-on-worker", message="none")
    await context.create_redirect_artifact(
        "public/elsewhere", url="https://example.org/x", content_type="text/html"
    )
    await context.create_link_artifact("public/also", target="public/report.txt", content_type="text/plain")

    await expect(page.locator(ROWS)).to_have_count(4)
    told = await page.locator(f"{ROWS} summary").evaluate_all(
        "found => found.map(row => [...row.children].map(part => part.textContent))"
    )
    assert told == [
        ["public/also", "link", "text/plain", ""],
        ["public/elsewhere", "redirect", "text/html", ""],
        ["public/gone.bin", "error", "file-missing-on-worker", ""],
        ["public/report.txt", "", "text/plain", "2.0 KiB"],
    ]
    assert await page.locator("#artifacts-note").inner_text() == "4 artifacts, 2.0 KiB, 1 error"


async def test_text_is_previewed_as_text(site, page):
    """A look into a text shows its beginning, says that it is not all, and offers the file."""
    run = await site.begin()
    await run.artifact("public/long.txt", b"0123456789abcde\n" * 8192)
    await page.goto(run.url)

    row = await opened(page, "public/long.txt")

    await expect(row.locator("pre")).to_contain_text("0123456789abcde\n0123456789abcde")
    assert len(await row.locator("pre").text_content()) == 65_536
    await expect(row.locator(".preview .aside")).to_have_text("Only the first 64 KiB are shown.")
    await expect(row.locator(".facts")).to_contain_text("131,072 bytes")
    async with page.expect_download() as download:
        await row.get_by_role("link", name="Download").click()
    file = await (await download.value).path()
    assert file.stat().st_size == 131_072


async def test_preview_shows_text_as_a_terminal_would(site, page):
    """Escape sequences become colours, progress bars their last state, and line ends of Windows are line ends."""
    run = await site.begin()
    await run.artifact("public/a.log", b"\x1b[1;31mred\x1b[0m plain\n 10%\r100%\nlast")
    await run.artifact("public/b.cover", b"one\r\ntwo\r\n", "application/octet-stream")
    await page.goto(run.url)

    log, cover = await opened(page, "public/a.log"), await opened(page, "public/b.cover")

    await expect(log.locator("pre")).to_have_text("red plain\n100%\nlast", use_inner_text=True)
    await expect(log.locator("pre span")).to_have_text("red")
    assert await log.locator("pre span").evaluate("found => getComputedStyle(found).fontWeight") == "700"
    assert await cover.locator("pre").text_content() == "one\ntwo\n"


async def test_artifacts_are_in_the_order_of_their_numbers(site, page):
    """What is numbered is listed as people count."""
    run = await site.begin()
    for name in ("public/part-10", "public/part-9", "public/part-1"):
        await run.artifact(name, b"x")
    await page.goto(run.url)
    await expect(page.locator(ROWS)).to_have_count(3)

    names = await page.locator(f"{ROWS} .path").all_text_contents()

    assert names == ["public/part-1", "public/part-9", "public/part-10"]


async def test_picture_is_previewed_as_a_picture(site, page):
    """A picture made of points is shown as it is."""
    run = await site.begin()
    await run.artifact("public/plot.png", picture(40, 30), "image/png")
    await page.goto(run.url)

    row = await opened(page, "public/plot.png")

    await expect(row.locator("img")).to_have_js_property("naturalWidth", 40)
    assert await row.locator("img").get_attribute("alt") == "public/plot.png"


@pytest.mark.parametrize(
    ("content", "content_type", "told"),
    [
        (b"\x7fELF\0\0\0\0", "application/octet-stream", "No preview: it is not text."),
        (b"not a picture", "image/png", "No preview: it cannot be drawn."),
        (b"\xff\xfe binary \xff and so on", "application/octet-stream", "No preview: it is not text."),
        (b"", "text/plain", "It is empty."),
    ],
    ids=["binary", "no picture", "no encoding", "empty"],
)
async def test_what_cannot_be_previewed_says_why(site, page, troubles, content, content_type, told):
    """No preview is no riddle."""
    run = await site.begin()
    await run.artifact("public/file", content, content_type)
    await page.goto(run.url)

    row = await opened(page, "public/file")

    await expect(row.locator(".preview")).to_have_text(told)


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "text/plain"])
async def test_content_that_is_markup_stays_text(site, page, content_type):
    """What a task made is shown as the text that it is, whatever it claims to be, and does nothing."""
    run = await site.begin()
    await run.artifact("public/evil", HOSTILE_TEXT.encode(), content_type)
    await page.goto(run.url)

    row = await opened(page, "public/evil")

    await expect(row.locator("pre")).to_contain_text("<script>alert(1)</script>")
    assert await row.locator("pre").evaluate("found => found.childElementCount") == 0
    assert await page.locator("img, script:not([src])").count() == 0


async def test_hostile_names_stay_names(site, page):
    """Names are text wherever they stand, and lead to their own content whatever is in them."""
    run = await site.begin()
    for place, name in enumerate(HOSTILE_NAMES):
        await run.artifact(name, f"content {place}".encode())
    await page.goto(run.url)
    await expect(page.locator(ROWS)).to_have_count(len(HOSTILE_NAMES))

    for place, name in enumerate(HOSTILE_NAMES):
        row = await opened(page, name)
        await expect(row.locator("pre")).to_have_text(f"content {place}")

    assert await page.locator("#artifacts img").count() == 0


async def test_hostile_redirect_is_no_link(site, page):
    """An address that is not one of the web is shown, and cannot be followed."""
    run = await site.begin()
    create = run.run.context.create_redirect_artifact
    await create("public/bad", url="javascript:alert(1)", content_type="text/html")
    await create("public/good", url="https://example.org/", content_type="text/html")
    await page.goto(run.url)

    bad, good = await opened(page, "public/bad"), await opened(page, "public/good")

    await expect(bad.locator("code")).to_have_text("javascript:alert(1)")
    assert await bad.locator("a").count() == 0
    assert await good.locator("a").get_attribute("rel") == "noopener noreferrer"


async def test_many_artifacts_are_shown_in_portions_and_found_by_name(site, page):
    """Of many some are drawn, more when somebody asks, and any is found by a part of its name."""
    run = await site.begin()
    await asyncio.gather(*(run.artifact(f"public/out/file-{n:03}.txt", b"x") for n in range(250)))
    await page.goto(run.url)
    await expect(page.locator(ROWS)).to_have_count(100)

    await page.get_by_role("button", name="Show 100 more of 250").click()
    await expect(page.locator(ROWS)).to_have_count(200)
    await page.get_by_label("Filter artifacts by name").fill("FILE-249")

    await expect(page.locator(ROWS)).to_have_count(1)
    await expect(page.locator(ROWS)).to_contain_text("file-249.txt")


async def test_open_artifact_stays_open_while_others_arrive(site, page):
    """Who reads a preview is not disturbed by what the task stores meanwhile."""
    run = await site.begin()
    await run.artifact("public/m.txt", b"what I read")
    await page.goto(run.url)
    row = await opened(page, "public/m.txt")
    await row.locator("pre").focus()

    for name in ("public/a.txt", "public/z.txt"):
        await run.artifact(name, b"x")
    await expect(page.locator(ROWS)).to_have_count(3)

    await expect(row.locator("pre")).to_have_text("what I read")
    await expect(row.locator("pre")).to_be_focused()


async def test_uploads_show_how_far_they_are(site, page):
    """While something is stored its name stands there with the bytes done; afterwards it is gone."""
    run = await site.begin()
    await page.goto(run.url)
    await expect(page.locator("#state")).to_have_text("running")

    await page.evaluate(
        """stagecall.runPage.source.emit("progress", {filesDone: 1, bytesDone: 10,
           underWay: [{name: "public/<b>large</b>.bin", bytesDone: 3145728, bytesTotal: 6291456},
                      {name: "public/endless", bytesDone: 1024, bytesTotal: null}]})"""
    )
    told = await page.locator(".upload").all_inner_texts()
    width = await page.locator(".upload progress").first.evaluate("bar => bar.value")
    await run.finish()

    await expect(page.locator(".upload")).to_have_count(0)
    assert [" ".join(one.split()) for one in told] == [
        "public/<b>large</b>.bin 3.0 MiB of 6.0 MiB",
        "public/endless 1.0 KiB",
    ]
    assert width == 50
