"""The page: one file that needs nothing else, allows nothing else, and tells everything as a table too."""

import base64
import hashlib
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stagecall.lifecycle.diagram import html
from stagecall.specs.lifecycle import TASK_RUN
from stagecall.specs.trace import Trace

from .diagram_support import (
    BROKEN,
    HOSTILE,
    TASK_ID,
    WITH_INVENTED_STAGES,
    aborted_run,
    broken_run,
    completed_run,
    hostile_run,
    malformed_run,
    running_run,
)

RUNS = [completed_run, broken_run, running_run, aborted_run, malformed_run, hostile_run]
VOID = {"meta"}


class Page(HTMLParser):
    """What a browser would find: elements and their attributes, the rows of tables, texts by their tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(text)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += text

    def find(self, name: str) -> list[tuple[str, str]]:
        """The value of that attribute and the class of every element that has it."""
        return [(found[name], found.get("class", "")) for _, found in self.elements if name in found]


@pytest.mark.parametrize("lifecycle", [TASK_RUN, WITH_INVENTED_STAGES, BROKEN], ids=lambda given: given.name)
@pytest.mark.parametrize("run", [None, *RUNS])
def test_page_is_self_contained(lifecycle, run):
    """The page holds no script, no address, and no attribute that loads or runs anything."""
    text = html(lifecycle, run and run())

    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "image",
        "use",
    } == set()
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "href", "style", "action")]
    assert re.findall(r"https?:|//[a-z]|url\(|@import", text) == []


@pytest.mark.parametrize("run", [None, *RUNS])
def test_policy_allows_the_page_its_own_style_and_nothing_else(run):
    """The content security policy names the hash of the one style sheet that is there."""
    page = Page(html(TASK_RUN, run and run()))

    (css,) = page.texts["style"]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policies = [
        found["content"] for _, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    assert [tag for tag, _ in page.elements].count("style") == 1
    assert "prefers-color-scheme:dark" in css


def test_page_of_a_run_tells_its_resolution():
    """Heading, resolution, cause and facts stand above the picture."""
    page = Page(html(TASK_RUN, broken_run(), title="Build the thing"))

    assert page.texts["title"][0] == "Build the thing: exception: internal-error"
    assert page.texts["h1"] == ["Build the thing"]
    assert page.texts["strong"] == ["exception: internal-error"]
    message = "OSError: [Errno 28] No space left on device: '/var/lib/stagecall/store/public/logs/live.log'"
    assert page.texts["p"][:2] == [
        " after 6.23 s",
        f"started of plugin artifacts: {message} (incident 8f2c1e)",
    ]
    assert page.texts["dd"] == [TASK_ID, "task-run", "2026-03-01 12:00:00 UTC"]


def test_table_of_a_run_has_every_stage_and_call():
    """The table is the picture in words: each stage, entered or not, each call with its time and outcome."""
    rows = Page(html(TASK_RUN, completed_run())).rows

    assert len(rows) == 1 + len(TASK_RUN.stages) + len([e for e in completed_run() if e.kind == "call"])
    start = rows.index(["stopped", "3.27 s", "412 ms", ""])
    assert rows[start + 1 : start + 7] == [
        ["artifacts stopped", "3.27 s", "412 ms", "ok"],
        ["tasklog stopped", "3.27 s", "0.3 ms", "ok"],
        ["finished", "3.68 s", "31 ms", ""],
        ["tasklog finished", "3.68 s", "31 ms", "ok"],
        ["artifacts finished", "3.68 s", "0.4 ms", "ok"],
        ["exception", "", "", "not entered"],
    ]


def test_failed_task_names_who_said_so():
    """A hook that judged the task as failed is told apart from one that failed."""
    rows = Page(html(TASK_RUN, completed_run("failed"))).rows

    assert ["artifacts stopped", "3.27 s", "412 ms", "says failed"] in rows


def test_table_of_a_lifecycle_has_every_stage():
    """Without a run the table tells what each stage does, what plugins get, and what follows."""
    rows = Page(html(TASK_RUN)).rows

    assert rows[0] == ["Stage", "The run does", "Plugins get", "Next", "On exception"]
    assert rows[1:4] == [
        ["pending", "waits to be driven; nothing is acquired yet", "", "prepare", "exception"],
        [
            "prepare",
            "validates the payload; creates sandbox builder and task plugins side by side",
            "new_task_plugin(options)",
            "build",
            "exception",
        ],
        ["build", "", "build_sandbox(builder)", "start", "exception"],
    ]
    assert rows[-1][-2:] == ["", ""]


def test_hostile_text_is_shown_and_harmless():
    """Names, errors, reasons and the title are text, whatever they hold."""
    text = html(TASK_RUN, hostile_run(), title=HOSTILE)

    page = Page(text)
    assert "<script" not in text
    assert any("<script>alert(1)</script>" in row[0] for row in page.rows)
    assert '"><script>alert(1)</script>' in page.texts["h1"][0]
    assert not set("\x00\ud800\u202e") & set(text)


def test_page_of_a_trace_without_events():
    """A trace in which nothing has happened is a page too."""
    page = Page(html(TASK_RUN, Trace(completed_run().started)))

    assert page.texts["strong"] == ["never resolved"]


@pytest.fixture
def browse(need, tmp_path):
    """Returns the page as a browser has it after it loaded the file."""
    program = need("chromium", "chromium-browser", "google-chrome")

    def load(text: str) -> Page:
        file = Path(tmp_path / "page.html")
        file.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                *(
                    program,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--no-first-run",
                    "--disable-extensions",
                ),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return Page(done.stdout)

    return load


def test_browser_shows_the_path_taken(browse):
    """Loaded from disk, the page has the stages and edges of the run's path marked, and the failing one."""
    page = browse(html(TASK_RUN, broken_run()))

    stages = {name: names.split()[-1] for name, names in page.find("data-stage") if "stage" in names.split()}
    taken = [edge for edge, names in page.find("data-edge") if "taken" in names.split()]
    assert stages == {
        **dict.fromkeys(("pending", "prepare", "build", "start", "exception", "resolved"), "entered"),
        **dict.fromkeys(("started", "dispose"), "failed"),
        **dict.fromkeys(("waiting", "stopped", "finished"), "skipped"),
    }
    assert {"pending prepare", "start started", "stopped/exception exception", "resolved dispose"} <= set(
        taken
    )
    assert "started waiting" not in taken


def test_browser_finds_no_script_in_hostile_names(browse):
    """A browser makes no element of what names and errors say."""
    page = browse(html(TASK_RUN, hostile_run(), title=HOSTILE))

    assert {tag for tag, _ in page.elements} & {"script", "x"} == set()
    assert any("<script>alert(1)</script>" in text for text in page.texts["h1"])
