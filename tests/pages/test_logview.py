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


async def test_million_lines_scroll_with_few_elements(log):
    """However far one goes in a million lines, few rows are drawn in a frame and few elements exist."""
    places, most_drawn, most_elements, most_bytes = await log.run(
        """
        let drawn = 0, read = 0, elements = 0, most = 0, bytes = 0, counting = true;
        const draw = stagecall.drawRow, append = stagecall.LogStore.prototype.append;
        stagecall.drawRow = (...given) => { drawn++; return draw(...given); };
        stagecall.LogStore.prototype.append = function (piece) {
          bytes = Math.max(bytes, piece.length);
          append.call(this, piece);
        };
        const each = () => {
          most = Math.max(most, drawn);
          elements = Math.max(elements, document.querySelectorAll("*").length);
          drawn = 0;
          if (counting) requestAnimationFrame(each);
        };
        each();
        const lines = manyLines(1_000_000, (number) => `line ${number}`);
        for (let at = 0; at < lines.length; at += 3_000_000) await view.append(lines.subarray(at, at + 3_000_000));
        await view.end();
        await frame();
        const scroller = document.querySelector(".log-scroller");
        const places = [numbersInSight().at(-1)];
        scroller.focus();
        view.list.goToStart();
        await frame();
        places.push(numbersInSight()[0]);
        const furthest = scroller.scrollHeight - scroller.clientHeight;
        for (let step = 1; step <= 40; step++) {
          scroller.scrollTop = (furthest * step) / 80;
          await frame();
        }
        places.push(Math.abs(Number(numbersInSight()[0]) - 500_000) < 1000);
        for (const line of [777_777, 12, 999_999]) {
          view.goToLine(line);
          await frame();
          places.push(numbersInSight().includes(String(line)));
        }
        counting = false;
        return [places, most, elements, bytes];
        """
    )

    assert places == ["1000000", "1", True, True, True, True]
    assert most_drawn <= 150
    assert most_elements <= 300
    assert most_bytes <= 256 * 1024


async def test_wheel_moves_by_what_it_says_in_a_million_lines(log):
    """A turn of the wheel moves a huge log by so many pixels, and the scroll bar's correction moves nothing."""
    await log.run(
        "await view.append(manyLines(1_000_000, (number) => `line ${number}`)); await view.end();"
        "view.goToLine(500_000); await frame()"
    )
    before = await log.numbers()
    await log.page.mouse.move(400, 300)

    await log.page.mouse.wheel(0, 200)
    await log.run(
        "const wanted = x; await until(() => numbersInSight()[0] === wanted)", str(int(before[0]) + 10)
    )
    await log.run("await until(() => view.list.rest === 0)")

    assert await log.numbers() == [str(int(number) + 10) for number in before]


async def test_keys_move_through_the_log(log):
    """Arrows, page keys, Home and End move; End follows and the others leave the end."""
    await log.show(LINES, end=False)
    scroller = log.page.locator(".log-scroller")
    told = {}

    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "End"):
        await scroller.press(key)
        await log.run("await frame()")
        told[key] = (await log.numbers())[0], await log.run("return view.list.following")

    first_of_end = told.pop("End")
    page_down = int(told["PageDown"][0])
    assert {key: first for key, (first, _) in told.items()} == {
        "Home": "1",
        "ArrowDown": "3",
        "ArrowUp": "2",
        "PageDown": str(page_down),
        "PageUp": "2",
    }
    assert page_down > 20
    assert [following for _, following in told.values()] == [False] * 5
    assert int(first_of_end[0]) > 900
    assert first_of_end[1] is True


async def test_letters_work_in_the_log_but_not_in_its_fields(log):
    """`w`, `f`, `n` and `N` work where the focus is in the log, `/` on the whole page; in a field they are letters."""
    await log.show(LINES)

    await log.page.keyboard.press("w")
    outside = await log.page.get_by_role("button", name="Wrap").get_attribute("aria-pressed")
    await log.page.locator(".log-scroller").focus()
    await log.page.keyboard.press("w")
    wrapped = await log.page.get_by_role("button", name="Wrap").get_attribute("aria-pressed")
    await log.page.keyboard.press("f")
    followed = await log.run("return view.list.following")
    await log.page.keyboard.press("/")
    await log.page.keyboard.type("line 5")
    await log.run("await until(() => view.active.done && view.current)")
    await log.page.keyboard.press("Escape")
    emptied = await log.page.get_by_role("searchbox").input_value()
    focused = await log.run("return document.activeElement.className")
    await log.page.keyboard.press("/")
    await log.page.keyboard.type("new")
    value = await log.page.get_by_role("searchbox").input_value()

    assert (outside, wrapped, followed) == ("false", "true", False)
    assert (emptied, focused, value) == ("", "log-scroller", "new")


async def test_ten_megabytes_in_one_line_freeze_nothing(log):
    """A line of 10 MB is shown in rows of bounded length, of which those in sight are drawn; it can be searched."""
    drawn, rows, numbered, count, last = await log.run(
        """
        const bytes = new Uint8Array(10_000_000).fill(120);
        bytes.set(bytesOf("the end"), bytes.length - 7);
        await view.append(bytes);
        await view.append(bytesOf("\\nnext\\n"));
        await view.end();
        view.setWrap(true);
        view.search("the end");
        await until(() => view.active.done && view.current);
        await frame();
        const drawn = document.querySelector(".log-rows").textContent.length;
        const count = document.querySelector(".log-count").textContent;
        view.setWrap(false);
        view.setFollow(true);
        await frame();
        return [drawn, view.store.rows, view.store.lines, count, textsInSight().at(-1)];
        """
    )

    assert drawn < 200_000
    assert (rows, numbered, count, last) == (10_000_000 // 8192 + 2, 2, "1 of 1", "next")


async def test_wrapped_rows_can_be_walked_from_end_to_end(log):
    """With wrapped rows of all lengths, going down by the window's height passes every line, once, to the last."""
    await log.run(
        """
        view.setWrap(true);
        await view.append(manyLines(400, (number) => `${number}:` + "word ".repeat((number * 37) % 90)));
        await view.end();
        view.list.goToStart();
        """
    )

    seen = await log.run(
        """
        const seen = [];
        for (let step = 0; step < 400; step++) {
          await frame();
          for (const row of document.querySelectorAll(".log-row")) {
            const box = row.getBoundingClientRect(), window = view.scroller.getBoundingClientRect();
            if (box.bottom > window.top + 1 && box.top < window.bottom - 1) seen.push(row.logRow + 1);
          }
          if (seen.at(-1) === 400 && !view.list.moreBelow()) break;
          view.list.moveBy(view.list.height - 60);
        }
        return seen;
        """
    )

    assert list(dict.fromkeys(seen)) == list(range(1, 401))


async def test_address_leads_to_a_line(log):
    """`#L123` in the address shows and marks that line, also one to be written later; a number links to itself."""
    await log.page.goto(f"{log.site.url}#L700")
    await log.page.reload()
    await log.show(LINES)
    marked = log.page.locator(".log-is-target .log-number")

    first = await marked.inner_text()
    await log.page.get_by_role("link", name="Line 705").click()
    await log.run("await frame()")
    second = await marked.inner_text()
    address = log.page.url.rpartition("#")[2]

    assert (first, second, address) == ("700", "705", "L705")
    assert "700" in await log.numbers()


async def test_selected_text_is_copied_without_numbers_also_from_rows_out_of_sight(log):
    """What is selected is copied line by line as it is shown, however far one has scrolled since; Ctrl+A takes all."""
    await log.show(LINES)
    await log.run(
        """
        const taken = (event) => { globalThis.copied = event.clipboardData.getData("text/plain"); };
        document.addEventListener("copy", taken);
        view.list.goToStart();
        await frame();
        const text = (row) => view.list.elements.get(row).querySelector(".log-text").firstChild;
        view.scroller.focus();
        document.getSelection().setBaseAndExtent(text(1), 5, text(3), 6);
        await frame();
        """
    )

    await log.page.keyboard.press("Control+c")
    few = await log.run("return globalThis.copied")
    await log.run(
        """
        view.list.goTo(600);
        await frame();
        const last = view.list.elements.get(601).querySelector(".log-text").firstChild;
        document.getSelection().extend(last, 8);
        await frame();
        """
    )
    await log.page.keyboard.press("Control+c")
    many = await log.run("return globalThis.copied")
    await log.page.keyboard.press("Control+a")
    await log.page.keyboard.press("Control+c")
    whole = await log.run("return globalThis.copied")

    lines = LINES.splitlines()
    assert few == "2 of the log\nline 3 of the log\nline 4"
    assert many == "\n".join([lines[1][5:], *lines[2:601], "line 602"])
    assert whole == "\n".join(lines)


async def test_log_can_be_downloaded_as_it_was_written(log, tmp_path):
    """Without an address of its own, the log is downloaded from the page, byte for byte."""
    await log.show("a\x1b[31mb\x00\r\nc")

    async with log.page.expect_download() as started:
        await log.page.get_by_role("link", name="Download").click()
    download = await started.value
    await download.save_as(tmp_path / "log")

    assert (download.suggested_filename, (tmp_path / "log").read_bytes()) == (
        "task.log",
        b"a\x1b[31mb\x00\r\nc",
    )


async def test_hostile_rows_do_not_become_many_elements(log):
    """Rows that change colour with every character stay within a bound of elements, and lose none of their text."""
    elements, texts = await log.run(
        """
        const row = Array.from({ length: 800 }, (_, at) => `\\u001b[3${at % 8}mx`).join("");
        await view.append(manyLines(1000, (number) => row + number));
        await view.end();
        view.search("x");
        await until(() => view.active.done);
        await frame();
        return [document.querySelectorAll("*").length, [...new Set(textsInSight().map((text) => text.slice(0, 800)))]];
        """
    )

    assert elements < 30_000
    assert texts == ["x" * 800]


async def test_disposed_view_leaves_nothing(log):
    """After dispose the element is as it was, and keys and addresses do nothing any more."""
    await log.show(LINES)

    await log.run("view.dispose(); location.hash = '#L5'; await frame()")
    await log.page.keyboard.press("/")
    await log.page.keyboard.press("e")

    assert (
        await log.run("return document.getElementById('log').outerHTML") == '<main id="log" class=""></main>'
    )


async def test_following_wrapped_rows_shows_the_last(log):
    """Where wrapped rows are higher or lower than their bytes let one guess, following still ends at the last."""
    ends = await log.run(
        """
        view.setWrap(true);
        const ends = [];
        const long = ["漢".repeat(900), "\\u001b[1m".repeat(2000) + "x", "\\t".repeat(300) + "y", "word ".repeat(900)];
        for (const line of ["short", ...long]) {
          await view.append(manyLines(40, () => line));
          await frame();
          const box = view.list.elements.get(view.store.rows - 1).getBoundingClientRect();
          const window = view.scroller.getBoundingClientRect();
          const first = document.elementFromPoint(window.left + 200, window.top + 3).closest(".log-row");
          ends.push([Math.abs(box.bottom - window.bottom) < 2, first !== null]);
        }
        return ends;
        """
    )

    assert ends == [[True, True]] * 5


async def test_toggle_says_whether_it_is_pressed_and_leaves_when_there_is_nothing_to_follow(log):
    """Toggles tell their state; once the log has ended the button that followed it only leads to its end."""
    await log.run("await view.append(manyLines(500, (number) => `line ${number}`)); await frame()")
    told = {}
    for name in ("Follow", "Wrap", "Match case", "Regular expression"):
        button = log.page.get_by_role("button", name=name, exact=True)
        before = await button.get_attribute("aria-pressed")
        await button.click()
        told[name] = (before, await button.get_attribute("aria-pressed"))

    await log.run("await view.end(); await frame()")
    last = log.page.get_by_role("button", name="Last line")
    pressed = await last.get_attribute("aria-pressed")
    await last.click()

    assert told == {name: ("true", "false") if name == "Follow" else ("false", "true") for name in told}
    assert pressed is None
    assert (await log.run("await frame(); return numbersInSight()"))[-1] == "500"
