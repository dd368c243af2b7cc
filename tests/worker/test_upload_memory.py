"""Uploading needs the same memory however much there is to upload."""

import subprocess
import sys
from pathlib import Path

import pytest

SINK = Path(__file__).parents[2] / "bench" / "sink.py"

UPLOAD = """
import asyncio, sys
from pathlib import Path
from stagecall.testing.store_conformance import an_object, new_task
from stagecall.worker.stores import open_store

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024

async def main(port, path):
    keys = {"access_key_id": "a", "secret_access_key": "b", "region": "none"}
    options = {"endpoint": f"http://127.0.0.1:{port}", "allow_http": True, **keys}
    store, task = open_store("s3://bucket", options=options), new_task()
    await store.put(task, an_object("first"), b"content")
    before = most()
    with open(path, "rb") as file:
        stored = await store.put(task, an_object("large"), file)
    print(stored.bytes, most() - before)

asyncio.run(main(*sys.argv[1:]))
"""


def upload(path: Path) -> tuple[int, int]:
    """Upload a file in a process of its own: how many bytes it had, and how many MiB of memory that took."""
    with subprocess.Popen(
        [sys.executable, SINK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sink:
        assert sink.stdout is not None
        port = sink.stdout.readline().strip()
        done = subprocess.run(
            [sys.executable, "-c", UPLOAD, port, str(path)], capture_output=True, text=True, timeout=280
        )
    assert done.returncode == 0, done.stderr
    size, growth = map(int, done.stdout.split())
    return size, growth


@pytest.mark.skipif(sys.platform != "linux", reason="the most resident memory is read from /proc")
@pytest.mark.parametrize(
    "size",
    [256 * 1_048_576, pytest.param(5_000_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(300)])],
)
def test_large_files_are_uploaded_in_little_memory(tmp_path, size):
    """Some 50 MB at most, of which the file's size is no part; the file is sparse, so that the disk is not measured."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)

    uploaded, growth = upload(path)

    assert uploaded == size
    assert growth < 64
