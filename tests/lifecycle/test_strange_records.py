"""Records that are sound and yet strange, as another release may write them: they are named, and stop nobody."""

import json
from pathlib import Path
from typing import Any

import pytest

from stagecall import recover
from stagecall.lifecycle import NonFatalInternalError
from stagecall.lifecycle.journal import Journal, Lease
from stagecall.lifecycle.journal.store import Store, insert
from stagecall.lifecycle.recovery import undos

DEAD = "0123456789abcdef"
STRANGE: list[tuple[str, Any]] = [
    ("session", None),
    ("session", ["pid"]),
    ("run", 1),
    ("run", {"run_id": "x"}),
    ("run", {"started": "yesterday"}),
    ("run", {"started": "2020-01-01T00:00:00"}),
    ("run", {"lifecycle": []}),
    ("events", 7),
    ("events", ["x"]),
    ("events", [{"time": "x", "kind": "move", "stage": "start"}]),
    ("events", [{"time": 0, "kind": "a-kind-of-the-next-release", "stage": "start"}]),
    (
        "events",
        [{"time": 0, "kind": "outcome", "stage": "start", "state": "exception", "reason": "a-new-one"}],
    ),
    ("events", [{"time": 0, "kind": "outcome", "stage": "start", "state": 5}]),
    ("events", [{"time": 0, "kind": "lease", "stage": "start", "lease": "x", "what": "y", "data": {}}]),
    ("events", [{"time": 0, "kind": "lease", "stage": "start", "lease": 1, "what": "y"}]),
    ("lease", None),
    ("lease", {}),
    ("lease", {"kind": "folder"}),
    ("lease", {"kind": "folder", "data": None}),
    ("lease", {"kind": ["folder"], "data": {}}),
]


@pytest.mark.parametrize(("what", "body"), STRANGE, ids=lambda value: json.dumps(value)[:40])
async def test_a_strange_record_is_left_out(tmp_path_factory, what, body):
    """It is named, in a dry run too, and a copy of it is kept; all else is recovered, and the next time all is well."""
    path: Path = tmp_path_factory.mktemp("state") / "journal.db"
    async with await Journal.open(path):
        pass
    store = Store.open(path)
    store.commit(
        [
            insert(DEAD, 0, "session", 0, {"pid": 1, "start_time": -1, "boot_id": "another"}),
            insert(DEAD, 1, what, 3, body),
            insert(DEAD, 2, "lease", 5, {"kind": "good", "data": {}}),
        ]
    )
    store.close()
    undone: list[str] = []

    async def undo(lease: Lease) -> None:
        undone.append(lease.kind)

    looked = await recover(path, dry_run=True)
    recovery = await recover(path, undos={"good": undo})
    again = await recover(path, undos={"good": undo})

    named = f"{DEAD}/1/{what}/3"
    assert undone == ["good"]
    assert [named in (told.damage or "") for told in (looked, recovery)] == [True, True]
    assert path.with_name("journal.db.damaged-1").exists()
    assert not again.found


@pytest.mark.parametrize("path", ["/", "/tmp", "/tmp/..", "/tmp/x/../..", "/tmp/../etc", "relative/to/what"])
async def test_no_folder_of_the_host_is_removed(monkeypatch, path):
    """A lease that leads up by `..`, or to a folder right below the root, is none that a worker took."""

    async def remove(folder: Path) -> None:
        removed.append(folder)

    removed: list[Path] = []
    monkeypatch.setattr(undos, "remove_folder", remove)

    with pytest.raises(NonFatalInternalError, match="it is left alone"):
        await undos.undo_folder(Lease(1, "folder", {"path": path}))

    assert removed == []
