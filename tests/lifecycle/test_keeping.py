"""What recovery keeps of a run appears under its name when it is complete, and nothing else lies beside it."""

import errno
import json
import os
import stat
import sys
import threading

import pytest

from stagecall.lifecycle.journal.lease import Lease
from stagecall.lifecycle.recovery.keeping import keep_log, keep_trace


def test_what_a_killed_recovery_left_of_a_copy_is_replaced(tmp_path):
    """A recovery that was killed while it wrote leaves a file that the next one writes anew."""
    source, kept = tmp_path / "run", tmp_path / "kept"
    source.mkdir()
    kept.mkdir()
    (source / "task.log").write_text("all of it\n")
    (kept / ".task.log.0123-1").write_text("all")
    (kept / ".run.json.0123-1").write_text("{")
    lease = Lease(1, "folder", {"path": str(source), "log": "task.log"})

    copied = keep_log(lease, kept, "0123-1", threading.Event())
    keep_trace({"version": 1}, kept, "0123-1", threading.Event())

    assert copied
    assert sorted(path.name for path in kept.iterdir()) == ["run.json", "task.log"]
    assert (kept / "task.log").read_text() == "all of it\n"
    assert json.loads((kept / "run.json").read_text()) == {"version": 1}


def test_log_that_a_task_made_huge_by_a_hole_takes_no_room_when_it_is_kept(tmp_path):
    """Holes stay holes: a task can claim a terabyte of log in no time, and recovery neither copies nor stores it."""
    source, kept = tmp_path / "run", tmp_path / "kept"
    source.mkdir()
    log = source / "task.log"
    log.write_bytes(b"said\n")
    os.truncate(log, 1 << 40)
    with open(log, "r+b") as file:
        file.seek(1 << 39)
        file.write(b"in the middle\n")
    lease = Lease(1, "folder", {"path": str(source), "log": "task.log"})

    copied = keep_log(lease, kept, "0123-1", threading.Event())

    copy = os.stat(kept / "task.log")
    with open(kept / "task.log", "rb") as file:
        first = file.read(5)
        file.seek(1 << 39)
        middle = file.read(14)
    assert copied
    assert (first, middle) == (b"said\n", b"in the middle\n")
    assert (copy.st_size, copy.st_blocks * 512 < 1_000_000) == (1 << 40, True)


def test_log_is_kept_where_files_have_no_holes(tmp_path, monkeypatch):
    """A file system that does not tell data from holes has the whole file copied."""
    source, kept = tmp_path / "run", tmp_path / "kept"
    source.mkdir()
    (source / "task.log").write_bytes(b"x" * 3_000_000)

    def lseek(file, offset, how):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr("stagecall.lifecycle.recovery.keeping.os.lseek", lseek)

    keep_log(Lease(1, "folder", {"path": str(source), "log": "task.log"}), kept, "0-1", threading.Event())

    monkeypatch.undo()
    assert (kept / "task.log").read_bytes() == b"x" * 3_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="needs O_PATH")
def test_log_is_kept_although_its_task_took_the_rights_to_it_away(tmp_path, monkeypatch):
    """The folder is removed in spite of that: the log must not go with it."""
    source, kept = tmp_path / "run", tmp_path / "kept"
    source.mkdir()
    (source / "task.log").write_text("all of it\n")
    (source / "task.log").chmod(0)
    source.chmod(0)
    monkeypatch.setattr("stagecall.lifecycle.recovery.keeping.os.open", _unprivileged_open(os.open))

    copied = keep_log(
        Lease(1, "folder", {"path": str(source), "log": "task.log"}), kept, "0-1", threading.Event()
    )

    assert copied
    assert (kept / "task.log").read_text() == "all of it\n"


def _unprivileged_open(opened):
    """Return an `os.open` that refuses what it would refuse to anybody but root."""

    def refusing(path, flags, mode=0o777, *, dir_fd=None):
        needs_rights = not flags & (os.O_PATH | os.O_CREAT)
        if needs_rights and not os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode & stat.S_IRUSR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, flags, mode, dir_fd=dir_fd)

    return refusing
