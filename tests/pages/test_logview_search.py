"""Search in a log: complete counts over a million lines, and regular expressions of the browser's."""

import re

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

MILLION = 1_000_000

SEARCHED = """
const searched = async (text) => {
  view.search(text);
  await until(() => view.active?.done ?? true);
  await frame();
  return document.querySelector(".log-count").textContent;
};
const expressions = (on) => view.toolbar.setExpression(on);
"""


async def test_million_lines_are_counted_in_slices(log):
    """Every match in a million lines is counted, in slices so small that frames are drawn between them."""
    counts, most_rows, slices, frames = await log.run(
        SEARCHED
        + """
        await view.append(manyLines(x, (number) => `line ${number} of a build`));
        await view.end();
        await until(() => view.errors.done);
        let most = 0, slices = 0, frames = 0, drawing = true;
        const slice = stagecall.LogSearch.prototype.slice;
        stagecall.LogSearch.prototype.slice = function () {
          const before = this.next;
          slice.call(this);
          most = Math.max(most, this.next - before);
          slices++;
        };
        const draw = () => { frames++; if (drawing) requestAnimationFrame(draw); };
        draw();
        const counts = [await searched("LINE 99")];
        expressions(true);
        counts.push(await searched("e 1?0*1 "));
        drawing = false;
        return [counts, most, slices, frames];
        """,
        MILLION,
    )

    of_99 = sum(str(number).startswith("99") for number in range(1, MILLION + 1))
    assert [count.split(" of ")[-1] for count in counts] == [f"{of_99:,}", "6"]
    assert most_rows <= 20_000
    assert slices >= 2 * MILLION / 20_000
    assert frames > 20


async def test_matches_are_found_in_lines_that_come_later(log):
    """A search goes on while lines arrive; a row that is not complete is counted once it is."""
    counts = await log.run(
        SEARCHED
        + """
        const counts = [];
        await view.append(bytesOf("needle\\nnee"));
        counts.push(await searched("needle"));
        await view.append(bytesOf("dle and needle\\nneedle"));
        await until(() => view.active.done);
        counts.push(view.active.count);
        await view.end();
        await until(() => view.active.done);
        counts.push(view.active.count);
        return counts;
        """
    )

    assert counts == ["1 of 1", 3, 4]


async def test_what_is_shown_is_what_is_searched(log):
    """Colours within a word do not hide it, what was written over is not found, letters match as the toggle says."""
    await log.show("an er\x1b[1mror\x1b[0m\nold\rnew\nError\n")

    counts = await log.run(
        SEARCHED
        + """
        const counts = [await searched("error"), await searched("old"), await searched("new")];
        view.toolbar.setCase(true);
        counts.push(await searched("error"));
        await view.search("error");
        await frame();
        return [...counts, [...document.querySelectorAll("mark")].map((mark) => mark.textContent)];
        """
    )

    assert counts == ["1 of 2", "none", "1 of 1", "1 of 1", ["er", "ror"]]


async def test_matches_over_the_rows_of_a_long_line_are_found(log):
    """A line that is shown in several rows is searched as one: what stands across their border is found and marked."""
    count, marked = await log.run(
        SEARCHED
        + """
        await view.append(bytesOf("x".repeat(8189) + "needle" + "y".repeat(9000) + "\\n"));
        await view.end();
        const count = await searched("needle");
        expressions(true);
        const anchored = [await searched("^y"), await searched("y$"), await searched("e+d.e"), await searched("^x")];
        view.setWrap(true);
        await searched("needle");
        view.list.goTo(0, -0.9);
        await frame();
        return [[count, ...anchored], [...document.querySelectorAll("mark")].map((mark) => mark.textContent).sort()];
        """
    )

    assert count == ["1 of 1", "none", "1 of 1", "1 of 1", "1 of 1"]
    assert marked == ["dle", "nee"]


async def test_expression_that_takes_too_long_is_given_up(log):
    """An expression that backtracks for long on one line is not tried on the next; the page goes on and says where."""
    await log.show("fine\n" + ("a" * 27 + "!\n") * 1000)

    told = await log.run(
        SEARCHED
        + """
        expressions(true);
        const told = await searched("(a+)+$");
        const marks = document.querySelectorAll("mark").length;
        return [told, marks, (await searched("a!$")).replace(/.* of /, "")];
        """
    )

    assert told == ["Too slow at line 2: gave up", 0, "1,000"]


async def test_what_is_wrong_with_an_expression_is_said(log):
    """An expression that is none is told in the browser's words, and the box is marked as wrong."""
    await log.show("text\n")

    told = await log.run(
        SEARCHED
        + "expressions(true); const told = []; for (const p of x) told.push(await searched(p)); return told;",
        ["(", "te**", "[a", "t: ("],
    )

    wrong = await log.page.get_by_role("searchbox").get_attribute("aria-invalid")
    assert told == [
        "Unterminated group",
        "Nothing to repeat",
        "Unterminated character class",
        "Unterminated group",
    ]
    assert wrong == "true"


async def test_expressions_are_those_of_the_browser(log):
    """Look-ahead, references back and classes of characters work; a match of nothing is none."""
    await log.show("say hello\n\U0001f642\U0001f642 hello hello\n")

    told = await log.run(
        SEARCHED
        + "expressions(true); const told = []; for (const p of x) told.push(await searched(p)); return told;",
        ["hello(?= h)", r"(\w+) \1", r"\p{Emoji}", "x*", "^hello"],
    )

    assert told == ["1 of 1", "1 of 1", "1 of 2", "none", "none"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text("ab(.*\\ é", max_size=10), max_size=30),
    text=st.text("ab(.*\\ é", min_size=1, max_size=3),
)
async def test_counts_are_those_of_python(log, lines, text):
    """A text is found as often as Python finds it, line by line; nothing in it has a meaning."""
    count = await log.run(
        """
        const store = new stagecall.LogStore();
        store.append(bytesOf(x[0]));
        store.end();
        const search = new stagecall.LogSearch(store, new stagecall.Literal(x[1]), () => {});
        while (!search.done) await new Promise((resolve) => stagecall.later(resolve));
        return search.count;
        """,
        ["\n".join(lines), text],
    )

    assert count == sum(len(re.findall(re.escape(text), line)) for line in lines)


async def test_first_error_is_found_and_lines_are_marked(log):
    """The key leads to the first line that tells of an error; such lines are marked, harmless ones are not."""
    errors = [
        "[stagecall:error] the log has no room",
        "src/a.c:3:1: error: expected ';'",
        "error[E0382]: borrow of moved value",
        "make: *** [Makefile:3: all] Error 2",
        "FAILED tests/test_a.py::test_b - AssertionError: 1 != 2",
        "Traceback (most recent call last):",
        "ValueError: no",
        "java.lang.IllegalStateException: no",
        "2026-01-01 12:00:00 ERROR something broke",
        "fatal: not a git repository",
        "Segmentation fault (core dumped)",
        "bash: frobnicate: command not found",
        "npm ERR! code 1",
        "not ok 3 - has a name",
        "--- FAIL: TestIt (0.00s)",
        "panic: runtime error",
        "[stagecall] the command exited with code 101",
        "[stagecall] the command was ended by signal 11 (SIGSEGV)",
        "[stagecall] the command was killed: it exited with code 0",
    ]
    harmless = [
        "0 errors, 0 warnings",
        "cc -Werror -Werror=all -c errors.c error.c",
        "test_error_handling PASSED",
        "0 FAILED",
        "ERROR=0",
        "no failures; terror: a film",
        "class MyError(Exception): pass",
        "the FAILSAFE mode",
        "errors: 0",
        "[stagecall] the command exited with code 0",
        "it says [stagecall] the command exited with code 1",
    ]
    await log.show("\n".join([*harmless, *errors]) + "\n")

    await log.page.locator(".log-scroller").focus()
    await log.page.keyboard.press("e")
    await log.run("await until(() => view.errors.done); await frame()")
    told = await log.run(
        "view.list.goToStart(); await frame();"
        "return [...document.querySelectorAll('.log-row.log-is-error .log-text')].map((text) => text.textContent)"
    )

    button = log.page.get_by_role("button", name="First error")
    assert told == errors
    assert await button.inner_text() == f"First error\n{len(errors)}"
    assert await log.run("return view.store.lineOf(view.target)") == len(harmless) + 1
