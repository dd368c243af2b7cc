"""Task files and configurations: read as JSON would say it, or refused in a line that says where and why."""

import json
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stagecall.specs.documents import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, DocumentError, load_document

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refusal(text, name="hello.yml", **options):
    """The message that a text is refused with."""
    with pytest.raises(DocumentError) as caught:
        load_document(text, name, **options)
    return str(caught.value)


def test_yaml_is_read_as_version_1_2_and_json_would():
    """Only what looks like JSON's numbers, true, false and null is no text; merge keys and aliases work."""
    text = """
        texts: [no, on, 2030-01-31, 1:30, 1_000, 0b1, 'null', !!str 5, "", '<<', =]
        numbers: [010, -7, 0x1F, 0o17, 1.5, .5, 1e3, +2]
        others: [true, False, null, ~, ]
        empty:
        base: &base {a: 1, b: 2}
        merged: {<<: *base, b: 3}
        twice: [*base, {<<: [{a: 0}, *base]}]
    """

    document = load_document(text, "hello.yml")

    assert document == {
        "texts": ["no", "on", "2030-01-31", "1:30", "1_000", "0b1", "null", "5", "", "<<", "="],
        "numbers": [10, -7, 31, 15, 1.5, 0.5, 1000.0, 2],
        "others": [True, False, None, None],
        "empty": None,
        "base": {"a": 1, "b": 2},
        "merged": {"a": 1, "b": 3},
        "twice": [{"a": 1, "b": 2}, {"a": 0, "b": 2}],
    }
    assert document["twice"][0] is not document["base"]


@given(VALUES)
def test_json_means_what_json_means(value):
    """Whatever Python writes as JSON is read back the same."""
    assert load_document(json.dumps(value), "task.json") == value


@given(VALUES)
def test_yaml_reads_ascii_json_as_json_does(value):
    """JSON with escapes is YAML, too, and means the same."""
    assert load_document(json.dumps(value), "task.yml") == value


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("task.yml", {}, {"a": "b"}),
        ("-", {}, {"a": "b"}),
        ("task.json", {"format": "yaml"}, {"a": "b"}),
    ],
)
def test_yaml_is_the_format_unless_json_is_asked_for(name, options, expected):
    """The end of the name decides between YAML and JSON, and the caller decides over the name."""
    assert load_document("a: b", name, **options) == expected


def test_json_is_the_format_if_the_name_or_the_caller_says_so():
    """YAML that is no JSON is refused where JSON is meant."""
    messages = [refusal("a: b", "task.JSON"), refusal("a: b", "-", format="json")]

    assert messages == ["task.JSON:1:1: expecting value", "-:1:1: expecting value"]


def test_bytes_are_utf_8_with_or_without_a_mark():
    """Bytes are decoded, and a byte order mark is no part of the text."""
    texts: list[str | bytes] = ["käse: 1".encode(), "käse: 1".encode("utf-8-sig"), "\ufeffkäse: 1"]

    assert [load_document(text, "hello.yml") for text in texts] == [{"käse": 1}] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "1:5: mapping values are not allowed here"),
        (
            "a:\n\t- b",
            "2:1: found character '\\t' that cannot start any token, while scanning for the next token",
        ),
        (
            "a: [1,\nb",
            "2:2: expected ',' or ']', but got '<stream end>', while parsing a flow sequence, "
            "begun in line 1",
        ),
        ('a: "x', "1:6: found unexpected end of stream, while scanning a quoted scalar"),
        ("a: *b", "1:4: found undefined alias 'b'"),
        ("", "1:1: expected a document, found nothing"),
        ("# nothing\n", "1:1: expected a document, found nothing"),
        (
            "a: 1\n---\nb: 2",
            "2:1: expected a single document in the stream, but found another document, begun in line 1",
        ),
        ("payload:\n  a: 1\n  a: 2", '3:3: the key "a" occurs twice in this object'),
        ("<<: {a: 1}\n<<: {b: 1}", '2:1: the key "<<" occurs twice in this object'),
        ("<<: 5", "1:5: a merge key (<<) needs an object or a list of objects"),
        ("ä: 1\n1: a", '2:1: expected a text as key: put "1" in quotes'),
        ("null: a", '1:1: expected a text as key: put "null" in quotes'),
        ("? [a]\n: b", "1:3: expected a text as key, not an object, a list or a tagged value"),
        ("a: .nan", "1:4: .nan is not a finite number"),
        ("a: -.INF", "1:4: -.INF is not a finite number"),
        ("a: 1e999", "1:4: 1e999 is not a finite number"),
        ("a: !!int x", "1:4: not an integer that can be read"),
        ("a: " + "9" * 5000, "1:4: not an integer that can be read"),
        ('a: "\\ud800"', "1:4: half a surrogate pair is not a character"),
        ("\x00", "1:1: the character '\\x00' is not allowed in YAML"),
        (b"ab: 1\n\xc3\xa4: \xff", "2:4: the byte 0xff is not UTF-8"),
    ],
)
def test_what_is_no_yaml_is_one_line_with_its_place(text, message):
    """A typo, an ambiguity or a value that JSON does not have is named with file, line and column."""
    assert refusal(text) == f"hello.yml:{message}"


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!binary", "!!timestamp", "!!set", "!mine"]
)
def test_tags_are_refused(tag):
    """No tag makes anything else of a value than JSON has."""
    assert refusal(f"a: {tag} {{}}").startswith(f"hello.yml:1:4: the tag {tag} is not allowed: values are ")
    assert refusal(f"a: {tag} x").startswith(f"hello.yml:1:4: the tag {tag} is not allowed: values are ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: expecting value"),
        ('{"a": 1,}', "1:9: expecting property name enclosed in double quotes"),
        ("{} {}", "1:4: extra data"),
        ('{"a": 1, "b": {"a": 2},\n "a": 3}', '2:2: the key "a" occurs twice in this object'),
        ('{"a": 1, "\\u0061": 3}', '1:10: the key "a" occurs twice in this object'),
        ('{"a": "NaN", "b": NaN}', "1:19: NaN is not a finite number"),
        ("[-Infinity]", "1:2: -Infinity is not a finite number"),
        ("[1e999]", "1:2: 1e999 is not a finite number"),
        ('["\\ud800"]', "1:2: half a surrogate pair is not a character"),
        ("[" + "9" * 5000 + "]", "1:2: an integer with thousands of digits"),
        (b'{"a": "\xff"}', "1:8: the byte 0xff is not UTF-8"),
    ],
)
def test_what_is_no_json_is_one_line_with_its_place(text, message):
    """A typo, a key that is there twice or a number that is none is named with file, line and column."""
    assert refusal(text, "task.json") == f"task.json:{message}"


def test_the_place_is_in_the_error():
    """Whoever shows the error in an editor gets name, line, column and problem as data."""
    with pytest.raises(DocumentError) as caught:
        load_document("payload:\n  a: 1\n  a: 2", "hello.yml")

    error = caught.value
    assert (error.name, error.line, error.column, error.problem) == (
        "hello.yml",
        3,
        3,
        'the key "a" occurs twice in this object',
    )


@pytest.mark.parametrize("name", ["deep.yml", "deep.json"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, sys.getrecursionlimit() * 2, 100_000])
def test_depth_is_bounded(name, depth):
    """Lists within lists are refused before they exhaust the stack, however deep."""
    assert refusal("[" * depth + "]" * depth, name).endswith(
        f"objects and lists may lie within each other at most {MAX_DEPTH} deep"
    )


@pytest.mark.parametrize("name", ["deep.yml", "deep.json"])
def test_the_greatest_depth_is_allowed(name):
    """A document of just the greatest depth is read."""
    document = load_document("[" * MAX_DEPTH + "]" * MAX_DEPTH, name)

    assert json.dumps(document) == "[" * MAX_DEPTH + "]" * MAX_DEPTH


@pytest.mark.parametrize("kind", ["[{}]", "{{<<: [{}]}}"])
def test_alias_bombs_are_defused(kind):
    """Aliases of aliases of aliases are refused at a fixed number of values, not expanded."""
    lines = ["a0: &a0 [x, x, x]" if kind == "[{}]" else "a0: &a0 {x: 1}"]
    for level in range(1, 40):
        again = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {kind.format(again)}")

    assert refusal("\n".join(lines)).endswith(f"has more than {MAX_VALUES} values")


def test_aliases_of_a_long_text_are_bounded_too():
    """A text that is repeated costs nothing until somebody writes the document out: its characters count."""
    repeated = ", ".join(["*a"] * 1000)
    text = "x" * (MAX_CHARACTERS // 500)

    assert refusal(f"[&a {text}, {repeated}]").endswith(f"has more than {MAX_CHARACTERS} characters")
    assert load_document(f"[&a {text}, *a]", "any.yml") == [text, text]
    assert refusal(f"a: &a\n  ? {text}\n  : 1\nb: [{repeated}]").endswith(f"{MAX_CHARACTERS} characters")


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0o" + "7" * 5000, "9" * 5000])
def test_integers_that_cannot_be_written_out_are_refused(number):
    """A number that no error message and no JSON could show is refused where it is read."""
    assert refusal(f"a: {number}").endswith("not an integer that can be read")


def test_an_alias_inside_itself_is_refused():
    """A value that contains itself has no end."""
    assert "at most" in refusal("&a [*a]")


@given(st.text(alphabet="ab01 :-[]{},\n\"'&*!?|>%#~.\\uU<", max_size=40))
@example('a: "\\UFFFFFFFF"')
@example("%YAML " + "9" * 5000 + ".1\n---\na")
@example("\u2028a: 1\x85b: 2: 3")
def test_no_text_breaks_the_reader(text):
    """Any text is either read, into what JSON can say, or refused with its place."""
    for name in ("any.yml", "any.json"):
        try:
            document = load_document(text, name)
        except DocumentError as refused:
            error = refused
        else:
            assert json.loads(json.dumps(document, allow_nan=False)) == document
            continue

        assert str(error).startswith(f"{name}:{error.line}:{error.column}: ")
        assert "\n" not in str(error)
