"""The filter of a log: whatever the secrets and however output is cut, none comes through and nothing else is lost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stagecall.lifecycle.log.masks import LONGEST, MARK, SHORTEST, Filter, Masks, Secret

# Few letters, so that secrets occur, overlap each other and themselves, and begin without coming to their end.
LETTERS = st.sampled_from(b"ab\n")
SECRETS = st.lists(
    st.lists(LETTERS, min_size=4, max_size=12).map(bytes).filter(lambda value: len(value.strip()) >= 4),
    min_size=1,
    max_size=4,
)


@st.composite
def cut_output(draw):
    """Some secrets, output that holds many of them and parts of them, and the pieces in which it comes."""
    secrets = draw(SECRETS)
    whole = st.sampled_from(secrets)
    part = whole.flatmap(lambda secret: st.integers(1, len(secret)).map(lambda size: secret[:size]))
    output = b"".join(draw(st.lists(whole | part | st.binary(max_size=5), max_size=12)))
    cuts = sorted(draw(st.lists(st.integers(0, len(output)), max_size=8)))
    pieces = [output[start:end] for start, end in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    return secrets, output, pieces


def masked(secrets: list[bytes], output: bytes) -> bytes:
    """What is to be in the log, found byte by byte: a model without any of the filter's means."""
    values = {part for secret in secrets for part in (secret.strip(), *map(bytes.strip, secret.splitlines()))}
    spans = [
        (start, start + len(value))
        for value in values
        if len(value) >= SHORTEST
        for start in range(len(output))
        if output[start : start + len(value)] == value
    ]
    covered = {index for start, end in spans for index in range(start, end)}
    joined = {index for start, end in spans for index in range(start + 1, end)}
    result = b""
    for index in range(len(output)):
        if index not in covered:
            result += output[index : index + 1]
        elif index not in joined:
            result += MARK
    return result


@given(cut_output())
@example(([b"abab", b"baba"], b"abababab", [b"aba", b"babab"]))
@example(([b"abcd", b"cdef"], b"abcdef", [b"abcd", b"ef"]))
@example(([b"abcd", b"abcdabcX"], b"abcdabc", [b"abcdabc"]))
@example(([b"aaaa", b"aaaabbbb", b"abbbba"], b"aaaaabbbbaab", [b"aaaaa", b"bbbb", b"aab"]))
def test_log_is_the_output_with_each_secret_replaced_wherever_it_was_cut(case):
    """The result is that of looking at every byte of the whole output, in one piece or in any."""
    secrets, output, pieces = case
    masks, filter = Masks().adding(secrets), Filter()

    streamed = b"".join([filter.feed(masks, piece) for piece in pieces]) + filter.end(masks)

    assert streamed == masked(secrets, output)
    assert masks.applied(output) == streamed
    assert filter.end(masks) == b""


@given(cut_output())
def test_no_secret_comes_through(case):
    """Between two marks there is no secret, not one."""
    secrets, _, pieces = case
    masks, filter = Masks().adding(secrets), Filter()

    streamed = b"".join([filter.feed(masks, piece) for piece in pieces]) + filter.end(masks)

    assert not [secret for secret in secrets if any(secret in text for text in streamed.split(MARK))]


@given(cut_output())
def test_only_what_may_begin_a_secret_is_held_back(case):
    """What is held is always the beginning of a secret, and shorter than it; all before it was given out."""
    secrets, _, pieces = case
    masks, filter, seen = Masks().adding(secrets), Filter(), b""

    for piece in pieces:
        filter.feed(masks, piece)
        seen += piece

        assert seen.endswith(filter.held)
        assert any(s.value.startswith(filter.held) and len(filter.held) < len(s.value) for s in masks.secrets)


def test_secret_that_an_end_of_the_output_has_cut_is_not_made_whole():
    """What was given out where the output seemed to end is bare, and only the rest of the secret can be masked."""
    masks, filter = Masks().adding([b"secret", b"tsec"]), Filter()

    given = [
        filter.feed(masks, b"a secr"),
        filter.end(masks),
        filter.feed(masks, b"etsecret"),
        filter.end(masks),
    ]

    assert given == [b"a ", b"secr", b"[masked]", b""]


@given(st.lists(st.binary(max_size=50)))
def test_without_secrets_nothing_changes(pieces):
    """A filter without secrets gives every piece as it came, at once."""
    filter = Filter()

    assert [filter.feed(Masks(), piece) for piece in pieces] == pieces
    assert filter.end(Masks()) == b""


@given(
    st.binary(min_size=4, max_size=30).filter(lambda value: len(value.strip()) >= 4), st.binary(max_size=200)
)
def test_secret_and_output_may_be_any_bytes(value, output):
    """Binary output and invalid UTF-8 pass unchanged around a secret of any bytes."""
    masks = Masks().adding([value])

    assert masks.applied(output + value + output) == masked([value], output + value + output)


@given(cut_output(), st.integers(0, 8))
def test_secret_that_becomes_known_later_is_masked_from_then_on(case, moment):
    """What was given out stays; of what comes, and of what is still held, nothing of the new secret gets out."""
    secrets, _, pieces = case
    first, both, filter = Masks().adding(secrets[:1]), Masks().adding(secrets), Filter()
    for piece in pieces[:moment]:
        filter.feed(first, piece)

    later = b"".join([filter.feed(both, piece) for piece in pieces[moment:]]) + filter.end(both)

    assert not [secret for secret in secrets if any(secret in text for text in later.split(MARK))]


def test_lines_of_a_secret_are_masked_too():
    """A key that is printed line by line, with something before each, does not show; short lines stay readable."""
    key = b"-----BEGIN KEY-----\n  MIIEvQIBADAN\nBgk\nqhkiG9w0\n-----END KEY-----\n"
    masks = Masks().adding([key])

    assert masks.applied(b"+ " + key.replace(b"\n", b"\n+ ")) == (
        b"+ [masked]\n+   [masked]\n+ Bgk\n+ [masked]\n+ [masked]\n+ "
    )
    assert masks.applied(b"<" + key + b">") == b"<[masked]\n>"


def test_text_is_masked_as_it_is_written():
    """A secret that is text stands in the log as UTF-8, or as the bytes that an environment variable held."""
    masks = Masks().adding(["pässwörd", "caf\udce9s!"])

    assert masks.applied("x pässwörd".encode() + b" caf\xe9s!") == b"x [masked] [masked]"


@pytest.mark.parametrize(
    ("value", "size"), [("abc", 3), (b"", 0), ("  abc\n", 3), ("x" * 65_537, 65_537), (b"\n\n\n\n\n", 0)]
)
def test_secret_that_cannot_be_masked_is_refused_without_saying_it(value, size):
    """Too short and it would be found everywhere; too long and it would hold back too much."""
    with pytest.raises(ValueError, match="cannot be masked") as refused:
        Masks().adding([value])

    assert str(refused.value) == (
        f"a secret of {size} bytes cannot be masked in the log: it must have {SHORTEST} to {LONGEST} bytes, "
        "white space around it not counted"
    )


def test_secret_that_is_no_text_is_refused_without_saying_it():
    """Half of a surrogate pair has no bytes; the traceback holds no error that holds the value."""
    with pytest.raises(ValueError, match="no text") as refused:
        Masks().adding(["secret\ud800"])

    assert refused.value.__suppress_context__
    assert "secret\ud800" not in str(refused.value)


@pytest.mark.parametrize("value", [b"aaaa", b"abab", b"abcabcab", b"abcd", b"abaab" * 3])
def test_period_is_the_least_distance_of_two_occurrences(value):
    """Found by trying every distance."""
    least = next(size for size in range(1, len(value) + 1) if value[size:] == value[: len(value) - size])

    assert Secret.of(value).period == least


@pytest.mark.parametrize("text", [b"0", b"01", b"00000 ", b"0" * 4095 + b" "])
def test_hostile_output_takes_time_in_proportion_to_its_length(text):
    """Output that is nothing but secrets, or beginnings of them, does not stop the log."""
    masks = Masks().adding([b"0000", b"0101010101", b"0" * 4096, b"0" * 60_000 + b"1"])
    output, filter = text * ((1 << 20) // len(text)), Filter()

    given = sum(len(filter.feed(masks, output[at : at + 65_536])) for at in range(0, len(output), 65_536))

    assert given + len(filter.end(masks)) <= 2 * len(output)
