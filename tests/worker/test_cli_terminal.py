"""`stagecall run` in a terminal: stage line, log, summary, Ctrl-C, and hostile tasks."""

import json
import re
import time
from pathlib import Path

import psutil
import pytest

from .cli_support import Terminal, environment, terminal


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


def task(here: Path, name: str, script: str, **payload) -> str:
    (here / name).write_text(json.dumps({"payload": {"command": ["sh", "-c", script], **payload}}))
    return name


def ended(shown: Terminal) -> bool:
    return shown.process.poll() is not None


def test_a_run_from_beginning_to_end(here):
    """While a task runs its log stands above the stage line; in the end a summary stands in its place."""
    file = task(
        here,
        "hello.json",
        f"echo first; printf 'half a line'; while [ ! -e {here}/go ]; do sleep 0.05; done; echo; echo last",
    )

    with terminal("run", file, "--out", "out", cwd=here) as shown:
        shown.read_until(lambda now: now.shows("half a line") and now.shows("waiting +[0-9.]+s  of [0-9.]+s"))
        during = shown.screen
        (here / "go").touch()
        code = shown.wait()

    assert code == 0
    assert during[-3:-1] == ["first", "half a line"]
    assert during[-1].startswith(" hello  ●●●●◉○○○○  waiting ")
    log = shown.screen[: shown.screen.index("")]
    assert [line for line in log if "stagecall]" not in line] == ["first", "half a line", "last"]
    assert any(line.startswith(" ✔ completed  hello  ") for line in shown.screen)
    assert any(line.endswith(" out/artifacts/public/logs/task.log") for line in shown.screen)
    assert not shown.shows("◉")


def test_a_large_upload_can_be_watched(here):
    """While a large artifact is stored the stage line says how much of it is."""
    file = task(
        here,
        "t.json",
        "truncate -s 300M big",
        artifacts=[{"type": "file", "path": "big", "name": "public/big"}],
    )

    with terminal("run", file, "--out", "out", cwd=here, columns=140) as shown:
        code = shown.wait()

    assert code == 0
    told = re.findall(r"0 artifacts, [^;]*; big ([0-9.]+) (?:bytes|.B) of 314\.6 MB", shown.output.decode())
    assert told, shown.screen


def test_hostile_output_cannot_harm_the_terminal(here):
    """Of a task's control sequences only colours reach the terminal; the stage line stays where it is."""
    hostile = r"\033[2J\033[H\033[?1049h\033]0;title\007\033c\033[5A"
    hostile += r"\033[31mred\033[0m\033[6n\033P1$t\033\\\n"
    file = task(here, "t.json", f"printf '{hostile}'; printf '10%%\\r20%%\\r\\n'; sleep 0.5; printf '\\033['")

    with terminal("run", file, cwd=here) as shown:
        code = shown.wait()

    assert code == 0
    assert "red" in shown.screen  # the screen refuses every sequence that is not the command's own
    assert "20%" in shown.screen
    assert b"\x1b[31mred\x1b[0m" in shown.output


def test_several_tasks_share_the_screen(here):
    """Lines are marked by task, each running task has a stage line, and the last line counts."""
    wait = f"while [ ! -e {here}/go ]; do sleep 0.05; done"
    files = [
        task(here, "a.json", f"echo one; {wait}"),
        task(here, "b.json", f"echo two; {wait}"),
        task(here, "c.json", "echo three"),
    ]

    with terminal("run", *files, "--concurrency", "2", cwd=here) as shown:
        shown.read_until(
            lambda now: (
                now.shows(r"a-1 \| one") and now.shows(r"b-2 \| two") and now.shows("2 running, 1 waiting")
            )
        )
        shown.read_until(lambda now: sum("waiting  " in line for line in now.screen) == 2)
        during = shown.screen
        (here / "go").touch()
        code = shown.wait()

    assert code == 0
    assert [line[:5] for line in during[-3:-1]] == [" a-1 ", " b-2 "]
    assert during[-1] == " 0 of 3 done, 2 running, 1 waiting"
    assert sum(line.startswith(" ✔ completed  ") for line in shown.screen) == 3
    assert "c-3 | three" in shown.screen


def test_ctrl_c_once(here):
    """Ctrl-C aborts: the line says so, dispose runs, no process is left, the exit code is 4."""
    mark = f"{time.time_ns() % 10**9 + 10**9}"
    file = task(
        here,
        "t.json",
        f"sleep {mark} & echo running; trap 'echo asked to go; sleep 0.3; exit' TERM; wait; wait",
    )

    with terminal("run", file, "--out", "out", cwd=here, columns=140) as shown:
        shown.read_until(lambda now: now.shows("running") and now.shows("waiting "))
        shown.type(b"\x03")
        shown.read_until(lambda now: now.shows(r"aborting; Ctrl-C again to hurry") or ended(now))
        code = shown.wait()

    assert code == 4
    assert shown.shows("^stagecall: Ctrl-C: aborting 1 task; Ctrl-C again to hurry$")
    assert shown.shows("^ ⚠ exception: worker-shutdown  t ")
    assert not shown.shows("◉")
    assert json.loads((here / "out/run.json").read_text())["summary"]["stages"][-1]["stage"] == "dispose"
    assert [
        process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])
    ] == []


def test_a_paused_terminal_holds_up_nothing(here):
    """While the terminal is paused (Ctrl-S) the run goes on to its end; then everything is shown."""
    file = task(
        here,
        "t.json",
        f"echo running; while [ ! -e {here}/go ]; do sleep 0.05; done; seq 1000; touch {here}/done",
    )

    with terminal("run", file, "--out", "out", cwd=here) as shown:
        shown.read_until(lambda now: now.shows("running"))
        shown.type(b"\x13")
        (here / "go").touch()
        end = time.monotonic() + 30
        while not (here / "out/run.json").exists() and time.monotonic() < end:
            time.sleep(0.05)
        written_while_paused = (here / "done").exists()
        shown.type(b"\x11")
        code = shown.wait()

    assert (code, written_while_paused) == (0, True)
    assert "1000" in shown.screen


def test_a_terminal_that_cannot_be_drawn_on(here):
    """Where TERM is dumb, stages are lines, and the task's control sequences are left out all the same."""
    file = task(here, "t.json", "printf '\\033[2Jtext\\n'")

    with terminal("run", file, cwd=here, env=environment(TERM="dumb")) as shown:
        code = shown.wait()

    assert code == 0
    assert "text" in shown.screen
    assert shown.shows("^--- waiting at ")


def test_json_in_a_terminal(here):
    """With --json the object is a line of its own, below the log."""
    with terminal("run", task(here, "t.json", "echo text"), "--json", cwd=here, columns=100) as shown:
        code = shown.wait()

    assert code == 0
    (line,) = [line for line in shown.screen if line.startswith("{")]
    assert json.loads(line)["resolution"] == "completed"
