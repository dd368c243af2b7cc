"""The benchmark runs, and tells what it measured in a form that others can read; no figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent.parent / "bench"
CHEAP = ["cpu-success", "def-hook", "memory-in-flight", "import"]

ROW = {"row", "title", "unit", "reference", "reference_ratio", "target"}
MEASURED = {"value", "spread", "floor", "ratio", "met", "beside"}


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(BENCH), *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def test_json_has_a_whole_row_for_everything_asked():
    """With --json there is one document on stdout and nothing on stderr; each row stands beside its floor."""
    only = [argument for name in CHEAP for argument in ("--only", name)]

    process = bench("--quick", "--json", *only)

    assert (process.returncode, process.stderr) == (0, "")
    told = json.loads(process.stdout)
    assert told.keys() == {"version", "quick", "machine", "rows"}
    assert (told["version"], told["quick"]) == (1, True)
    assert [row["row"] for row in told["rows"]] == CHEAP
    assert [row.keys() for row in told["rows"]] == [ROW | MEASURED] * len(CHEAP)
    for row in told["rows"]:
        assert row["floor"].keys() == {"title", "value", "unit"}
        assert row["floor"]["value"] > 0
        assert row["spread"][0] <= row["value"] <= row["spread"][1]
        assert all(figure.keys() == {"title", "value", "unit"} for figure in row["beside"])


def test_table_goes_beside_the_json():
    """Without --json people get a table on stderr, and stdout is the same JSON."""
    process = bench("--quick", "--only", "import")

    assert process.returncode == 0
    assert [row["row"] for row in json.loads(process.stdout)["rows"]] == ["import"]
    assert "x floor" in process.stderr
    assert "import stagecall, beyond bare Python" in process.stderr


def test_unknown_row_is_refused():
    """A row that does not exist is a usage error that names those that do."""
    process = bench("--only", "no-such-row")

    assert process.returncode == 2
    assert "no-such-row" in process.stderr
    assert "memory-in-flight" in process.stderr
