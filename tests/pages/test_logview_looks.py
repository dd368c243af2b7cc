"""How a log looks: colours that can be read in light and dark, and pictures that are kept."""

import pytest

from .logview_support import LogPage

CONTRASTS = """
const colour = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const text = getComputedStyle(element).backgroundColor;
    if (!/^rgba\\(.*, 0\\)$/.test(text)) return colour(text);
  }
};
const contrasts = [...document.querySelectorAll(x)].filter((element) => element.textContent.trim()).map((element) =>
  [stagecall.contrast(colour(getComputedStyle(element).color), behind(element)), element.textContent]);
return contrasts.filter(([contrast]) => contrast < 4.45);
"""

ALL_COLOURS = "".join(
    f"\x1b[38;5;{number}mfront\x1b[0m \x1b[48;5;{number}mback\x1b[0m \x1b[38;5;{number};48;5;{number}msame\x1b[0m "
    f"\x1b[2;38;5;{number}mdim\x1b[0m \x1b[7;38;5;{number}minverse\x1b[0m{' error:' if number % 9 == 0 else ''}"
    + ("\n" if number % 8 == 7 else " ")
    for number in range(256)
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_colours_can_be_read(open_page, log_site, scheme):
    """Each of 256 colours, before or behind text, dim, inverse or on itself, stands out in both themes."""
    page = await open_page(color_scheme=scheme, height=1000)
    await page.goto(log_site.url)
    log = LogPage(page, log_site)
    await log.show(ALL_COLOURS)
    await log.run("view.goToLine(3); view.search('dim'); await until(() => view.active.done); await frame()")

    unreadable = await log.run(
        CONTRASTS, ".log-text span, .log-text mark, .log-number, .log-button, .log-footer"
    )

    assert unreadable == []


async def test_theme_may_change(log):
    """When the system goes dark, the colours follow."""
    await log.show("\x1b[31mred\x1b[0m\n")
    light = await log.run("return document.querySelector('.log-text span').style.color")

    await log.page.emulate_media(color_scheme="dark")
    await log.run("await frame()")
    dark = await log.run("return document.querySelector('.log-text span').style.color")

    assert (light, dark) == ("rgb(196, 43, 56)", "rgb(255, 123, 130)")


BUILD = "".join(
    [
        "\x1b[1m$ make -j2 check\x1b[0m\n",
        *(f"cc -O2 -g -Wall -Wextra -c src/module_{n}.c -o build/module_{n}.o\n" for n in range(1, 18)),
        "src/module_7.c:12:5: \x1b[1;35mwarning:\x1b[0m unused variable \x1b[1m'left'\x1b[0m\n",
        "   12 |     int \x1b[35mleft\x1b[0m = 3;\n      |         \x1b[35m^~~~\x1b[0m\n",
        "collecting 10%\rcollecting 55%\rcollected 128 items\n",
        *(
            f"tests/test_{name}.py \x1b[32m........................\x1b[0m \x1b[32m[{at:3}%]\x1b[0m\n"
            for at, name in enumerate("abcd", 60)
        ),
        "tests/test_e.py \x1b[32m....\x1b[31mF\x1b[32m.....\x1b[0m \x1b[31m[100%]\x1b[0m\n",
        "\x1b[31m\x1b[1mFAILED\x1b[0m tests/test_e.py::\x1b[1mtest_ends\x1b[0m - AssertionError: 1 != 2\n",
        "hostile: <script>alert(1)</script> \x1b]8;;http://x/\x07link\x1b]8;;\x07 nul\x00 \u202egnp.exe\u202c\n",
        "\x1b[41;97;1m FAIL \x1b[0m \x1b[7m 1 failed \x1b[0m \x1b[42m 127 passed \x1b[0m in \x1b[38;5;208m3 s\x1b[0m\n",
        "[stagecall:error] the task's command failed with exit code 2\n",
    ]
)


@pytest.mark.parametrize(
    ("scheme", "width", "name"), [("light", 1100, "light"), ("dark", 1100, "dark"), ("dark", 390, "phone")]
)
async def test_pictures_are_kept(open_page, log_site, shoot, scheme, width, name):
    """The view fits its window, in light, in dark and on a phone, where lines are wrapped."""
    page = await open_page(color_scheme=scheme, width=width, height=844)
    await page.goto(log_site.url)
    log = LogPage(page, log_site)
    await log.show(BUILD)
    await log.run(
        "view.search('module_1'); await until(() => view.active.done && view.errors.done); await frame()"
    )

    await shoot(page, f"logview-{name}")

    wide = await log.run("return document.documentElement.scrollWidth")
    wrapped = await log.page.get_by_role("button", name="Wrap").get_attribute("aria-pressed")
    assert (wide, wrapped) == (width, str(width < 600).lower())
