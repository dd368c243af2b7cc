"""What the configuration does to the log of a real task: secrets, a limit, and a disk that is full."""

import gzip
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .cli_support import BOUND, COMMAND, Done, environment, stagecall

FLOOD = "head -c 200000000 /dev/zero"


def write(here: Path, script: str, config: dict[str, Any]) -> None:
    (here / "task.json").write_text(json.dumps({"payload": {"command": ["sh", "-c", script]}}))
    (here / "worker.json").write_text(json.dumps({"plugins": {"disabled": ["logprefix"]}, **config}))


RUN = ["run", "task.json", "--config", "worker.json", "--json", "--out", "out", "--no-journal"]


def stored_log(done: Done, here: Path) -> bytes:
    """Return the log's artifact, unpacked."""
    (artifact,) = [one for one in json.loads(done.out)["artifacts"] if one["name"] == "public/logs/task.log"]
    return gzip.decompress((here / artifact["path"]).read_bytes())


def test_secrets_of_the_worker_are_in_no_log(tmp_path):
    """Neither on the screen nor in the artifact, from whichever process of the task they come."""
    script = "echo the-token in a line; cat key; printf the-; sleep 0.2; echo token"
    (tmp_path / "key").write_text("first line\n2nd\nthird line\n")
    config = {"worker": {"secrets": {"environment": ["A_TOKEN"], "files": ["key"]}}}
    write(tmp_path, f"cd {shlex.quote(str(tmp_path))}; {script}", config)

    done = stagecall(*RUN, cwd=tmp_path, env=environment(A_TOKEN="the-token"))

    assert json.loads(done.out)["resolution"] == "completed"
    assert stored_log(done, tmp_path) == b"[masked] in a line\n[masked]\n[masked]\n"
    assert [word for word in ("the-token", "line\n2nd", "third") if word in done.out + done.err] == []


def test_secret_that_is_missing_stops_the_worker(tmp_path):
    """A worker that cannot keep a secret runs nothing."""
    write(tmp_path, "echo started", {"worker": {"secrets": {"environment": ["NO_SUCH_TOKEN"]}}})

    done = stagecall(*RUN, cwd=tmp_path)

    assert done.code == 2
    assert "worker.secrets: the worker has no variable NO_SUCH_TOKEN" in done.err
    assert "started" not in done.err


def test_task_that_writes_too_much_completes_with_a_log_that_says_so(tmp_path):
    """The task is not held up, and the log ends with the line, and with what is said later."""
    write(tmp_path, f"{FLOOD}; exit 3", {"limits": {"maxLogBytes": "1 MiB"}})

    done = stagecall(*RUN, cwd=tmp_path)

    log = stored_log(done, tmp_path)
    assert json.loads(done.out)["resolution"] == "failed"
    assert log[: 1 << 20] == bytes(1 << 20)
    assert log[1 << 20 :].decode() == (
        "\n[stagecall:error] the task wrote more than the 1 MiB that its log may hold (limits.maxLogBytes): "
        "the rest of its output is not in the log\n[stagecall] the command exited with code 3\n"
    )


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"worker": {"secrets": {"environment": ["A_TOKEN"]}}},
    "limited": {"limits": {"maxLogBytes": "100 MB"}},
    "unlimited": {"limits": {"maxLogBytes": None}},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_file_that_may_not_grow_ends_the_task(tmp_path, config):
    """Where the log cannot grow the task is ended as a missing resource, however much it would still write."""
    write(tmp_path, "exec cat /dev/zero", config)

    done = subprocess.run(
        [*COMMAND, *RUN],
        cwd=tmp_path,
        env=environment(A_TOKEN="the-token"),
        capture_output=True,
        text=True,
        timeout=BOUND,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000)),
    )

    assert json.loads(done.stdout)["reason"] == "resource-unavailable"
    assert "the task log cannot grow: File too large" in done.stderr


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_full_disk_ends_the_task(tmp_path, config, need):
    """On a file system of 4 MB that a task fills by its log the run ends, and says why."""
    disk = tmp_path / "disk"
    disk.mkdir()
    worker = {"temporaryFolder": str(disk), **dict(config.get("worker", {}))}
    write(tmp_path, "exec cat /dev/zero", {**config, "worker": worker})

    done = on_a_small_disk(tmp_path, need("unshare"), "4m")

    summary = json.loads(done.out)
    assert (summary["resolution"], summary["reason"]) == ("exception", "resource-unavailable")
    assert "the task log cannot grow: No space left on device" in done.err
    assert list(disk.iterdir()) == []


def on_a_small_disk(here: Path, unshare: str, size: str) -> Done:
    """Run the command where `disk` is a file system of its own, which is gone with the command."""
    mount = f"mount -t tmpfs -o size={size} none disk"
    spaces = [unshare, "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*spaces, "sh", "-c", mount], cwd=here, capture_output=True, timeout=BOUND).returncode:
        pytest.skip("needs a file system of its own, which this system does not let us mount")
    command = shlex.join([sys.executable, *COMMAND[1:], *RUN])
    done = subprocess.run(
        [*spaces, "sh", "-c", f"{mount} && exec {command}"],
        cwd=here,
        env=environment(A_TOKEN="the-token"),
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    return Done(done.returncode, done.stdout, done.stderr)
