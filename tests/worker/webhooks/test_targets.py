"""Slugs and targets: what is attached is found, nothing else is, and no log repeats a slug."""

import re
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from stagecall.worker.webhooks.targets import loggable, new_slug, split_target

SLUGS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=22, max_size=22)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
RESTS = st.text(VISIBLE, max_size=40).map("/{}".format)
PUBLIC_PATHS = st.sampled_from(["", "/hooks", "/a/b", "/" + "h" * 22])


@given(SLUGS, RESTS, PUBLIC_PATHS, st.booleans())
@example("h" * 22, "/x/", "/" + "h" * 22, True)
def test_a_slug_is_found_with_or_without_the_public_path(slug, rest, public_path, stripped):
    """Whether the proxy strips the public path or not, the handler's part is the same, to the letter."""
    target = ("" if stripped else public_path) + f"/{slug}{rest}"

    assert (slug, rest) in split_target(target, public_path)


@given(st.text(max_size=80), PUBLIC_PATHS)
def test_what_is_split_is_a_slug_and_a_path(target, public_path):
    """Whatever is sent: a slug has its 22 characters, what is left begins with a slash, and both stood there."""
    found = split_target(target, public_path)

    assert len(found) <= 2
    for slug, rest in found:
        assert (len(slug), rest[0]) == (22, "/")
        assert f"/{slug}{rest}".partition("?")[0] in target


@given(SLUGS, RESTS, st.sampled_from(["http", "HTTPS"]), st.sampled_from(["x", "x:80", "[::1]:8080"]))
def test_absolute_form_means_the_same(slug, rest, scheme, authority):
    """A target with scheme and host names what it would without (RFC 9112, 3.2.2); a fragment is no part of it."""
    rest = rest.replace("#", "").rstrip("?")

    assert split_target(f"{scheme}://{authority}/{slug}{rest}") == [(slug, rest)]


@given(SLUGS, st.text("/.%?#x", max_size=3).filter(lambda text: text != ""), RESTS)
def test_nothing_may_stand_before_or_within_the_slug(slug, extra, rest):
    """No dots, escapes or second slashes lead to a hook: only the one spelling does."""
    for target in (f"/{extra}{slug}{rest}", f"/{slug[:5]}{extra}{slug[5:]}{rest}"):
        assert slug not in [found for found, _ in split_target(target)]


@given(SLUGS, RESTS, st.booleans())
def test_logs_hold_no_slug(slug, rest, escaped):
    """Whatever a client puts into a path, no slug can be read from the line, and the line is one."""
    inside = "".join(f"%{ord(character):02X}" for character in slug) if escaped else slug

    line = loggable(f"/x{rest}{inside}{rest}")

    assert slug not in line
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 200


@given(st.text(max_size=300))
def test_any_path_is_one_line(path):
    """Control characters, other alphabets and lone surrogates are escaped."""
    line = loggable("/" + quote(path, errors="surrogatepass"))

    assert line.isascii()
    assert line.isprintable()


def test_slugs_are_random():
    """Each is 128 random bits: no two are alike, and every character takes many values."""
    slugs = {new_slug() for _ in range(2000)}

    assert len(slugs) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{21}[AQgw]", slug) for slug in slugs)
    assert [len({slug[n] for slug in slugs}) for n in range(21)] == [64] * 21
