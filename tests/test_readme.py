"""README.md shows what is generated from the table, not what once was."""

import subprocess
import sys


def test_diagram_in_readme_is_the_generated_one(root):
    """The state diagram in README.md is the one that the lifecycle's table gives now."""
    check = subprocess.run(
        [sys.executable, root / "docs" / "refresh_readme.py", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (check.returncode, check.stdout.strip()) == (0, "README.md is up to date"), check.stderr
