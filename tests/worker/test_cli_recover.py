"""`stagecall recover`, and what `stagecall run` does with its journal."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagecall.specs.rules import judge
from stagecall.specs.trace import Kind, Trace
from stagecall.worker.cli.config import Available, read_config
from stagecall.worker.cli.exits import Problem
from stagecall.worker.cli.recover import chosen_journal, default_journal

from .cli_support import BOUND, COMMAND, environment, stagecall

SLEEPS = """
taskId: fGbWQ2rfSpyjCXEBmHzvbg
payload:
  command: [sh, -c, 'echo started; sleep 1000']
"""
GREETS = "payload: {command: [echo, hello]}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two tasks, and a state folder of its own."""
    (tmp_path / "sleeps.yml").write_text(SLEEPS)
    (tmp_path / "greets.yml").write_text(GREETS)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path
    stagecall("recover", cwd=tmp_path)


def killed(here: Path, *arguments: str) -> None:
    """Run the task that sleeps, and kill the command once the task's output is there."""
    command = [*COMMAND, "run", "sleeps.yml", *arguments]
    with subprocess.Popen(
        command, cwd=here, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line == b"started\n":
                break
        run.send_signal(signal.SIGKILL)
        run.wait(BOUND)


def sleeping(here: Path) -> list[str]:
    """Return the processes of the task that are alive: they work in a folder of the killed command."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if "fGbWQ2rfSpyjCXEBmHzvbg" in os.readlink(f"/proc/{entry}/cwd"):
                found.append(entry)
        except OSError:
            continue
    return found


def test_recover_ends_what_a_killed_command_left(here):
    """The task's processes are dead, log and trace are in the output folder, and the next time there is nothing."""
    killed(here, "--out", "out")
    assert sleeping(here)
    looked = stagecall("recover", "--dry-run", cwd=here)
    assert sleeping(here)

    done = stagecall("recover", cwd=here)
    again = stagecall("recover", cwd=here)

    journal = here / "state" / "stagecall" / "journal.db"
    trace = Trace.from_document(json.loads((here / "out" / "run.json").read_text()))
    assert sleeping(here) == []
    assert (looked.code, done.code, again.code) == (0, 0, 0)
    assert looked.out.startswith(f"{journal}: to recover\n")
    (verdict,) = (line for line in done.out.splitlines() if line.startswith("fGbWQ2rfSpyjCXEBmHzvbg run 0: "))
    assert re.search(r"the worker died in (start|started|waiting); exception \(worker-shutdown\)$", verdict)
    assert f"  log and trace: {here / 'out'}\n" in done.out
    assert again.out == f"{journal}: nothing to recover\n"
    assert "started\n" in (here / "out" / "task.log").read_text()
    assert judge(trace) == []
    assert stagecall("check", "out/run.json", cwd=here).code == 0


def test_recover_as_json(here):
    """A program is told everything in one object."""
    killed(here)

    done = stagecall("recover", "--json", cwd=here)

    told = json.loads(done.out)
    (run,) = told.pop("runs")
    folder = here / "stagecall-out" / "fGbWQ2rfSpyjCXEBmHzvbg"
    undone = [lease["kind"] for lease in run.pop("undone")]
    assert run.pop("stage") in ("start", "started", "waiting")
    assert undone[-1] == "folder"
    assert any(kind.startswith("process.") for kind in undone)
    assert run == {
        "taskId": "fGbWQ2rfSpyjCXEBmHzvbg",
        "runId": 0,
        "resolution": "exception",
        "reason": "worker-shutdown",
        "left": [],
        "folder": str(folder),
        "reported": None,
        "problems": [],
    }
    assert [lease["kind"] for lease in told.pop("undone")] == ["folder"]
    assert told == {
        "journal": str(here / "state" / "stagecall" / "journal.db"),
        "dryRun": False,
        "left": [],
        "living": 0,
        "damage": None,
    }


def test_the_next_command_recovers_first(here):
    """`run` cleans up after a killed one, says so in a line, and loses nothing of it where it uses the same folder."""
    killed(here, "--out", "out")

    done = stagecall("run", "greets.yml", "--out", "out", cwd=here)

    journal = here / "state" / "stagecall" / "journal.db"
    kept = here / "out" / "recovered-fGbWQ2rfSpyjCXEBmHzvbg-0"
    assert done.code == 0
    assert sleeping(here) == []
    assert f"stagecall: recovered from {journal}: fGbWQ2rfSpyjCXEBmHzvbg (worker-shutdown); " in done.err
    assert f"stagecall: what fGbWQ2rfSpyjCXEBmHzvbg had left in {here / 'out'} is in {kept}\n" in done.err
    assert sorted(os.listdir(kept)) == ["run.json", "task.log"]
    assert sorted(os.listdir(here / "out")) == ["artifacts", "index.html", kept.name, "run.json"]


def test_a_run_is_journaled_unless_told_otherwise(here):
    """A run leases what it holds; with --no-journal it does not, and no journal is made."""
    with_journal = stagecall("run", "greets.yml", "--out", "a", "--journal", "mine.db", cwd=here)
    without = stagecall("run", "greets.yml", "--out", "b", "--no-journal", cwd=here)

    leases = {
        out: [
            event.get("what") for event in Trace.from_document(read(here / out / "run.json")).of(Kind.LEASE)
        ]
        for out in ("a", "b")
    }
    assert (with_journal.code, without.code) == (0, 0)
    assert leases["b"] == []
    assert "folder" in leases["a"]
    assert (here / "mine.db").exists()
    assert not (here / "state").exists()


def read(file: Path) -> object:
    return json.loads(file.read_text())


def test_a_journal_that_cannot_be_used_is_told_before_anything_runs(here):
    """The message says what to do about it; nothing has run."""
    done = stagecall("run", "greets.yml", "--journal", "greets.yml", cwd=here)

    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"stagecall: {here / 'greets.yml'} is not a journal; name another file; "
        "name another file with --journal, or do without: --no-journal"
    )
    assert "hello" not in done.out
    assert (here / "greets.yml").read_text() == GREETS


def test_recover_refuses_what_is_no_journal(here):
    """A usage error leaves the file alone."""
    done = stagecall("recover", "--journal", "greets.yml", cwd=here)

    assert (done.code, done.out) == (2, "")
    assert "greets.yml is not a journal; name another file" in done.err


def test_what_cannot_be_undone_is_the_exit_code(here):
    """1 says that something stays; it is named."""
    killed(here)
    journal = here / "state" / "stagecall" / "journal.db"
    _rename_kinds(journal)

    done = stagecall("recover", cwd=here)
    _rename_kinds(journal, back=True)

    assert done.code == 1
    assert "  NOT undone: nobody.folder {" in done.out
    assert "nothing is installed that undoes it; it is kept" in done.out
    assert stagecall("recover", cwd=here).code == 0


def _rename_kinds(path: Path, *, back: bool = False) -> None:
    """Give the leases of folders a kind that nobody undoes, or theirs again."""
    from stagecall.lifecycle.journal.store import Store, insert

    store = Store.open(path)
    for session in store.sessions():
        for record in store.records(session)[0]:
            if record.what == "lease" and record.body["kind"] in ("folder", "nobody.folder"):
                body = {**record.body, "kind": "folder" if back else "nobody.folder"}
                store.commit([insert(record.session, record.run, "lease", record.part, body)])
    store.close()


def test_where_the_journal_lies(monkeypatch):
    """Options come before the configuration, and that before the user's state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/.local/state")
    default = Path("/home/me/.local/state/stagecall/journal.db")

    assert default_journal() == default
    assert chosen_journal(None, False, True) == default
    assert chosen_journal(None, False, "mine.db") == Path("mine.db")
    assert chosen_journal("other.db", False, "mine.db") == Path("other.db")
    assert chosen_journal(None, True, "mine.db") is None
    assert chosen_journal(None, False, False) is None
    assert chosen_journal("other.db", False, False) == Path("other.db")
    with pytest.raises(Problem, match="--journal and --no-journal: choose one"):
        chosen_journal("other.db", True, True)
    with pytest.raises(Problem, match="--journal: is empty"):
        chosen_journal("", False, True)


CONFIGURED = [({}, True), ({"journal": False}, False), ({"journal": "a.db"}, "a.db")]


@pytest.mark.parametrize(("written", "expected"), CONFIGURED)
def test_the_configuration_names_the_journal(written, expected):
    """`worker.journal` is a file, or whether there is one."""
    available = Available({"process": {}}, {"success": {}})

    config = read_config({"worker": written, "plugins": {"success": {}}}, available)

    assert config.journal == expected


def test_run_goes_on_although_what_was_left_cannot_be_set_apart(here):
    """A name that is taken is told, and no reason to run nothing."""
    killed(here, "--out", "out")
    (here / "out" / "recovered-fGbWQ2rfSpyjCXEBmHzvbg-0").write_text("in the way")

    done = stagecall("run", "greets.yml", "--out", "out", cwd=here)

    assert done.code == 0
    assert "what fGbWQ2rfSpyjCXEBmHzvbg had left in" in done.err
    assert "may be written over: [Errno 17] File exists" in done.err
