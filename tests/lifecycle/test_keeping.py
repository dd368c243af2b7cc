"""What recovery keeps of a run appears under its name when it is complete, and nothing else lies beside it."""

import json
import threading

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
