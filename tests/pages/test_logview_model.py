"""What a log's bytes become: rows, lines, text and colours, whatever the pieces in which they come."""

import base64
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

MODEL = """
const model = (store) => {
  const rows = [];
  for (let row = store.firstRow; row < store.rows; row++) {
    const { text, runs } = store.read(row);
    if (store.lengthOf(row) > 8500) throw new Error(`row ${row} has ${store.lengthOf(row)} bytes`);
    rows.push([store.lineOf(row), store.continued(row), store.shownBefore(row), store.text(row) === text, text, runs]);
  }
  return JSON.stringify([store.size, store.lines, store.firstRow, rows]);
};
"""

FRAGMENTS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.encode),
    st.sampled_from(
        [
            *(b"\n", b"\r", b"\r\n", b"\b", b"\t", b"\x00", b"\x07", b"\x0e", b"\x18", b"\x7f", b"\x1b"),
            *(
                b"\x1b[31m",
                b"\x1b[1;4;38;5;200m",
                b"\x1b[38:2::1:2:3m",
                b"\x1b[48;2;9;8;7m",
                b"\x1b[0m",
                b"\x1b[m",
            ),
            *(
                b"\x1b[K",
                b"\x1b[1K",
                b"\x1b[2K",
                b"\x1b[G",
                b"\x1b[5G",
                b"\x1b[2A",
                b"\x1b[?25l",
                b"\x1b(B",
                b"\x1bc",
            ),
            *(
                b"\x1b]0;title\x07",
                b"\x1b]8;;http://x/\x1b\\",
                b"\x1bPdevice\x1b\\",
                b"\x1b]never ended",
                b"\x1b[" + b"1;" * 6000,
            ),
            *(
                "é".encode(),
                "漢".encode(),
                "🙂".encode(),
                "\u202e".encode(),
                "\u0085".encode(),
                "\ufeff".encode(),
            ),
            *(b"\xff", b"\xc3", b"\xf0\x9f", b"\xe2\x82", b"\x80", b"\xed\xa0\x80"),
            *(b"<script>alert(1)</script>", b"&lt;b&gt;", b"<img src=x onerror=alert(1)>"),
            *(
                b"x" * 8191,
                b"x" * 8192,
                "é".encode() * 4096,
                b"\x1b[1m" * 2100,
                b"\r50%" * 2200,
                b"\x80" * 8200,
            ),
        ]
    ),
    st.binary(max_size=8),
)
LOGS = st.lists(FRAGMENTS, max_size=24).map(b"".join)
PIECES = st.lists(st.integers(0, 40_000), max_size=12)


def encoded(data):
    """Bytes for `fromBase64`."""
    return base64.b64encode(data).decode()


def split(data, places):
    """The pieces of `data` between these places, encoded."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [encoded(data[a:b]) for a, b in pairwise(edges)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=LOGS, places=PIECES)
async def test_pieces_make_no_difference(log, data, places):
    """Any bytes, in any pieces, become the same rows, lines, texts and colours as in one piece."""
    whole, apart, bytewise = await log.run(
        MODEL
        + """
        const whole = fromBase64(x[0]);
        const pieces = x[1].map(fromBase64);
        return [[whole], pieces, [...whole].map((byte) => Uint8Array.of(byte))].map((parts) => {
          const store = new stagecall.LogStore();
          for (const part of parts) store.append(part);
          store.end();
          return model(store);
        });
        """,
        [encoded(data), split(data, places)],
    )

    assert apart == whole
    assert bytewise == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=LOGS, places=PIECES)
async def test_document_has_text_and_our_own_elements_only(log, data, places):
    """Whatever a task prints is text in the document, without controls; the elements are the view's own."""
    shown, model, names, attributes = await log.run(
        """
        begin({});
        for (const piece of x) await view.append(fromBase64(piece));
        await view.end();
        view.list.render();
        const rows = [...document.querySelectorAll(".log-row")];
        const inside = rows.flatMap((row) => [row, ...row.querySelectorAll("*")]);
        return [
          rows.map((row) => row.querySelector(".log-text").textContent),
          rows.map((row) => view.store.text(row.logRow)),
          [...new Set(inside.map((element) => element.localName))],
          [...new Set(inside.flatMap((element) => element.getAttributeNames()))],
        ];
        """,
        split(data, places),
    )

    assert shown == model
    assert set(names) <= {"div", "a", "span", "mark"}
    assert set(attributes) <= {
        *("class", "role", "href", "tabindex", "aria-label", "aria-posinset", "aria-setsize", "style"),
    }
    hidden = {chr(code) for code in (*range(9), *range(10, 32), *range(127, 160), 0x202E, 0xFEFF)}
    assert not hidden & set("".join(shown))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs", "S"]), max_size=30))
)
async def test_plain_text_is_shown_as_it_is(log, text):
    """Text without controls is what Python splits it into, line by line, and its lines are counted so."""
    data = "\n".join(text).encode()

    rows = await log.run(
        """
        const store = new stagecall.LogStore();
        store.append(fromBase64(x));
        store.end();
        return Array.from({ length: store.rows }, (_, row) => [store.lineOf(row), store.text(row)]);
        """,
        encoded(data),
    )

    expected = data.decode().split("\n") if data else []
    if expected and expected[-1] == "":
        expected.pop()  # a line that has not begun
    assert rows == [[number, line] for number, line in enumerate(expected, 1)]


async def rows_of(log, data):
    """The texts that become of these bytes, and the styles: {text of a run: (foreground, background, flags)}."""
    return await log.run(
        """
        const store = new stagecall.LogStore();
        store.append(fromBase64(x));
        store.end();
        const texts = [], styles = {};
        for (let row = 0; row < store.rows; row++) {
          const { text, runs } = store.read(row);
          texts.push(text);
          for (const { start, end, style } of runs) {
            styles[text.slice(start, end)] = [style.foreground, style.background, style.flags];
          }
        }
        return [texts, styles];
        """,
        encoded(data),
    )


async def test_colours_last_until_they_are_changed(log):
    """Colours go on over line ends; sixteen, 256 and true ones are told apart, in both ways to write them."""
    data = (
        b"\x1b[31mred\ngoes on\x1b[39mend\n\x1b[97;44mbright\x1b[0m\n\x1b[38;5;208m256\x1b[48;5;17mon\x1b[m"
        b"\x1b[38;2;1;2;3mtrue\x1b[38:2::4:5:6mcolons\x1b[38:5:9mnine\x1b[0;1mbold\x1b[2;3;4;7;9mall\x1b[22;23mless\x1b[0mplain"
        b"\x1b[58;5;3;4munder\x1b[4:0mnot\x1b[38;5mshort\x1b[38;9;1mbold too\n"
    )

    texts, styles = await rows_of(log, data)

    assert "".join(texts[:3]) == "redgoes onendbright"
    true = 0x1000000
    assert styles == {
        "red": [2, 0, 0],
        "goes on": [2, 0, 0],
        "end": [0, 0, 0],
        "bright": [16, 5, 0],
        "256": [209, 0, 0],
        "on": [209, 18, 0],
        "true": [true + 0x010203, 0, 0],
        "colons": [true + 0x040506, 0, 0],
        "nine": [10, 0, 0],
        "bold": [0, 0, 1],
        "all": [0, 0, 63],
        "less": [0, 0, 8 + 16 + 32],
        "plain": [0, 0, 0],
        "under": [0, 0, 8],
        "notshort": [0, 0, 0],
        "bold too": [0, 0, 1],
    }


async def test_cursor_moves_within_a_row(log):
    """A carriage return begins the row anew and what follows lies over it, as in a terminal."""
    lines = {
        b"10%\r55%\r100% done": "100% done",
        b"long text\rlost": "lost text",  # written over, not erased
        b"long text\r\x1b[Kshort": "short",
        b"abc\b\bX": "aXc",
        b"abc\x1b[2K\rnew": "new",
        b"abc\x1b[1Gz\x1b[3GZ": "zbZ",
        b"ends in both\r": "ends in both",
        "é漢🙂\r🙂".encode(): "🙂漢🙂",
    }

    texts, _ = await rows_of(log, b"\n".join(lines))

    assert texts == list(lines.values())


async def test_progress_that_is_written_over_for_ever_is_one_row(log):
    """A line that is written over again and again stays one row with its last text, in its colour."""
    progress = b"\x1b[32m" + b"".join(b"\r%5d of 20000" % step for step in range(1, 20_001))

    texts, styles = await rows_of(log, progress + b"\nnext")

    assert texts == ["20000 of 20000", "next"]
    assert styles == {"20000 of 20000": [3, 0, 0], "next": [3, 0, 0]}


async def test_other_sequences_and_controls_harm_nothing(log):
    """Titles, links, images and cursor moves are swallowed; lone controls and what turns text around become visible."""
    lines = {
        b"\x1b]0;evil title\x07a": "a",
        b"\x1b]8;;http://evil.example/\x1b\\link\x1b]8;;\x1b\\": "link",
        b"\x1b]1337;File=:" + b"A" * 20_000 + b"\x07after": "after",
        b"\x1b[2J\x1b[H\x1b[10A\x1b[?1049hb\x1b(B\x1b=": "b",
        b"\x1bPq#0;2\x1b\\c\x1b_apc\x1b\\": "c",
        b"nul\x00 bell\x07 del\x7f": "nul^@ bell^G del^?",
        "turned \u202egnp.exe\u202c \u0085\u2028".encode(): "turned U+202Egnp.exeU+202C U+0085U+2028",
        b"cut \xe2\x82 off \xff": "cut \ufffd off \ufffd",
        b"\x1b]swallows its line only": "",
        b"\x1b[12": "",
        b"last": "last",
    }

    texts, styles = await rows_of(log, b"\n".join(lines))

    assert texts == list(lines.values())
    assert styles["^@"] == [0, 0, 64]


async def test_characters_split_over_pieces_are_not_shown_half(log):
    """The beginning of a character at the end of what has come so far is left out until the rest is there."""
    before, after = await log.run(
        """
        const store = new stagecall.LogStore();
        const bytes = bytesOf("smile 🙂");
        store.append(bytes.subarray(0, 8));
        const before = store.text(0);
        store.append(bytes.subarray(8));
        return [before, store.text(0)];
        """
    )

    assert (before, after) == ("smile ", "smile 🙂")


async def test_oldest_rows_are_dropped_beyond_the_bound(log):
    """Beyond the bound the oldest rows go, numbers stay as they are, and the view says what it does not have."""
    result = await log.run(
        """
        begin({ maxBytes: 16 << 20 });
        const lines = manyLines(1_000_000, (number) => `line ${number}`);
        await view.append(lines);
        await view.end();
        await frame();
        const { store } = view;
        let wrong = 0;
        for (let row = store.firstRow; row < store.rows; row++) {
          if (store.text(row) !== `line ${row + 1}`) wrong++;
        }
        const kept = store.size - store.startOf(store.firstRow);
        return [
          store.lines, store.cost() <= 16 << 20, kept > 4 << 20, store.size === lines.length,
          wrong, store.rowOfLine(1), store.text(store.rowOfLine(1_000_000)),
          document.querySelector(".log-note").textContent, store.lineOf(store.firstRow),
        ];
        """
    )

    first = result.pop()
    assert result == [
        *(1_000_000, True, True, True, 0, None, "line 1000000"),
        f"The first {first - 1:,} lines are not kept here: the log is too long for that.",
    ]
