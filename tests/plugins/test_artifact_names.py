"""What an artifact may be called, and what type its content is said to have."""

import os
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stagecall.plugins.artifacts.content_types import TYPES, content_type
from stagecall.plugins.artifacts.names import WORKERS_OWN, Names, name_problem

PIECES = st.sampled_from(
    ["a", "public", ".", "..", "", "/", "...", ".a", "~", " ", "\n", "\0", "é", "\\", "😀", "%2e", "-"]
)
HOSTILE = st.one_of(st.text(), st.lists(PIECES).map("/".join), st.lists(PIECES).map("".join))


@pytest.mark.parametrize(
    "name",
    [
        "public/build/app.tar.gz",
        "a",
        "...",
        ".hidden/..data/x..y",
        "with space/and é/and 😀",
        "back\\slash",
        "%2e%2e/x",
        "x" * 255,
        "é" * 127,
        "/".join(["x" * 100] * 10),
    ],
)
def test_harmless_names_are_allowed(name):
    """A name may hold anything that a file's name can, and that a person can read."""
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "must not be empty"),
        ("/etc/passwd", "must not begin or end with a slash"),
        ("public/", "must not begin or end with a slash"),
        ("a//b", "nor have two in a row"),
        ("..", "must not have '.' or '..'"),
        ("a/../b", "must not have '.' or '..'"),
        ("./a", "must not have '.' or '..'"),
        ("a\nb", "must not have control characters"),
        ("a\0", "must not have control characters"),
        ("a\x7f", "must not have control characters"),
        ("a\x9b31m", "must not have control characters"),
        ("a\u202egpj.exe", "must not have control characters"),
        ("a\u2028b", "must not have control characters"),
        ("a\udcff", "nor bytes that are no UTF-8"),
        ("x" * 1025, "must have at most 1024 characters, not 1025"),
        ("a/" + "x" * 256, "must have at most 255 bytes between slashes"),
        ("é" * 128, "must have at most 255 bytes between slashes"),
    ],
)
def test_harmful_names_are_refused_with_the_reason(name, problem):
    """What could leave a folder, vanish on a terminal, or be no file's name is refused."""
    assert problem in str(name_problem(name))


@settings(deadline=None)
@given(HOSTILE)
@example("a/b\\..")
def test_name_without_a_problem_is_a_path_below_any_folder(name):
    """Whatever is accepted stays below the folder it is joined to, spelled the same, on one line."""
    if name_problem(name) is None:
        path = os.path.normpath(os.path.join("/store/run", name))

        assert path == f"/store/run/{name}"
        assert re.search(r"[\x00-\x1f\x7f]", name) is None
        assert len(name.splitlines()) == 1
        assert all(len(os.fsencode(part)) <= 255 for part in name.split("/"))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.sampled_from(["public", "logs", "task.log", "a"]), min_size=1))
    )
)
def test_names_that_were_taken_can_all_be_files(taken):
    """Whatever is taken in whatever order, no file lies below another, and none has a folder's name."""
    names = Names()
    files = set(WORKERS_OWN)
    for is_file, parts in taken:
        name = "/".join(parts)
        if is_file and names.take_file(name) is None:
            assert name not in files
            files.add(name)
        elif not is_file and names.take_directory(name) is None:
            assert name not in files

    above = {name[:end] for name in files for end in range(len(name)) if name[end] == "/"}
    assert files & above == set()


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("dist/index.html", "public/page", "text/html"),
        ("dist/page", "public/index.html", "text/html"),
        ("dist/a.json", "public/a.html", "application/json"),
        ("dist/a.unknown", "public/a.png", "image/png"),
        ("dist/APP.TAR.GZ", "public/app", "application/gzip"),
        ("dist.html/app", "public.png/app", "application/octet-stream"),
        (".html", ".png", "application/octet-stream"),
        ("build.log", "x", "text/plain"),
        ("dist/app.", "x.", "application/octet-stream"),
    ],
)
def test_type_follows_from_the_paths_extension_else_the_names(path, name, expected):
    """The extension of the path counts, else that of the name, else nothing is known."""
    assert content_type(path, name) == expected


def test_every_type_is_well_formed_and_every_extension_has_one():
    """The table holds MIME types as the standard writes them, for extensions in lower case."""
    assert len(TYPES) > 100
    assert all(re.fullmatch(r"[a-z]+/[a-z0-9][a-z0-9.+-]*", content_type) for content_type in TYPES.values())
    assert all(re.fullmatch(r"[a-z0-9]+", extension) for extension in TYPES)
