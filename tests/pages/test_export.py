"""The page as one file: complete, harmless, bounded, and opened from disk."""

import base64
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import attrs
import pytest

from stagecall.lifecycle.surroundings import Artifact
from stagecall.specs.trace import Event, Kind, Trace
from stagecall.worker.pages import export
from stagecall.worker.pages.assets import asset, asset_names
from stagecall.worker.pages.export import Recorded, page_of
from stagecall.worker.pages.logs import unpacked_log

HOSTILE = "</script><!--<script>parent.broken=1</script><img src=x onerror=broken=1>\u2028\x00\u202e"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Outline(HTMLParser):
    """The elements of a page, the text of its data, and its policy."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.inside = None
        self.data = ""
        self.scripts = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = (tag, dict(attributes))
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside is not None and self.inside[0] == "script":
            self.scripts[-1] += text

    @property
    def told(self):
        """What the page's own data says."""
        return json.loads(self.scripts[0])


def trace_of(*artifacts, task_id="f6hHc4uMQnKlAaMhLhuSZw"):
    """A trace of a run that stored artifacts."""
    events = [Event(0.0, Kind.RUN, "pending", detail={"task_id": task_id, "run_id": 0, "plugins": []})]
    for artifact in artifacts:
        detail = attrs.asdict(artifact) | {"expires": artifact.expires.isoformat()}
        events.append(Event(1.0, Kind.ARTIFACT, "stopped", detail=detail))
    events.append(Event(2.0, Kind.OUTCOME, "finished", detail={"state": "completed", "final": True}))
    events.append(Event(3.0, Kind.END, "dispose"))
    return Trace(datetime(2026, 1, 1, tzinfo=UTC), events)


@pytest.fixture
def stored(tmp_path):
    """`stored(name, content, content_type)`: an artifact, with its file in the run's folder."""

    def store(name, content=b"", content_type="text/plain", **fields):
        path = tmp_path / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        expires = datetime(2027, 1, 1, tzinfo=UTC)
        return Artifact(name, "object", content_type, expires, str(path), bytes=len(content), **fields)

    return store


def other(name, storage, **fields):
    """An artifact without content."""
    return Artifact(name, storage, "text/plain", datetime(2027, 1, 1, tzinfo=UTC) + timedelta(0), **fields)


def log_of(data):
    return unpacked_log([data], packed=False)


def test_page_asks_for_nothing_and_runs_only_what_is_in_it(tmp_path):
    """The one file names no other, and its policy allows each of its scripts and styles by hash."""
    text = page_of(Recorded(trace_of(), "build", tmp_path, log_of(b"hello\n")))

    page = Outline(text)
    (policy,) = (one["content"] for tag, one in page.elements if one.get("http-equiv"))
    assert "'unsafe" not in policy
    assert "'self'" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert [one for tag, one in page.elements if "src" in one] == []
    assert {one["href"] for tag, one in page.elements if tag == "link"} == {"data:,"}
    assert policy.count("sha256-") == len(re.findall("<style>", text)) + len(page.scripts) - 1


def test_page_holds_the_run(tmp_path, stored):
    """Trace, summary with the explanation, log, addresses and previews stand in the page's data."""
    page = Outline(
        page_of(Recorded(trace_of(stored("public/a b#.txt", b"text")), "build", tmp_path, log_of(b"hello\n")))
    )

    told = page.told
    assert told["trace"] == json.loads(json.dumps(trace_of(stored("public/a b#.txt", b"text")).to_document()))
    assert (told["label"], told["summary"]["resolution"]) == ("build", "completed")
    assert told["summary"]["explanation"][0].startswith("Run 0 of task")
    assert gzip.decompress(base64.b64decode(told["log"]["data"])) == b"hello\n"
    assert told["artifacts"] == {"public/a b#.txt": "artifacts/public/a%20b%23.txt"}
    assert told["previews"] == {"public/a b#.txt": {"text": "text", "cut": False}}


def test_hostile_text_stays_data(tmp_path, stored):
    """Whatever names, logs, errors and contents hold: the page has the elements that it always has."""
    artifact = stored("public/it", HOSTILE.encode())
    error = other(HOSTILE, "error", reason=HOSTILE, message=HOSTILE)
    plain = Outline(page_of(Recorded(trace_of(), "build", tmp_path, log_of(b""))))

    page = Outline(
        page_of(Recorded(trace_of(artifact, error, task_id=HOSTILE), HOSTILE, tmp_path, log_of(b"")))
    )

    assert page.elements == plain.elements
    assert page.told["label"] == HOSTILE
    assert page.told["previews"]["public/it"]["text"] == HOSTILE


@pytest.mark.parametrize("name", sorted(asset_names()))
def test_assets_can_stand_in_a_page(name):
    """No script or style has what would end its element, or begin another."""
    text = asset(name).lower()

    assert [mark for mark in ("</script", "</style", "<!--") if mark in text] == []


def test_long_log_loses_its_middle(tmp_path, monkeypatch):
    """Of a log that is too long the beginning and the end are there, whole lines where there are any."""
    monkeypatch.setattr(export, "HEAD_BYTES", 100_000)
    monkeypatch.setattr(export, "TAIL_BYTES", 200_000)
    lines = [b"line %06d\n" % number for number in range(50_000)]
    log = b"".join(lines)

    told = Outline(page_of(Recorded(trace_of(), "build", tmp_path, log_of(log)))).told["log"]

    kept = gzip.decompress(base64.b64decode(told["data"]))
    head, tail = kept[: told["head"]], kept[told["head"] :]
    assert (log.startswith(head), log.endswith(tail), head[-1:]) == (True, True, b"\n")
    assert tail.startswith(b"line ")
    assert told["lines"] == 50_000 - kept.count(b"\n")
    assert (told["bytes"], len(head) + told["omitted"] + len(tail)) == (len(log), len(log))
    assert 83_000 < len(head) <= 100_000
    assert 183_000 < len(tail) <= 200_000


def test_previews_are_bounded(tmp_path, stored, monkeypatch):
    """Texts are cut, pictures are whole or not there, and all of them together have a bound."""
    monkeypatch.setattr(export, "PREVIEWS_BYTES", 200_000)
    large = [stored(f"public/{number}.txt", b"x" * 70_000) for number in range(9)]
    pictures = [stored("public/a.png", PNG, "image/png"), stored("public/b.png", b"x" * 600_000, "image/png")]
    drawing = stored("public/c.svg", b"<svg onload='alert(1)'/>", "image/svg+xml")

    told = Outline(page_of(Recorded(trace_of(*pictures, drawing, *large), "build", tmp_path))).told

    assert told["previews"]["public/a.png"]["image"].startswith("data:image/png;base64,")
    assert told["previews"]["public/c.svg"] == {"text": "<svg onload='alert(1)'/>", "cut": False}
    picture = len(told["previews"]["public/a.png"]["image"])
    texts = [len(told["previews"][f"public/{number}.txt"]["text"]) for number in range(4)]
    assert texts == [65_536, 65_536, 65_536, 200_000 - 3 * 65_536 - 24 - picture]
    assert told["previews"]["public/b.png"] == {"none": "large"}
    assert told["log"] is None


def test_packed_text_is_unpacked_for_its_preview(tmp_path, stored):
    """What is stored packed is shown as text, and what only says that it is packed is not shown."""
    packed = stored("public/a.txt", gzip.compress(b"plain " * 100_000), content_encoding="gzip")
    broken = stored("public/b.txt", b"not packed", content_encoding="gzip")

    told = Outline(page_of(Recorded(trace_of(packed, broken), "build", tmp_path))).told["previews"]

    assert told["public/a.txt"] == {"text": ("plain " * 11_000)[:65_536], "cut": True}
    assert told["public/b.txt"] == {"text": "", "cut": False}


def test_addresses_lead_to_files_of_the_run_and_to_the_web_only(tmp_path, stored):
    """A link or a redirect within the run leads to its file; no script, and no file elsewhere, has an address."""
    backing = stored("public/logs/live_backing.log")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "artifacts" / "public" / "way-out").symlink_to(tmp_path / "secret")
    addressed = (tmp_path / "artifacts" / "public" / "logs" / "live_backing.log").as_uri()
    artifacts = [
        backing,
        other("linked", "link", target="public/logs/live_backing.log"),
        other("public/logs/live.log", "redirect", url=addressed),
        other("web", "redirect", url="https://ci.example.org/x"),
        other("script", "redirect", url="javascript:alert(1)"),
        other("elsewhere", "redirect", url="file:///etc/passwd"),
        attrs.evolve(backing, name="public/way-out"),
        attrs.evolve(backing, name="public/gone"),
    ]

    told = Outline(page_of(Recorded(trace_of(*artifacts), "build", tmp_path, base="../artifacts/"))).told

    assert told["artifacts"] == {
        "public/logs/live_backing.log": "../artifacts/public/logs/live_backing.log",
        "linked": "../artifacts/public/logs/live_backing.log",
        "public/logs/live.log": "../artifacts/public/logs/live_backing.log",
        "web": "https://ci.example.org/x",
    }
    assert "secret" not in json.dumps(told["previews"])


def test_very_many_artifacts_are_cut(tmp_path, monkeypatch):
    """The page tells of the first artifacts only, and of everything else that happened."""
    monkeypatch.setattr(export, "MOST_ARTIFACTS", 10)
    artifacts = [other(f"public/{number}", "error", reason="x") for number in range(50)]

    told = Outline(page_of(Recorded(trace_of(*artifacts), "build", tmp_path))).told

    assert [event["kind"] for event in told["trace"]["events"]] == [
        "run",
        *["artifact"] * 10,
        "outcome",
        "end",
    ]
    assert [one["name"] for one in told["summary"]["artifacts"]] == [
        f"public/{number}" for number in range(10)
    ]
