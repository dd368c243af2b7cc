"""Search in a log: complete counts over a million lines, and regular expressions that cannot freeze the page."""

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


async def test_hostile_expressions_end(log):
    """Patterns that would keep a backtracking engine busy for years are through a thousand unlucky lines at once."""
    await log.show(("a" * 60 + "!\n") * 1000 + "a" * 8000 + "\n")

    told = await log.run(
        SEARCHED
        + """
        expressions(true);
        const told = [];
        for (const pattern of x) told.push((await searched(pattern)).replace(/.* of /, ""));
        return told;
        """,
        ["(a+)+$", "(a|a)*b", "(.*)*(.*)*(.*)*c", "(a?){30}a{30}!", "(x+x+)+y", "^(([a-z])+.)+[A-Z]$"],
    )

    assert told == ["1", "none", "none", "1,000", "none", "1"]


async def test_expressions_that_are_not_supported_say_so(log):
    """What is wrong with an expression, or not to be had, is said in the box; nothing is searched."""
    await log.show("text\n")

    told = await log.run(
        SEARCHED
        + "expressions(true); const told = {}; for (const p of x) told[p] = await searched(p); return told;",
        ["(", "a)", "[a", "*", "a**", "(?=a)", "(a)\\1", "\\q", "(a{500}){500}", "a{2,1}", "t" * 1001, "\\"],
    )

    wrong = await log.page.get_by_role("searchbox").get_attribute("aria-invalid")
    assert {pattern[:9]: text for pattern, text in told.items()} == {
        "(": "a ( without its )",
        "a)": "a ) without its (",
        "[a": "a [ without its ]",
        "*": "nothing to repeat",
        "a**": "nothing to repeat",
        "(?=a)": "look-ahead and look-behind are not supported",
        "(a)\\1": "back-references are not supported",
        "\\q": "unknown escape \\q",
        "(a{500}){"[:9]: "too large: fewer or smaller repetitions, please",
        "a{2,1}": "numbers out of order in {2,1}",
        "t" * 9: "longer than 1000 characters",
        "\\": "\\ at the end",
    }
    assert wrong == "true"


ATOMS = st.sampled_from(
    [*"abA_0 .é🙂", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[a-c0]", r"[^\w]", r"\x61", r"\u{1F642}"]
)
ASSERTIONS = st.sampled_from(["^", "$", r"\b", r"\B"])


def patterns():
    """Expressions in which nothing that can be empty is repeated: there JavaScript has rules of its own."""

    def larger(smaller):
        return st.one_of(
            st.tuples(smaller, smaller).map("".join),
            st.tuples(smaller, smaller).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(ASSERTIONS, smaller).map("".join),
            smaller.map(lambda inner: f"(?:{inner})"),
            smaller.map(lambda inner: f"({inner})"),
        )

    repeats = st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{2,}", "{0,2}?"])
    solid = st.recursive(ATOMS, larger, max_leaves=4)
    repeated = st.tuples(solid, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    return st.recursive(repeated, larger, max_leaves=4)


TEXTS = st.text("abA_01 é🙂\t", max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=st.lists(st.tuples(patterns(), TEXTS, st.booleans()), min_size=1, max_size=20))
async def test_expressions_mean_what_they_mean_in_javascript(log, cases):
    """The matches are those of the browser's own engine, in its order of preference."""
    differences = await log.run(
        """
        return x.map(([source, text, ignoreCase]) => {
          const theirs = [...text.matchAll(new RegExp(source, ignoreCase ? "giu" : "gu"))]
            .filter((match) => match[0]).map((match) => [match.index, match.index + match[0].length]);
          const ours = new stagecall.Pattern(source, { ignoreCase }).matches(text);
          return JSON.stringify(ours) === JSON.stringify(theirs) ? null : [source, text, ignoreCase, theirs, ours];
        }).filter((difference) => difference !== null);
        """,
        cases,
    )

    assert differences == []


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
    ]
    await log.show("\n".join([*harmless, *errors]) + "\n")

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
