"""`stagecall run --serve` and `stagecall page`: addresses, what is there when, and how it ends."""

import asyncio
import json
import os
import re
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stagecall.worker.cli.batch import Batch
from stagecall.worker.cli.board import Board
from stagecall.worker.cli.config import WorkerConfig
from stagecall.worker.cli.exits import Problem
from stagecall.worker.cli.output import Streams
from stagecall.worker.cli.serving import Serving, serve_options, with_pages
from stagecall.worker.webhooks import WebHookOptions

from .cli_support import BOUND, COMMAND, environment, stagecall, terminal

WAITS = "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


def task(here: Path, name: str, script: str, **payload) -> str:
    """Write a task that runs a shell script in the test's folder; return its file's name."""
    command = ["sh", "-c", f"cd {here}; {script}"]
    (here / name).write_text(json.dumps({"payload": {"command": command, **payload}}))
    return name


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=BOUND) as response:
        return response.read().decode()


def told(page: str, part: str):
    """A part of what the data in a page says."""
    return json.loads(found(r'.*?id="stagecall-data">(.*?)</script>.*', page))[part]


def found(pattern: str, text: str) -> str:
    """What stands in the group of a pattern that all of a text fits."""
    match = re.fullmatch(pattern, text, re.DOTALL)
    assert match is not None, text
    return match[1]


def next_note(process: subprocess.Popen[str]) -> str:
    """The next line that the command says about itself."""
    assert process.stderr is not None
    return process.stderr.readline()


@contextmanager
def serving(here: Path, *arguments: str):
    """The command beside pipes, begun, with the address that it printed."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--serve", *arguments],
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, found(r"stagecall: pages at (http://127.0.0.1:\d+/[\w-]{22}/)\n", next_note(process))
        process.communicate(timeout=BOUND)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_pages_are_there_while_the_task_runs_and_go_with_the_command(here):
    """The address is the first that is said; index, page, events and log are behind it until the run is over."""
    with serving(here, task(here, "t.json", WAITS), "--out", "out") as (process, url):
        page = found(rf"stagecall: watch it at ({re.escape(url)}runs/[\w-]{{22}}/0/)\n", next_note(process))
        (listed,) = json.loads(get(f"{url}runs.json"))
        with urllib.request.urlopen(f"{page}events", timeout=BOUND) as events:
            (here / "go").touch()
            told = events.read().decode()  # to its end
        _, err = process.communicate(timeout=BOUND)

    assert (listed["label"], listed["state"], f"{url}{listed['url']}") == ("t", "running", page)
    assert told.rpartition("event: end\n")[2].startswith('data: {"taskId":')
    assert process.returncode == 0
    assert "public/logs/live.log" in err
    with pytest.raises(OSError, match="refused"):
        get(url)


def test_log_can_be_read_while_the_task_runs(here):
    """What the task has printed is at the page's log, and the rest follows until the end."""
    with serving(here, task(here, "t.json", WAITS), "--out", "out") as (process, _):
        page = next_note(process).split()[-1]
        with urllib.request.urlopen(f"{page}log", timeout=BOUND) as log:
            while b"begun" not in (line := log.readline()):
                assert line
            (here / "go").touch()
            rest = log.read().decode()

    assert rest.startswith("done\n")


def test_runs_of_earlier_commands_are_listed(here):
    """The runs that lie in the output folder already have pages too, with their logs."""
    earlier = stagecall("run", task(here, "earlier.json", "echo an old line"), cwd=here)
    assert earlier.code == 0

    with serving(here, task(here, "t.json", WAITS)) as (process, url):
        while len(listed := json.loads(get(f"{url}runs.json"))) < 2:
            pass
        old = next(run for run in listed if run["state"] == "completed")
        log = get(f"{url}{old['url']}log")
        (here / "go").touch()
        process.communicate(timeout=BOUND)

    assert "an old line\n" in log


def test_pages_stay_until_enter(here):
    """At a terminal the pages outlast the run until somebody presses Enter."""
    with terminal("run", "--serve", task(here, "t.json", "echo text"), "--out", "out", cwd=here) as shown:
        shown.read_until(lambda now: now.shows("until you press Enter"))
        url = found(r".*?(http://127.0.0.1:\d+/[\w-]{22}/).*", "\n".join(shown.screen))
        (run,) = json.loads(get(f"{url}runs.json"))
        log = get(f"{url}{run['url']}log")
        shown.type(b"\n")
        code = shown.wait()

    assert (code, run["state"], "text\n" in log) == (0, "completed", True)


def test_pages_stay_until_ctrl_c_and_the_exit_code_stays_the_runs(here):
    """Ctrl-C ends the pages of a run that is over, and changes nothing about it."""
    with terminal("run", task(here, "t.json", "exit 1"), "--out", "out", "--serve", cwd=here) as shown:
        shown.read_until(lambda now: now.shows("until you press Enter"))
        shown.type(b"\x03")
        code = shown.wait()

    assert code == 1
    assert not shown.shows("aborting")


def test_interrupted_command_does_not_stay(here):
    """Who has interrupted the run wants the command to end."""
    with terminal(
        "run", "--serve", task(here, "t.json", "echo text; sleep 60"), "--out", "out", cwd=here
    ) as shown:
        shown.read_until(lambda now: now.shows("^text"))
        shown.type(b"\x03")
        code = shown.wait()

    assert code == 4
    assert not shown.shows("until you press Enter")


@pytest.fixture
def lingering(monkeypatch):
    """A command whose run is over, at a terminal where nobody types; and what it has told."""
    monkeypatch.setattr(Streams, "attended", property(lambda streams: True))
    ours, its = os.openpty()
    saved = os.dup(0)
    os.dup2(its, 0)
    notes: list[str] = []
    screen: Any = SimpleNamespace(note=notes.append, hurry=lambda: None)
    streams = Streams(1, 2, 1, terminal=True, live=True, unicode=True)
    batch = Batch([], 1, streams, screen, Board(total=0, unicode=True), as_json=False)
    pages: Any = None
    batch.serving = Serving(pages, "http://127.0.0.1/", batch)
    yield batch.serving, notes
    os.dup2(saved, 0)
    for descriptor in (saved, ours, its):
        os.close(descriptor)


async def test_a_signal_between_run_and_pages_ends_these_too(lingering):
    """Who sends a signal when the run is over, and its page is being written, is not asked for Enter then."""
    serving, notes = lingering
    serving.batch.interrupt("SIGTERM")

    await asyncio.wait_for(serving.linger(), BOUND)

    assert not any("Enter" in note for note in notes)


async def test_a_hurry_ends_the_wait_for_enter(lingering):
    """Who has used up the first signal before the run was over can still end the wait for Enter."""
    serving, notes = lingering
    waiting = asyncio.create_task(serving.linger())
    await asyncio.sleep(0)
    assert serving.lingering

    serving.batch.hurry("Ctrl-C")

    await asyncio.wait_for(waiting, BOUND)
    assert "Enter" in notes[0]


def test_open_index_does_not_hold_up_the_end(here):
    """A page that would listen for ever is told the end when the command is through."""
    with serving(here, task(here, "t.json", WAITS), "--out", "out") as (process, url):
        with urllib.request.urlopen(f"{url}runs/events", timeout=BOUND) as index:
            (here / "go").touch()
            told = index.read().decode()
        process.communicate(timeout=BOUND)

    assert '"state":"completed"' in told
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ("127.0.0.1", 0)),
        ("8080", ("127.0.0.1", 8080)),
        ("localhost:8080", ("localhost", 8080)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_address_says_where(address, expected):
    """`--serve` takes a host and a port, or a port; without either any free port of this host is used."""
    options = serve_options(address, None)

    assert (options.host, options.port) == expected


@pytest.mark.parametrize("address", ["build", "localhost", ":", "1.2.3.4:99999", "0.0.0.0:80"])
def test_address_that_is_none_is_refused(address):
    """What cannot be served at is said in one line."""
    with pytest.raises(Problem, match=r"--serve: .*"):
        serve_options(address, None)


def test_configured_address_holds_unless_the_option_says_another():
    """Where the configuration has web hooks, the pages are there."""
    configured = WebHookOptions(port=8080, public_url="https://ci.example.org/")

    assert serve_options("", configured) == configured
    assert serve_options("9090", configured).port == 9090


def test_live_log_is_added_unless_it_was_left_out():
    """Pages come with the plugin livelog, but not against the configuration."""
    assert "livelog" in with_pages(WorkerConfig(), "").plugins
    assert "livelog" not in with_pages(WorkerConfig(disabled=frozenset({"livelog"})), "").plugins


def test_every_run_leaves_its_page(here):
    """Beside run.json lies the page, also of a task that failed, and it leads to the artifacts beside it."""
    artifacts = [{"type": "file", "path": "a.txt", "name": "public/a.txt"}]
    file = here / "t.json"
    file.write_text(
        json.dumps({"payload": {"command": ["sh", "-c", "echo x > a.txt; exit 1"], "artifacts": artifacts}})
    )

    done = stagecall("run", "t.json", "--out", "out", cwd=here)

    page = (here / "out" / "index.html").read_text()
    assert done.code == 1
    assert "out/index.html" in done.err
    assert '"artifacts/public/a.txt"' in page
    assert not re.search(r'<(?:script|link|img)[^>]*(?:src|href)="(?!data:)', page)


def test_page_is_made_of_a_recorded_run(here):
    """`stagecall page` makes the same page later; elsewhere it leads back to the artifacts."""
    artifacts = [{"type": "file", "path": "a.txt", "name": "public/a.txt"}]
    (here / "t.json").write_text(
        json.dumps({"payload": {"command": ["sh", "-c", "echo x > a.txt"], "artifacts": artifacts}})
    )
    stagecall("run", "t.json", "--out", "some/out", cwd=here)

    done = stagecall("page", "some/out/run.json", "--output", "page.html", cwd=here)
    printed = stagecall("page", "some/out/run.json", cwd=here)

    left = (here / "some/out/index.html").read_text()
    assert (done.code, done.err, printed.code) == (0, "", 0)
    assert (here / "page.html").read_text() == printed.out.replace('"artifacts/', '"some/out/artifacts/')
    assert '"label":"out"' in printed.out
    for part in ("log", "artifacts", "previews"):
        assert told(printed.out, part) == told(left, part)


def test_page_of_what_is_no_run_is_refused(here):
    """A file that is no run.json is named, with exit code 2."""
    (here / "run.json").write_text("{}")

    done = stagecall("page", "run.json", cwd=here)

    assert (done.code, "run.json: not a trace" in done.err, done.out) == (2, True, "")


def test_page_of_somebody_else_is_not_overwritten(here):
    """A folder with an index.html that no run seems to have left is refused, and the file stays."""
    (here / "out").mkdir()
    (here / "out" / "index.html").write_text("mine")

    done = stagecall("run", task(here, "t.json", "true"), "--out", "out", cwd=here)

    assert (done.code, (here / "out" / "index.html").read_text()) == (2, "mine")
    assert "has index.html but no run.json" in done.err
