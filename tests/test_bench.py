"""The benchmark works and says what it promises; how fast anything is, no test asks."""

import json
import subprocess
import sys

import pytest


def measured(root, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, root / "bench", "--quick", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("row", ["cpu-success", "spawn-1"])
def test_row_stands_beside_its_floor(root, row):
    """Each figure comes with its spread, its floor from the same run, and the ratio of the two."""
    (told,) = measured(root, "--only", row)["rows"]

    assert told["row"] == row
    assert told["spread"][0] <= told["value"] <= told["spread"][1]
    assert told["floor"]["unit"] == told["unit"]
    assert told["floor"]["value"] > 0
    assert told["ratio"] > 0
    assert told["met"] in (True, False)


def test_every_row_is_explained(root):
    """README.md of the benchmark names every row there is."""
    usage = subprocess.run(
        [sys.executable, root / "bench", "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    _, _, names = usage.replace("\n", " ").partition("--only ROW ")
    names, _, _ = names.partition(" --quick only")

    page = (root / "bench" / "README.md").read_text(encoding="utf-8")

    rows = [name.strip() for name in names.rpartition("--quick")[0].split(",") if name.strip()]
    assert len(rows) > 5
    assert [name for name in rows if f"`{name}`" not in page] == []
